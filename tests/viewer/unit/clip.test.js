import assert from 'node:assert/strict';
import { test } from 'node:test';

import { clipRow, ROWS_KEPT, VALUE_KEPT } from '../../../web/store/clip.js';

const truncate = (rows) => ({ type: 'change', op: 'truncate', key: null, old: null, new: null, rows_lost: rows.length, old_rows: rows });

test('of the rows that a truncate took only the first are kept, and of their values the beginning', () => {
  const rows = Array.from({ length: ROWS_KEPT + 1 }, (_, id) => ({ id }));
  const kept = clipRow(truncate(rows), 1000);
  assert.equal(kept.old_rows.length, ROWS_KEPT);
  assert.equal(kept.rows_lost, ROWS_KEPT + 1);
  const long = clipRow(truncate([{ id: 1, text: 'x'.repeat(VALUE_KEPT + 1) }]), VALUE_KEPT + 100);
  assert.match(long.old_rows[0].text, /x… \(cut here/);
});

test('a change of another kind has none', () => {
  assert.equal('old_rows' in clipRow({ type: 'change', op: 'delete', key: null, old: { id: 1 }, new: null }, VALUE_KEPT + 1), false);
});
