import assert from 'node:assert/strict';
import test from 'node:test';

import { judge } from '../../../web/store/freshness.js';
import { reduce } from '../../../web/store/reduce.js';
import { initialState } from '../../../web/store/state.js';
import { connect, counts, database, hello, live, receive, status, table, transaction } from './frames.js';

const stateOf = (state, now) => judge(state.connection, now).state;
const numbersOf = (state, now) => judge(state.connection, now).numbers;
const lose = (state) => reduce(state, { type: 'socket/lost', why: 'The connection to pgvigil was closed.', retryAt: 9000 });

test('a page that has heard nothing is connecting, without numbers', () => {
  const { state, numbers } = judge(initialState.connection, 0);
  assert.equal(state, 'connecting');
  assert.equal(numbers, 'none');
});

test('live needs the hello, the counts and a status, whatever their order', () => {
  const frames = [hello, counts([]), status()];
  for (const left of frames) {
    const state = receive(connect(initialState), 1000, frames.filter((frame) => frame !== left));
    assert.equal(numbersOf(state, 1000), 'none', `without ${left.type}`);
  }
  assert.equal(stateOf(receive(connect(initialState), 1000, frames), 1000), 'live');
  assert.equal(stateOf(receive(connect(initialState), 1000, frames.toReversed()), 1000), 'live');
});

test('counts that are not whole do not make the numbers known', () => {
  const state = receive(connect(initialState), 0, hello, counts([table(1, 'a', 1)], { whole: false }), status());
  assert.equal(numbersOf(state, 0), 'none');
});

test('every number ages by our own clock: silence for 5 s is a loss', () => {
  const state = live(1000);
  assert.equal(stateOf(state, 5899), 'live');
  assert.equal(stateOf(state, 6000), 'disconnected');
  assert.equal(numbersOf(state, 6000), 'last-known');
});

test('the age counts from the last proof, not from the last message', () => {
  const state = receive(live(0), 1000, status({ last_proof_age_ms: 3000 }));
  assert.equal(judge(state.connection, 2500).age, 4500);
  assert.equal(stateOf(state, 2500), 'live');
  assert.equal(stateOf(state, 3000), 'lagging');
});

test('messages that bring no proof do not keep the page live', () => {
  let state = live(0);
  for (let s = 1; s <= 20; s++) state = receive(state, s * 1000, status({ last_proof_age_ms: s * 1000 }), transaction(s));
  assert.equal(stateOf(state, 20_000), 'stale');
  assert.equal(numbersOf(state, 20_000), 'last-known');
  assert.equal(judge(state.connection, 20_000).age, 20_000);
});

test('without any proof there is no live state', () => {
  const state = receive(connect(initialState), 0, hello, counts([]), status({ last_proof_age_ms: null }));
  assert.equal(stateOf(state, 0), 'stale');
});

test('what the server says can only be made worse', () => {
  for (const said of ['connecting', 'lagging', 'stale', 'disconnected', 'resyncing', 'wrong_database']) {
    assert.equal(stateOf(receive(live(0), 100, status({ state: said })), 100), said);
  }
  assert.equal(stateOf(receive(live(0), 100, status({ state: 'hibernating' })), 100), 'stale');
  assert.equal(stateOf(receive(live(0), 100, status({ state: 'lagging', last_proof_age_ms: 16_000 })), 100), 'stale');
});

test('each state shows its numbers in its own way', () => {
  const shown = { connecting: 'none', lagging: 'behind', stale: 'last-known', disconnected: 'last-known', resyncing: 'none', wrong_database: 'blocked' };
  for (const [said, numbers] of Object.entries(shown)) assert.equal(numbersOf(receive(live(0), 0, status({ state: said })), 0), numbers, said);
});

test('a lost connection is a loss at once, and the countdown is known', () => {
  const freshness = judge(lose(live(0)).connection, 4000);
  assert.equal(freshness.state, 'disconnected');
  assert.equal(freshness.retryIn, 5000);
  assert.match(freshness.reason, /closed/);
});

test('on a new connection nothing of the old one counts', () => {
  const again = connect(lose(live(0)));
  assert.equal(stateOf(again, 100), 'disconnected');
  assert.equal(stateOf(receive(again, 200, status()), 200), 'connecting');
  assert.equal(stateOf(receive(again, 200, hello, counts([])), 200), 'disconnected');
  assert.equal(stateOf(receive(again, 200, hello, counts([]), status()), 200), 'live');
});

test('a connection that delivers ever later is found out by the server\'s own clock', () => {
  let state = receive(live(0), 1000, status({ uptime_ms: 50_000 }));
  assert.equal(stateOf(state, 1000), 'live');
  // Sent two seconds after the first, received nine seconds after it.
  state = receive(state, 10_000, status({ uptime_ms: 52_000 }));
  assert.equal(judge(state.connection, 10_000).age, 7100);
  assert.equal(stateOf(state, 10_000), 'lagging');
});

test('another database under the same address blocks the page, and nothing of either stays', () => {
  const actual = { ...database, system_identifier: '7428819920099990000' };
  const state = receive(receive(live(0), 1, transaction(1)), 100, { ...hello, database: actual }, counts([table(7, 'secret', 9)]), status({ database: actual }));
  const { state: word, numbers } = judge(state.connection, 100);
  assert.equal(word, 'wrong_database');
  assert.equal(numbers, 'blocked');
  assert.equal(state.tables.byOid.size, 0);
  assert.equal(state.feed.items.length, 0);
  assert.deepEqual(state.connection.stranger, { expected: database, actual });
  // What comes later does not unblock it.
  assert.equal(stateOf(receive(state, 200, status()), 200), 'wrong_database');
});

test('a wrong database that the server found empties the page until all is counted again', () => {
  const blocked = receive(live(0), 100, status({ state: 'wrong_database', reason: 'expected guild, found other' }));
  assert.equal(blocked.tables.byOid.size, 0);
  assert.equal(numbersOf(blocked, 100), 'blocked');
  const right = receive(blocked, 200, status());
  assert.equal(numbersOf(right, 200), 'none');
  assert.equal(numbersOf(receive(right, 300, counts([])), 300), 'plain');
});
