/** Alerts when something is wrong with the watch itself, or with those who are to be told. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { SHOP } from './support/incident.js';
import { looker } from './support/looks.js';
import { freePort } from './support/postgres.js';
import { until } from './support/wait.js';
import { startWorld } from './support/world.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'pgvigil-rules-'));

/** @type {Awaited<ReturnType<typeof startWorld>>} */
let world;
before(async () => {
  const rules = path.join(folder, 'alerts.toml');
  writeFileSync(rules, `
    [[rule]]
    kind = "protected_table"
    name = "carts"
    tables = ["Cart"]
    [[rule]]
    kind = "count_floor"
    name = "enough users"
    min = 5
    tables = ["User"]
    [[rule]]
    kind = "not_live"
    for = "1s"
    [[webhook]]
    name = "nobody"
    url = "http://127.0.0.1:${await freePort()}/"
  `);
  world = await startWorld({ schema: SHOP, setup: true, options: ['--alerts', rules] });
});
after(async () => {
  await world?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('a webhook that fails is shown, with what went wrong', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  world.postgres.sql('DELETE FROM "Cart" WHERE id = 1');
  await until('the alert', async () => /Cart.*deleted/.test(await viewer.page.innerText('#alert-bar')));
  await viewer.page.click('#alerts-button');
  await until('the failure', async () => /FAILING\s*nobody[\s\S]*Last failure \d\d:\d\d:\d\d: \S/i.test(await viewer.page.innerText('#webhooks')), 25_000);
  await looker(viewer, { width: 1440, colorScheme: 'light' })('webhooks');
  await viewer.close();
});

test('while the watch is not live, it is said that rules cannot be evaluated', async () => {
  const size = { width: 360, height: 740, colorScheme: /** @type {const} */ ('dark'), touch: true };
  const viewer = await world.open(size);
  await viewer.becomes('live');
  await viewer.page.tap('#tab-alerts');
  // The server goes, pgvigil stays.
  world.postgres.server.kill('SIGQUIT');
  await viewer.becomes('disconnected', 30_000);
  await until('the alert', async () => /has not been live[\s\S]*Cannot evaluate [\s\S]*enough users/.test(await viewer.page.innerText('#alerts-active')));
  assert.match(await viewer.page.innerText('#alerts-caution'), /^Cannot evaluate: rules about counts are blind/);
  await looker(viewer, size)('blind');
  await viewer.close();
});
