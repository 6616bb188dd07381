/** Values that are too long to be kept. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { Cut, withCut } from '../../../web/store/cut.js';

const update = {
  type: 'change', op: 'update', old: { id: 1 }, new: { id: 1, body: 'short' }, old_complete: false, unchanged: [],
  cut: { old: { body: 943718400 }, new: {} },
};

test('a value that was cut is in its row, as what it is', () => {
  const { old, new: row } = withCut(update, 'full');
  assert.deepEqual(old, { id: 1, body: new Cut(943718400) });
  assert.deepEqual(row, { id: 1, body: 'short' });
});

test('what the log did hold is not said to be missing from it', () => {
  assert.equal(withCut(update, 'full').old_complete, true);
  assert.equal(withCut(update, 'default').old_complete, false);
  assert.equal(withCut({ ...update, cut: { old: {}, new: { body: 7 } } }, 'full').old_complete, false);
});

test('a row of which everything was cut is a row', () => {
  const insert = withCut({ ...update, op: 'insert', old: null, new: {}, cut: { old: {}, new: { body: 7 } } }, 'default');
  assert.deepEqual(insert.new, { body: new Cut(7) });
});

test('a change without a cut stays as it is', () => {
  const { cut, ...whole } = update;
  assert.equal(withCut(whole, 'full'), whole);
});
