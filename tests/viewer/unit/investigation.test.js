import assert from 'node:assert/strict';
import test from 'node:test';

import { addressOf, txFrom } from '../../../web/store/address.js';
import { group, takenBy } from '../../../web/store/cascade.js';
import { newestDelete } from '../../../web/store/feed.js';
import { filterFrom } from '../../../web/store/filter.js';
import { beforeAndAfter, headline, lastOrdinal, missingRows, statements } from '../../../web/store/investigation.js';
import { reduce } from '../../../web/store/reduce.js';
import { eventId, lsnText, placeOf } from '../../../web/store/transaction_id.js';
import { live, receive, transaction } from './frames.js';

const totals = (fields) => ({ schema: 'public', name: 'User', inserts: 0, updates: 0, deletes: 0, truncates: 0, count: 0, ...fields });
const truncate = (id, rows) => ({ type: 'change', id, op: 'truncate', schema: 'public', table: 'User', rows_lost: rows });
const found = (state, finding) => reduce(state, { type: 'investigate/found', finding });

function looking() {
  const frames = transaction(0xabc, 700);
  const state = reduce(receive(live(0), 1, frames), { type: 'investigate', tx: 'k3-0-ABC' });
  return { state, rows: frames.slice(0, -1) };
}

test('the ids of a transaction and of its events tell its place', () => {
  const place = placeOf('k3-1A-2B3C8');
  assert.equal(lsnText(place.lsn), '1A/2B3C8');
  assert.equal(lsnText(place.lsn + 1n), '1A/2B3C9');
  assert.equal(lsnText(placeOf('k3-0-FFFFFFFF').lsn + 1n), '1/0');
  assert.equal(eventId(place, 4), 'k3.1A-2B3C8.4');
  for (const id of ['', 'k3', 'k3-0-', 'k3-0-XYZ', '../k3-0-1', 'k3-0-1-2', 'k3-0-123456789']) assert.equal(placeOf(id), null, id);
});

test('the address carries filter and transaction, each without the other too', () => {
  const filter = { table: 'public.User', ops: ['delete'] };
  const search = addressOf(filter, 'k3-0-ABC');
  assert.deepEqual([filterFrom(search), txFrom(search)], [filter, 'k3-0-ABC']);
  assert.equal(addressOf({ table: null, ops: [] }, null), '');
  assert.equal(txFrom('?table=x&tx='), null);
});

test('what the feed has of a transaction is known at once, the rest when it is found', () => {
  const { state, rows } = looking();
  assert.equal(state.investigation.commit.tx.id, 'k3-0-ABC');
  assert.equal(state.investigation.rows, null);
  const { investigation } = found(state, { tx: 'k3-0-ABC', step: 'rows', rows: rows.slice(0, 500), from: 1, to: 500, kept: 500 });
  assert.equal(investigation.rows.length, 500);
  assert.equal(lastOrdinal(investigation), 700);
  assert.equal(missingRows(investigation), 0);
});

test('what is found too late, for another transaction or for none, changes nothing', () => {
  const { state } = looking();
  const late = { tx: 'k3-0-1', step: 'failed', problem: { code: 'not-found', title: '', detail: '' } };
  assert.equal(found(state, late).investigation, state.investigation);
  assert.equal(found(reduce(state, { type: 'investigate/close' }), late).investigation, null);
});

test('rows that the history does not hold any more are counted, on the last page too', () => {
  const { state } = looking();
  const page = (from, kept) => found(state, { tx: 'k3-0-ABC', step: 'rows', rows: [], from, to: from + 499, kept }).investigation;
  assert.equal(missingRows(page(1, 120)), 380);
  assert.equal(missingRows(page(501, 200)), 0);
  assert.equal(missingRows(page(501, 0)), 200);
});

