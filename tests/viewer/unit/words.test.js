/** Long names break between their words. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

globalThis.document = /** @type {any} */ ({ createElement: () => ({ append() {} }) });
const { breakable } = await import('../../../web/views/words.js');

/** @param {string} text */
const pieces = (text) => breakable(text).map((piece) => (typeof piece === 'string' ? piece : '|')).join('');

test('a long name may break between its words, and prose only at its spaces', () => {
  assert.equal(pieces('CompetitionParticipantRegistration'), 'Competition|Participant|Registration');
  assert.equal(pieces('billing.subscription_invoice_line_items'), 'billing.|subscription_|invoice_|line_|items');
  assert.equal(pieces('ActivityLog_2026112310'), 'Activity|Log_|2026112310');
  assert.equal(pieces('PostgreSQL holds more for User'), 'PostgreSQL holds more for User');
  assert.equal(pieces('subscription_items fell from 5 to 0'), 'subscription_|items fell from 5 to 0');
  assert.equal(pieces(''), '');
});
