/** Frames as the server sends them, and deliveries as the inbox makes them. */

import { reduce } from '../../../web/store/reduce.js';
import { initialState } from '../../../web/store/state.js';

export const database = { name: 'guild', oid: 16384, system_identifier: '7428819920013358831', host: '127.0.0.1', port: 5432, server_version: '15.18' };

export const hello = { type: 'hello', protocol: 1, epoch: 'k3', database, lsn: '0/1A2B000', from: 'k3.0-1A2B000.0', oldest: null, state: 'live' };

export const status = (fields = {}) => ({
  type: 'status', state: 'live', reason: null, since: '2026-11-22T14:00:00.000000Z', database, epoch: 'k3', lsn: '0/1A2B000', server_lsn: '0/1A2B000',
  lag_bytes: 0, last_proof_age_ms: 100, slot: { name: 'pgvigil_1f', temporary: true, retained_bytes: 0 }, publication: 'pgvigil', clients: 1,
  uptime_s: 10, version: '0.1.0', ...fields,
});

export const table = (oid, name, count, fields = {}) => ({
  oid, schema: 'public', name, kind: 'table', parent: null, count, count_state: count === null ? 'counting' : 'exact', reason: null, progress: null,
  inserts: 0, updates: 0, deletes: 0, truncates: 0, last_change: null, verified_at: null, replica_identity: 'default', key: ['id'], ...fields,
});

export const counts = (tables, fields = {}) => ({
  type: 'counts', whole: true, as_of: { lsn: '0/1A2B000', time: '2026-11-22T14:00:00.000000Z' }, total_rows: null, tables, gone: [], ...fields,
});

/** The n-th transaction, with as many deletes as asked for, and its commit. */
export function transaction(n, changes = 1, fields = {}) {
  const place = `0-${n.toString(16).toUpperCase()}`;
  const tx = { id: `k3-${place}`, xid: 700 + n, lsn: place.replace('-', '/'), time: '2026-11-22T14:02:11.204113Z' };
  const rows = Array.from({ length: changes }, (_, i) => ({
    type: 'change', id: `k3.${place}.${i + 1}`, op: 'delete', schema: 'public', table: 'User', oid: 16402, tx: { ...tx, ordinal: i + 1 },
    key: { id: i }, old: { id: i }, new: null, old_complete: false, unchanged: [], count: 100 - i, ...fields,
  }));
  const commit = {
    type: 'commit', id: `k3.${place}.${changes + 1}`, tx: { ...tx, ordinal: changes + 1, changes, actor: null },
    tables: [{ oid: 16402, schema: 'public', name: 'User', inserts: 0, updates: 0, deletes: changes, truncates: 0, count: 100 - changes }],
  };
  return [...rows, commit];
}

export const gap = { type: 'gap', from: 'k2.0-10.2', to: 'k3.0-1A2B000.0', reason: 'slot_lost' };

/** The state after these frames came, all at the same time. */
export function receive(state, at, ...frames) {
  const deliveries = frames.flat().map((frame) => ({ kind: 'frame', frame, at, size: JSON.stringify(frame).length }));
  return reduce(state, { type: 'received', deliveries });
}

export function connect(state) {
  return reduce(reduce(state, { type: 'socket/connecting' }), { type: 'socket/open' });
}

/** A page that is live at `at`, with these tables. */
export function live(at, tables = [table(16402, 'User', 22)]) {
  return receive(connect(initialState), at, hello, counts(tables), status());
}
