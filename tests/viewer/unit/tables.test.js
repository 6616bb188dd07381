import assert from 'node:assert/strict';
import test from 'node:test';

import { span } from '../../../web/format.js';
import { changeOverWindow, fellMuch, fold, seenFor, total, tree } from '../../../web/store/tables.js';
import { counts, live, receive, table } from './frames.js';

const names = (tables) => tree(tables).map(({ table: { name }, depth }) => '  '.repeat(depth) + name);

test('whole counts replace what was known, others add to it, and tables go', () => {
  let state = live(0, [table(1, 'a', 1), table(2, 'b', 2)]);
  state = receive(state, 1, counts([table(2, 'b', 5), table(3, 'c', 3)], { whole: false, as_of: { lsn: '0/2', time: '' } }));
  assert.deepEqual([...state.tables.byOid.values()].map(({ name, count }) => [name, count]), [['a', 1], ['b', 5], ['c', 3]]);
  assert.equal(state.tables.lsn, '0/2');
  state = receive(state, 2, counts([], { whole: false, gone: [1] }));
  assert.deepEqual([...state.tables.byOid.keys()], [2, 3]);
  assert.deepEqual([...state.tables.samples.keys()], [2, 3]);
  state = receive(state, 3, counts([table(9, 'z', 9)]));
  assert.deepEqual([...state.tables.byOid.keys()], [9]);
});

test('the change over a minute ends when the minute is over', () => {
  let state = live(0, [table(1, 'User', 22)]);
  state = receive(state, 10_000, counts([table(1, 'User', 0)], { whole: false }));
  const change = (now) => changeOverWindow(state.tables.samples.get(1), now).change;
  assert.equal(change(10_000), -22);
  assert.equal(change(69_999), -22);
  assert.equal(change(70_000), 0);
});

test('a change says over how long it is: a page that was just opened knows nothing of a minute ago', () => {
  let state = live(5000, [table(1, 'User', 2)]);
  state = receive(state, 20_000, counts([table(1, 'User', 9), table(2, 'late', 4)], { whole: false }));
  state = receive(state, 30_000, counts([table(2, 'late', 1)], { whole: false }));
  const { samples, since } = state.tables;
  assert.deepEqual(changeOverWindow(samples.get(1), 28_400), { change: 7, span: 23_400 });
  assert.deepEqual(changeOverWindow(samples.get(2), 30_000), { change: -3, span: 10_000 });
  assert.deepEqual(changeOverWindow(samples.get(1), 65_000), { change: 7, span: 60_000 });
  assert.deepEqual(changeOverWindow(samples.get(1), 900_000), { change: 0, span: 60_000 });
  assert.deepEqual(changeOverWindow(undefined, 900_000), { change: 0, span: 0 });
  assert.equal(span(seenFor(since, 28_400)), '23 s');
  assert.equal(span(seenFor(since, 64_999)), '59 s');
  assert.equal(span(seenFor(since, 65_000)), '1 min');
  assert.equal(seenFor(null, 28_400), 0);
});

test('a count that is unknown for a while does not hide what fell', () => {
  let state = live(0, [table(1, 'User', 22)]);
  state = receive(state, 1000, counts([table(1, 'User', null)]));
  state = receive(state, 5000, counts([table(1, 'User', 3)]));
  assert.equal(changeOverWindow(state.tables.samples.get(1), 5000).change, -19);
});

test('a table that changes all the time keeps about one sample a second', () => {
  let state = live(0, [table(1, 'log', 0)]);
  for (let i = 1; i <= 3000; i++) state = receive(state, i * 50, counts([table(1, 'log', i)], { whole: false }));
  const samples = state.tables.samples.get(1);
  assert.ok(samples.length <= 65, `${samples.length} samples`);
  const { change } = changeOverWindow(samples, 150_000);
  assert.ok(change >= 1200 && change <= 1221, `${change} in 60 s of 20 a second`);
});

test('much is a fifth of what there was', () => {
  assert.ok(fellMuch(0, -22));
  assert.ok(fellMuch(80, -20));
  assert.ok(!fellMuch(81, -20));
  assert.ok(!fellMuch(0, 0));
  assert.ok(!fellMuch(5, 5));
});

test('partitions stand under their parent, and fold away', () => {
  const { tables } = live(0, [
    table(5, 'zebra', 1), table(1, 'log', 5, { kind: 'partitioned_table' }), table(3, 'log_b', 3, { kind: 'partition', parent: 1 }),
    table(2, 'log_a', 2, { kind: 'partition', parent: 1 }), table(4, 'ledger', 1, { schema: 'billing' }), table(6, 'orphan', 1, { parent: 99 }),
  ]);
  assert.deepEqual(names(tables), ['ledger', 'log', '  log_a', '  log_b', 'orphan', 'zebra']);
  assert.deepEqual(names(fold(tables, 1)), ['ledger', 'log', 'orphan', 'zebra']);
  assert.deepEqual(names(fold(fold(tables, 1), 1)), names(tables));
});

test('the total counts every row once, and is unknown while a table is', () => {
  const all = [table(1, 'log', 5, { kind: 'partitioned_table' }), table(2, 'log_a', 5, { kind: 'partition', parent: 1 }), table(3, 'User', 22)];
  const view = table(4, 'top', null, { kind: 'materialized_view', count_state: 'uncovered' });
  assert.deepEqual(total(live(0, [...all, view]).tables), { rows: 27, covered: 2, uncovered: 1, unknown: 0 });
  assert.deepEqual(total(live(0, [...all, table(5, 'big', null)]).tables), { rows: null, covered: 3, uncovered: 0, unknown: 1 });
});
