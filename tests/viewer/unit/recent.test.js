import assert from 'node:assert/strict';
import test from 'node:test';

import { beginning } from '../../../web/recent.js';

const commit = (id) => ({ type: 'commit', id });
const change = (id) => ({ type: 'change', id });

test('a feed begins behind the oldest transaction that is known to be whole at its end', () => {
  const events = [commit('k.0-3.2'), change('k.0-3.1'), commit('k.0-2.3'), change('k.0-2.2')];
  assert.equal(beginning({ events, next: 'k.0-2.2' }), 'k.0-2.3');
});

test('within one transaction larger than all that it looks back over it begins with the present', () => {
  assert.equal(beginning({ events: [change('k.0-1.9')], next: 'k.0-1.9' }), null);
});

test('where there is no more, it begins with all that there is', () => {
  assert.equal(beginning({ events: [commit('k.0-1.2'), change('k.0-1.1')], next: null }), 'oldest');
});
