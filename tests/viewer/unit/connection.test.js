import assert from 'node:assert/strict';
import test from 'node:test';

import { createClock } from '../../../web/clock.js';
import { positionOf } from '../../../web/protocol.js';
import { initialState } from '../../../web/store/state.js';
import { connect, gap, hello, live, receive, status, transaction } from './frames.js';

test('the place to go on from is that of the last event, else that of the hello', () => {
  let state = live(0);
  assert.equal(state.connection.lastId, 'k3.0-1A2B000.0');
  state = receive(state, 1, transaction(0xabc, 3));
  assert.equal(state.connection.lastId, 'k3.0-ABC.4');
  state = receive(state, 2, status());
  assert.equal(state.connection.lastId, 'k3.0-ABC.4');
});

test('a second hello does not lose the place', () => {
  const state = receive(connect(receive(live(0), 1, transaction(0xabc))), 2, { ...hello, from: 'k3.0-FFF.1' });
  assert.equal(state.connection.lastId, 'k3.0-ABC.2');
});

test('a hello without a place to go on from names its position', () => {
  assert.equal(positionOf({ ...hello, from: null }), 'k3.0-1A2B000.0');
});

test('after a gap it goes on from the end of the gap', () => {
  assert.equal(receive(live(0), 1, gap).connection.lastId, gap.to);
});

test('a status before the hello names the database', () => {
  const state = receive(connect(initialState), 0, status({ state: 'connecting' }));
  assert.equal(state.connection.database.name, 'guild');
});

test('the clock counts the time that a machine slept, when only the wall clock went on', () => {
  let monotonic = 100;
  let wall = 1_000_000;
  const clock = createClock(() => monotonic, () => wall);
  assert.equal(clock.now(), 100);
  monotonic += 500;
  wall += 500;
  assert.equal(clock.now(), 600);
  monotonic += 10;
  wall += 3_600_000;
  assert.equal(clock.now(), 3_600_600);
});

test('a wall clock that is set back, or drifts, changes nothing', () => {
  let monotonic = 0;
  let wall = 1_000_000;
  const clock = createClock(() => monotonic, () => wall);
  wall -= 3_600_000;
  monotonic = 1000;
  assert.equal(clock.now(), 1000);
  wall += 1900;
  monotonic = 2000;
  assert.equal(clock.now(), 2000);
});
