/** The feed under hands and under load. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { until } from './support/wait.js';
import { startWorld } from './support/world.js';

/** @type {Awaited<ReturnType<typeof startWorld>>} */
let world;
before(async () => (world = await startWorld()));
after(() => world?.stop());

let nextId = 10_000;
/** As many transactions, of one row each. @param {number} n */
function commits(n) {
  const from = nextId;
  nextId += n;
  world.postgres.sql(`DO $$ BEGIN FOR i IN ${from}..${nextId - 1} LOOP INSERT INTO "GameRequest" VALUES (i); COMMIT; END LOOP; END $$`);
}
const note = (viewer) => viewer.page.textContent('#pause-note');
const newest = (viewer) => viewer.card(new RegExp(`id=${nextId - 1}(?!\\d)`));

async function opened() {
  const viewer = await world.open();
  await viewer.becomes('live');
  commits(40);
  await newest(viewer);
  return viewer;
}

/** @param {import('./support/viewer.js').Viewer} viewer */
async function standsStill(viewer) {
  await until('it is paused', async () => /^Paused at \d\d:\d\d:\d\d/.test(await note(viewer) ?? ''));
  const before = await viewer.picture();
  const said = Number(/(\d+) new/.exec(await note(viewer) ?? '')?.[1]);
  commits(30);
  await until('what is new is counted', async () => (await note(viewer))?.endsWith(`${said + 30} new ↑`));
  assert.deepEqual(await viewer.picture(), before);
  await viewer.shows('public.GameRequest', Number(world.postgres.sql('SELECT count(*) FROM "GameRequest"')).toLocaleString('en'));
}

test('Space pauses: the feed stands still, the counts go on', async () => {
  const viewer = await opened();
  await viewer.page.keyboard.press('Space');
  await standsStill(viewer);
  await viewer.page.keyboard.press('Space');
  await newest(viewer);
  assert.equal(await viewer.page.isVisible('#pause-note'), false);
  await viewer.close();
});

test('scrolling pauses, and the bar goes back to what is new', async () => {
  const viewer = await opened();
  await viewer.page.hover('#cards');
  await viewer.page.mouse.wheel(0, 600);
  await until('it is scrolled', () => viewer.page.evaluate(() => (document.getElementById('feed-scroll')?.scrollTop ?? 0) >= 600));
  await standsStill(viewer);
  await viewer.page.click('#pause-note');
  await newest(viewer);
  assert.equal(await viewer.page.evaluate(() => document.getElementById('feed-scroll')?.scrollTop), 0);
  await viewer.close();
});

test('selecting pauses, so that one can copy', async () => {
  const viewer = await opened();
  await viewer.page.dblclick('#cards .subject b');
  await standsStill(viewer);
  assert.equal(await viewer.page.evaluate(() => document.getSelection()?.toString()), 'GameRequest');
  await viewer.close();
});

test('j, k and Enter walk and open', async () => {
  const viewer = await opened();
  world.postgres.sql('DELETE FROM "User" WHERE id <= 12');
  await viewer.card(/User −12/);
  const selected = () => viewer.page.evaluate(() => [...document.querySelectorAll('#cards > *')].findIndex((card) => card.hasAttribute('data-selected')));
  for (const [key, place] of /** @type {const} */ ([['j', 0], ['j', 1], ['k', 0]])) {
    await viewer.page.keyboard.press(key);
    await until(`${key} selects ${place}`, async () => (await selected()) === place);
  }
  const rows = () => viewer.page.locator('#cards > [data-selected] .row').count();
  assert.equal(await rows(), 5);
  await viewer.page.keyboard.press('Enter');
  await until('all rows', async () => (await rows()) === 12);
  assert.equal(await viewer.page.evaluate(() => document.activeElement?.hasAttribute('data-selected')), true, 'the focus stays');
  await viewer.page.keyboard.press('Enter');
  await until('five rows', async () => (await rows()) === 5);
  await viewer.close();
});

test('thousands of transactions: the page stays small, and the newest is on top', async () => {
  const viewer = await opened();
  commits(2500);
  await newest(viewer);
  const elements = () => viewer.page.evaluate(() => document.getElementById('cards')?.querySelectorAll('*').length ?? 0);
  assert.ok((await elements()) < 3000, `${await elements()} elements`);
  assert.match((await viewer.cards())[0], new RegExp(`id=${nextId - 1}(?!\\d)`));

  // Down to the end, a step at a time.
  await viewer.page.keyboard.press('Space');
  await until('the end is reached', () => viewer.page.evaluate(() => {
    const scroll = document.getElementById('feed-scroll');
    if (!scroll) return false;
    const ended = scroll.scrollTop + scroll.clientHeight >= scroll.scrollHeight - 2;
    scroll.scrollTop += 20_000;
    return ended;
  }));
  assert.ok((await elements()) < 3000, `${await elements()} elements at the end`);
  await until('the end is said', async () => /these are the last 2,000/.test(await viewer.page.textContent('#feed-end') ?? ''));
  await viewer.shows('public.GameRequest', Number(world.postgres.sql('SELECT count(*) FROM "GameRequest"')).toLocaleString('en'));
  await viewer.close();
});

test('a transaction of 20,000 rows: counts exact, the page told what it left out', async () => {
  const viewer = await opened();
  world.postgres.sql(`INSERT INTO "Log" SELECT i, '2026-03-03' FROM generate_series(100001, 120000) i`);
  await viewer.shows('public.Log', Number(world.postgres.sql('SELECT count(*) FROM "Log"')).toLocaleString('en'));
  assert.match(await viewer.card(/Log_2026 \+20,000/), /20,000 changes.*not kept on this page/);
  await viewer.close();
});

test('where nothing tells of DDL, counts follow the changes and are right', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  world.postgres.sql('INSERT INTO "GameRequest" SELECT i FROM generate_series(5001, 5010) i');
  const card = await viewer.card(/10 changes.*GameRequest \+10/);
  assert.doesNotMatch(card, /\+10 →/, 'what is not certain yet is not told');
  const rows = Number(world.postgres.sql('SELECT count(*) FROM "GameRequest"')).toLocaleString('en');
  await viewer.shows('public.GameRequest', rows);
  await viewer.close();
});
