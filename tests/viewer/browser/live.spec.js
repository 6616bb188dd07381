/** What a person sees while all is well. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { until } from './support/wait.js';
import { startWorld } from './support/world.js';

/** @type {Awaited<ReturnType<typeof startWorld>>} */
let world;
before(async () => (world = await startWorld({ setup: true })));
after(() => world?.stop());

const exact = (table) => Number(world.postgres.sql(`SELECT count(*) FROM ${table}`)).toLocaleString('en');

test('the counts are those of the database, and follow it', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  const tables = { 'public.User': '"User"', 'public.GameRequest': '"GameRequest"', 'public.Log': '"Log"', 'public.Log_2026': '"Log_2026"', 'billing.invoice': 'billing.invoice' };
  for (const [name, sql] of Object.entries(tables)) await viewer.shows(name, exact(sql));

  world.postgres.sql(`INSERT INTO "Log" VALUES (9001, '2026-02-02'), (9002, '2027-02-02'); DELETE FROM "User" WHERE id <= 5`);
  for (const [name, sql] of Object.entries(tables)) await viewer.shows(name, exact(sql));
  assert.match(await viewer.page.textContent('#database') ?? '', /^postgres@127\.0\.0\.1:\d+$/);
  assert.match(await viewer.page.textContent('#state-age') ?? '', /^verified \d\.\d s ago$/);
  assert.match(await viewer.page.textContent('#as-of') ?? '', /^as of [0-9A-F]+\/[0-9A-F]+$/);
  assert.match(await viewer.page.title(), /^postgres · pgvigil$/);
  await viewer.close();
});

test('what cannot be counted has no number, but a reason', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  await viewer.shows('public.scratch', '—');
  const reason = (table) => viewer.page.textContent(`tr[data-table="${table}"] .reason`);
  assert.match(await reason('public.scratch') ?? '', /unlogged/i);
  await viewer.shows('public.leaderboard', '—');
  assert.match(await reason('public.leaderboard') ?? '', /materialized/i);
  await viewer.close();
});

test('a drop is named, flashes, and shows by how much', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  await viewer.shows('public.GameRequest', exact('"GameRequest"'));
  const flashed = viewer.page.evaluate(() => new Promise((resolve) => {
    const number = document.querySelector('tr[data-table="public.GameRequest"] td.count .number');
    const look = () => (number?.getAnimations().length ? resolve(true) : requestAnimationFrame(look));
    look();
  }));
  world.postgres.sql('DELETE FROM "GameRequest" WHERE id <= 300');
  await viewer.shows('public.GameRequest', exact('"GameRequest"'));
  assert.equal(await flashed, true);
  assert.equal(await viewer.page.textContent('tr[data-table="public.GameRequest"] .delta'), '▼300');
  assert.match(await viewer.page.textContent('#drops') ?? '', /GameRequest\s*1,000 → 700\s*▼300/);
  await viewer.card(/300 changes.*GameRequest −300 → 700.*\+295 more/);
  await viewer.close();
});

test('a page that is just opened shows what has just happened', async () => {
  world.postgres.sql(`UPDATE "User" SET status = 'early' WHERE id = 21; UPDATE "User" SET status = 'late' WHERE id = 22`);
  const viewer = await world.open();
  await viewer.becomes('live');
  assert.match(await viewer.card(/User id=22/), /status .* → late/);
  assert.match(await viewer.card(/User id=21/), /status .* → early/);
  await viewer.close();
});

test('an update shows old and new, or says why it cannot', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  world.postgres.sql(`UPDATE "User" SET status = 'void' WHERE id = 20`);
  const full = await viewer.card(/User id=20/);
  assert.match(full, /UPD.*status new became  → void/);
  assert.doesNotMatch(full, /email/, 'columns that did not change are left out');
  world.postgres.sql(`UPDATE "GameRequest" SET status = 'taken' WHERE id = 500`);
  assert.match(await viewer.card(/GameRequest id=500/), /status taken.*old values are not in the log: replica identity DEFAULT/);
  world.postgres.sql('DELETE FROM "GameRequest" WHERE id = 500');
  assert.match(await viewer.card(/DEL.*GameRequest id=500/), /not in the log: replica identity DEFAULT/);
  world.postgres.sql('INSERT INTO billing.invoice VALUES (1, 2), (2, 3); TRUNCATE billing.invoice');
  assert.match(await viewer.card(/TRUNC.*invoice/), /2 rows gone/);
  await viewer.close();
});

test('hostile values are text', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
  world.postgres.sql(`CREATE TABLE "<b>bold</b>" (id int PRIMARY KEY, "<i>column</i>" text);
    INSERT INTO "<b>bold</b>" VALUES (1, $$${hostile}$$); INSERT INTO "User" VALUES (666, $$${hostile}$$)`);
  assert.ok((await viewer.card(/User id=666/)).includes(hostile.slice(0, 60)));
  await viewer.shows('public.<b>bold</b>', '1');
  const seen = await viewer.page.evaluate(() => document.querySelectorAll('main img, main script, main b b, main i').length);
  assert.equal(seen, 0);
  assert.doesNotMatch(await viewer.page.title(), /owned/);
  await viewer.close();
});

test('a long value is collapsed, and opens', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  world.postgres.sql(`INSERT INTO "User" VALUES (777, 'long@example.org', 'new', repeat('lorem ', 2000))`);
  await viewer.card(/User id=777/);
  await viewer.page.click('article:has-text("id=777") .card-toggle');
  assert.match(await viewer.page.textContent('article:has-text("id=777") summary') ?? '', /11\.7 kB/);
  assert.equal(await viewer.page.textContent('article:has-text("id=777") pre'), '');
  await viewer.page.click('article:has-text("id=777") summary');
  await until('the value is whole', async () => (await viewer.page.textContent('article:has-text("id=777") pre'))?.length === 12_000);
  await viewer.close();
});

test('a click on a table filters the feed, in the address too', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  await viewer.page.click('tr[data-table="public.GameRequest"] .table-name');
  await viewer.page.click('#filter-ops [data-op="insert"]');
  assert.match(viewer.page.url(), /\?table=public\.GameRequest&op=insert$/);
  world.postgres.sql(`INSERT INTO "User" VALUES (888, 'other@example.org'); INSERT INTO "GameRequest" VALUES (8888); DELETE FROM "GameRequest" WHERE id = 8888`);
  await viewer.card(/GameRequest id=8888/);
  assert.ok((await viewer.cards()).every((text) => !/DEL|User/.test(text)));
  await viewer.page.goBack();
  await viewer.page.goBack();
  await viewer.card(/User id=888/);
  await viewer.close();
});