test('before is what there was after, without what was done', () => {
  assert.deepEqual(beforeAndAfter(totals({ deletes: 22 }), new Map()), { before: 22, after: 0, lost: 0 });
  assert.equal(beforeAndAfter(totals({ inserts: 3, deletes: 1, count: 10 }), new Map()).before, 8);
  assert.equal(beforeAndAfter(totals({ deletes: 1, count: null }), new Map()).before, null);
});

test('a truncate took what it says, and an unknown number where it does not say', () => {
  const seen = (...changes) => new Map(changes.map((change) => [change.id, change]));
  assert.deepEqual(beforeAndAfter(totals({ truncates: 1 }), seen(truncate('a', 22))), { before: 22, after: 0, lost: 22 });
  assert.equal(beforeAndAfter(totals({ truncates: 1 }), seen(truncate('a', null))).before, null);
  assert.equal(beforeAndAfter(totals({ truncates: 2 }), seen(truncate('a', 22))).lost, null, 'the other one is on a page that was not seen');
});

test('truncates are remembered from page to page', () => {
  const { state } = looking();
  let next = found(state, { tx: 'k3-0-ABC', step: 'rows', rows: [truncate('a', 22)], from: 1, to: 500, kept: 1 });
  next = found(next, { tx: 'k3-0-ABC', step: 'rows', rows: [truncate('b', 3)], from: 501, to: 1000, kept: 1 });
  assert.deepEqual([...next.investigation.truncates.keys()], ['a', 'b']);
});

test('a statement stands once, whole where it is known whole', () => {
  const tx = (query) => ({ tx: { actor: { query } } });
  const commit = { tx: { actor: { query: 'DELETE FROM "User" WHERE id < 20' } } };
  assert.deepEqual(statements({ commit, rows: [tx('DELETE FROM "User"…'), tx('TRUNCATE x'), tx('TRUNCATE x'), tx(null), { tx: {} }] }), [
    'DELETE FROM "User" WHERE id < 20', 'TRUNCATE x',
  ]);
});

test('a transaction is called after the table that lost rows first: it took the others along', () => {
  const head = headline({ tx: { changes: 62 }, tables: [totals({ name: 'Log', inserts: 1 }), totals({ deletes: 20 }), totals({ name: 'Order', deletes: 41 })] });
  assert.deepEqual([head.kind, head.table.name, head.others, head.deleted], ['delete', 'User', 1, 41]);
  assert.equal(headline({ tx: { changes: 2 }, tables: [totals({ inserts: 2 })] }).kind, 'change');
});

test('rows that a foreign key took along stand under the row that caused it', () => {
  const row = (id) => ({ type: 'change', id });
  const cascade = (parent, table, rows) => ({ parent, foreign_key: `${table}_fkey`, schema: 'public', table, rows });
  const rows = ['u1', 'u2', 'o1', 'o2', 'i1', 's1'].map(row);
  const { falls, orphans } = group(rows, [
    cascade('u1', 'Order', ['o1', 'o2', 'o3']), cascade('o1', 'Item', ['i1']), cascade(null, 'Session', ['s1']), cascade('u9', 'Order', ['o9']),
  ]);
  assert.deepEqual(falls.map(({ row: { id } }) => id), ['u1', 'u2']);
  assert.deepEqual([...takenBy(falls[0])], [['Order', 3], ['Item', 1]]);
  assert.equal(falls[0].taken[0].elsewhere, 1);
  assert.deepEqual(falls[0].taken[0].falls[0].taken[0].falls.map(({ row: { id } }) => id), ['i1']);
  assert.deepEqual(orphans.map(({ cascade: { table } }) => table), ['Session'], 'rows that are not on this page are not shown on it');
});

test('the newest delete is found whatever is paused', () => {
  let state = receive(live(0), 1, transaction(1));
  state = reduce(state, { type: 'feed/pause', since: '' });
  state = receive(state, 2, transaction(2), transaction(3, 1, { op: 'insert' }).slice(0, 1));
  assert.equal(newestDelete(state.feed), 'k3-0-2');
  assert.equal(newestDelete(live(0).feed), null);
});
