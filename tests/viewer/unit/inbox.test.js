import assert from 'node:assert/strict';
import test from 'node:test';

import { Inbox } from '../../../web/inbox.js';
import { counts, gap, status, transaction } from './frames.js';

const put = (inbox, at, ...frames) => frames.flat().forEach((frame) => inbox.put(JSON.stringify(frame), at));

test('frames come out in their order, with the time at which they came', () => {
  const inbox = new Inbox();
  put(inbox, 7, status(), transaction(1));
  assert.deepEqual(inbox.take().map(({ frame, at }) => [frame.type, at]), [['status', 7], ['change', 7], ['commit', 7]]);
  assert.ok(inbox.empty);
});

test('in a flood row changes are passed over, but never counts, states or gaps', () => {
  const inbox = new Inbox();
  put(inbox, 1, transaction(1, 5000));
  put(inbox, 2, counts([]), status(), gap);
  put(inbox, 3, transaction(2, 10));
  const deliveries = inbox.take();
  const frames = deliveries.filter(({ kind }) => kind === 'frame').map(({ frame }) => frame.type);
  assert.equal(frames.filter((type) => type === 'change').length, 2000);
  assert.deepEqual(frames.slice(2000), ['counts', 'status', 'gap']);
  const skipped = deliveries.filter(({ kind }) => kind === 'skipped');
  assert.deepEqual(skipped, [
    { kind: 'skipped', changes: 3000, commits: 1, lastId: 'k3.0-1.5001' },
    { kind: 'skipped', changes: 10, commits: 1, lastId: 'k3.0-2.11' },
  ]);
});

test('after a look there is room again', () => {
  const inbox = new Inbox();
  put(inbox, 1, transaction(1, 3000));
  inbox.take();
  put(inbox, 2, transaction(2, 3));
  assert.deepEqual(inbox.take().map(({ kind }) => kind), ['frame', 'frame', 'frame', 'frame']);
});

test('frames of a later server are passed over, and what is no frame is said', () => {
  const inbox = new Inbox();
  inbox.put('{"type":"horoscope"}', 1);
  inbox.put('{"type":"subscribed"}', 1);
  assert.deepEqual(inbox.take(), []);
  inbox.put('{"type":', 1);
  assert.equal(inbox.take()[0].frame.type, 'error');
});
