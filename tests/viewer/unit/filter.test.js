import assert from 'node:assert/strict';
import test from 'node:test';

import { filterFrom, matchesItem, matchesRow, searchOf, toggleOp, toggleTable } from '../../../web/store/filter.js';
import { gap, live, receive, transaction } from './frames.js';

const all = { table: null, ops: [] };
const feedOf = (...frames) => receive(live(0), 1, ...frames).feed.items;

test('a filter survives the address, and what makes no sense there is passed over', () => {
  const filter = { table: 'my schema.User, or & else', ops: ['delete', 'truncate'] };
  assert.deepEqual(filterFrom(searchOf(filter)), filter);
  assert.equal(searchOf(all), '');
  assert.deepEqual(filterFrom('?op=drop,delete&table=&x=1'), { table: null, ops: ['delete'] });
});

test('operations toggle, and all of them are none', () => {
  let filter = toggleOp(all, 'delete');
  assert.deepEqual(filter.ops, ['delete']);
  filter = toggleOp(toggleOp(filter, 'insert'), 'update');
  assert.deepEqual(filter.ops, ['insert', 'update', 'delete']);
  assert.deepEqual(toggleOp(filter, 'truncate').ops, []);
  assert.deepEqual(toggleOp(filter, 'insert').ops, ['update', 'delete']);
  assert.equal(toggleTable(toggleTable(all, 'public.User'), 'public.User').table, null);
});

test('a transaction matches by what it touched, also by rows that are not kept', () => {
  const [card] = feedOf(transaction(1, 3));
  assert.ok(matchesItem(all, card));
  assert.ok(matchesItem({ table: 'public.User', ops: ['delete'] }, card));
  assert.ok(!matchesItem({ table: 'public.User', ops: ['insert'] }, card));
  assert.ok(!matchesItem({ table: 'public.Game', ops: [] }, card));
  assert.ok(matchesItem({ table: 'public.User', ops: [] }, feedOf(transaction(1, 3).slice(-1))[0]));
});

test('what could not be shown is never filtered away', () => {
  assert.ok(matchesItem({ table: 'public.Game', ops: ['insert'] }, feedOf(gap)[0]));
});

test('a statement matches by its object', () => {
  const ddl = { type: 'ddl', object: 'public."User"' };
  assert.ok(matchesRow(all, ddl));
  assert.ok(matchesRow({ table: 'public.User', ops: [] }, ddl));
  assert.ok(!matchesRow({ table: 'public.User', ops: ['delete'] }, ddl));
});
