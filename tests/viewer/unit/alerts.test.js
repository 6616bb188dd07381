import assert from 'node:assert/strict';
import test from 'node:test';

import { firing, isAcknowledged, pressing, RESOLVED_KEPT, resolved } from '../../../web/store/alerts.js';
import { reduce } from '../../../web/store/reduce.js';
import { live, receive, status } from './frames.js';

const alert = (id, fields = {}) => ({
  type: 'alert', id, rule: 'count_zero', kind: 'count_zero', severity: 'critical', state: 'firing', text: 'User fell from 22 to 0', schema: 'public',
  table: 'User', from: 22, to: 0, deleted: 22, tx: null, actor: null, since: '2026-11-22T14:02:11Z', last: '2026-11-22T14:02:11Z', times: 1, ...fields,
});
const bulletin = (alerts) => ({ alerts, evaluating: true, webhooks: [], rules: 9 });
const load = (state, askedAt, alerts) => reduce(state, { type: 'alerts/loaded', askedAt, bulletin: bulletin(alerts) });
const ids = (alerts) => alerts.map(({ id }) => id);

test('the worst comes first, of these the newest, of these the cause', () => {
  const state = receive(live(0), 1, alert('a-10'), alert('a-9'), alert('a-3', { severity: 'warning' }), alert('a-4', { last: '2026-11-22T15:00:00Z' }));
  assert.deepEqual(ids(firing(state.alerts)), ['a-4', 'a-9', 'a-10', 'a-3']);
});

test('an alert that is resolved goes, and is kept among the recent ones', () => {
  let state = receive(live(0), 1, alert('a-1'));
  state = receive(state, 2, alert('a-1', { state: 'resolved', resolved_at: '2026-11-22T14:03:00Z' }));
  assert.deepEqual(ids(pressing(state.alerts)), []);
  assert.deepEqual(ids(resolved(state.alerts)), ['a-1']);
});

test('an acknowledgement is of what was known then', () => {
  let state = receive(live(0), 1, alert('a-1'));
  state = reduce(state, { type: 'alerts/acknowledge', id: 'a-1' });
  assert.deepEqual(ids(pressing(state.alerts)), []);
  assert.deepEqual(ids(firing(state.alerts)), ['a-1'], 'it holds all the same');
  state = receive(state, 2, alert('a-1', { text: 'the same, told otherwise' }));
  assert.ok(isAcknowledged(state.alerts, state.alerts.byId.get('a-1').alert));
  state = receive(state, 3, alert('a-1', { times: 2 }));
  assert.deepEqual(ids(pressing(state.alerts)), ['a-1'], 'it happened again');
});

test('the list replaces what was heard before it was asked for, not what came since', () => {
  let state = receive(live(0), 10, alert('gone'), alert('stays'));
  state = receive(state, 30, alert('new'));
  state = load(state, 20, [alert('stays'), alert('unheard')]);
  assert.deepEqual(ids(firing(state.alerts)).sort(), ['new', 'stays', 'unheard']);
  assert.equal(state.alerts.loaded, true);
  const { alert: same } = state.alerts.byId.get('stays');
  assert.equal(load(state, 40, [alert('stays')]).alerts.byId.get('stays').alert, same, 'what has not changed is the same');
});

test('an acknowledgement outlives a list that has not come yet, and goes with its alert', () => {
  const before = { ...live(0), alerts: { ...live(0).alerts, acknowledged: new Map([['a-1', 1], ['old', 1]]) } };
  let state = receive(before, 1, alert('a-2'));
  assert.equal(state.alerts.acknowledged.size, 2);
  state = load(state, 0, [alert('a-1'), alert('a-2')]);
  assert.deepEqual([...state.alerts.acknowledged.keys()], ['a-1']);
  assert.deepEqual(ids(pressing(state.alerts)), ['a-2']);
});

test('what is over is bounded', () => {
  const over = Array.from({ length: RESOLVED_KEPT + 20 }, (_, i) => alert(`a-${i}`, { state: 'resolved', resolved_at: new Date(i * 1000).toISOString() }));
  const state = receive(live(0), 1, over);
  assert.equal(state.alerts.byId.size, RESOLVED_KEPT);
  assert.equal(resolved(state.alerts)[0].id, `a-${RESOLVED_KEPT + 19}`);
});

test('large transactions are those of the last word, and none once the line is lost', () => {
  const transaction = { xid: 771, state: 'running', since: '', changes: 48_000, exact: true, tables: [], actor: null };
  let state = receive(live(0), 1, { type: 'running', transactions: [transaction] });
  assert.deepEqual(state.running, [transaction]);
  assert.deepEqual(receive(state, 2, { type: 'running', transactions: [] }).running, []);
  state = reduce(state, { type: 'socket/lost', why: '', retryAt: 9 });
  assert.deepEqual(state.running, []);
});

test('nothing of another database stays', () => {
  let state = receive(live(0), 1, alert('a-1'), { type: 'running', transactions: [{ xid: 1 }] });
  state = reduce(state, { type: 'investigate', tx: 'k3-0-1' });
  state = receive(state, 2, status({ state: 'wrong_database' }));
  assert.deepEqual([state.alerts.byId.size, state.running, state.investigation], [0, [], null]);
  assert.equal(reduce(state, { type: 'investigate', tx: 'k3-0-1' }).investigation, null);
});
