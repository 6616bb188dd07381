import assert from 'node:assert/strict';
import test from 'node:test';

import { VALUE_KEPT } from '../../../web/store/clip.js';
import { ITEMS_KEPT, ROWS_KEPT, SIZE_KEPT, shown, waiting } from '../../../web/store/feed.js';
import { reduce } from '../../../web/store/reduce.js';
import { gap, live, receive, transaction } from './frames.js';

const kinds = (state) => state.feed.items.map((item) => item.kind);

test('the changes of a transaction make one card, also when they come in several batches', () => {
  const frames = transaction(1, 24);
  let state = receive(live(0), 1, frames.slice(0, 10));
  assert.equal(state.feed.items.length, 1);
  assert.equal(state.feed.items[0].commit, null);
  const before = state.feed.items[0];
  state = receive(state, 2, frames.slice(10));
  assert.equal(state.feed.items.length, 1);
  const [card] = state.feed.items;
  assert.equal(card.rows.length, 24);
  assert.equal(card.changes, 24);
  assert.equal(card.commit.tables[0].count, 76);
  assert.equal(before.rows.length, 10, 'what was seen before is not written to');
});

test('what comes again after a reconnect is shown once', () => {
  const frames = transaction(1, 3);
  const state = receive(receive(live(0), 1, frames), 2, frames);
  assert.equal(state.feed.items.length, 1);
  assert.deepEqual(state.feed.items[0].rows.map((row) => row.id), frames.slice(0, 3).map((frame) => frame.id));
});

test('the feed is bounded in transactions', () => {
  let state = live(0);
  for (let n = 1; n <= ITEMS_KEPT + 50; n++) state = receive(state, n, transaction(n));
  assert.equal(state.feed.items.length, ITEMS_KEPT);
  assert.equal(state.feed.items[0].tx.xid, 751);
  assert.equal(state.feed.evicted, true);
});

test('the feed is bounded in memory, and keeps its books', () => {
  const big = { old: { id: 1, text: 'x'.repeat(200_000) } };
  let state = live(0);
  for (let n = 1; n <= 300; n++) state = receive(state, n, transaction(n, 1, big));
  assert.ok(state.feed.size <= SIZE_KEPT);
  assert.equal(state.feed.size, state.feed.items.reduce((sum, item) => sum + item.size, 0));
  assert.ok(state.feed.items.length < 200);
});

test('a giant transaction keeps its first rows and its totals', () => {
  const [card] = receive(live(0), 1, transaction(1, ROWS_KEPT + 700)).feed.items;
  assert.equal(card.rows.length, ROWS_KEPT);
  assert.equal(card.changes, ROWS_KEPT + 700);
  assert.deepEqual(card.touched, { 'public.User delete': ROWS_KEPT + 700 });
});

test('a giant value keeps its beginning and says so', () => {
  const [card] = receive(live(0), 1, transaction(1, 1, { old: { id: 1, text: 'y'.repeat(VALUE_KEPT + 10), none: null } })).feed.items;
  const { text, id, none } = card.rows[0].old;
  assert.ok(text.length < VALUE_KEPT + 100);
  assert.match(text, /cut here: 262,154 characters/);
  assert.deepEqual([id, none], [1, null]);
});

test('a pause keeps what is seen, whatever comes, and counts it', () => {
  const before = receive(live(0), 1, transaction(1), transaction(2));
  let state = reduce(before, { type: 'feed/pause', since: '14:02:11' });
  for (let n = 3; n <= ITEMS_KEPT + 500; n++) state = receive(state, n, transaction(n));
  assert.equal(shown(state.feed).items, before.feed.items);
  assert.equal(waiting(state.feed), ITEMS_KEPT + 498);
  assert.equal(state.feed.items.length, ITEMS_KEPT, 'the feed behind it stays bounded');
  state = reduce(state, { type: 'feed/resume' });
  assert.equal(shown(state.feed).items.length, ITEMS_KEPT);
  assert.equal(waiting(state.feed), 0);
});

test('a second pause does not move the first', () => {
  const first = reduce(receive(live(0), 1, transaction(1)), { type: 'feed/pause', since: '14:02:11' });
  const second = reduce(receive(first, 2, transaction(2)), { type: 'feed/pause', since: '14:05:00' });
  assert.equal(second.feed.pause, first.feed.pause);
});

test('gaps, skips and errors are said at their place', () => {
  let state = receive(live(0), 1, transaction(1), gap, transaction(2));
  state = reduce(state, { type: 'received', deliveries: [{ kind: 'skipped', changes: 4120, commits: 3, lastId: 'k3.0-FFF.9' }] });
  state = receive(state, 3, { type: 'error', code: 'bad_filter', message: 'no such operator' });
  assert.deepEqual(kinds(state), ['transaction', 'gap', 'transaction', 'skipped', 'fault']);
  assert.equal(state.feed.items[3].changes, 4120);
  assert.equal(state.connection.lastId, 'k3.0-FFF.9');
});

test('a statement stands among the rows, and is no change of a row', () => {
  const [change, commit] = transaction(1);
  const ddl = { type: 'ddl', id: 'k3.0-1.2', tx: { ...change.tx, ordinal: 2 }, command: 'ALTER TABLE', object: 'public."User"', sql: 'ALTER TABLE …' };
  const [card] = receive(live(0), 1, change, ddl, commit).feed.items;
  assert.deepEqual(card.rows.map((row) => row.type), ['change', 'ddl']);
  assert.equal(card.changes, 1);
});

test('opened cards are forgotten with their transaction, but not while paused', () => {
  let state = receive(live(0), 1, transaction(1, 9));
  state = reduce(state, { type: 'feed/open', seq: state.feed.items[0].seq, rows: 100 });
  state = reduce(state, { type: 'feed/pause', since: '' });
  for (let n = 2; n <= ITEMS_KEPT + 10; n++) state = receive(state, n, transaction(n));
  assert.equal(state.feed.opened.size, 1);
  state = receive(reduce(state, { type: 'feed/resume' }), 9999, transaction(9999));
  assert.equal(state.feed.opened.size, 0);
});
