/** Something was deleted: who, what exactly, what went with it, and how it comes back. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { SHOP } from './support/incident.js';
import { until } from './support/wait.js';
import { startWorld } from './support/world.js';

/** @type {Awaited<ReturnType<typeof startWorld>>} */
let world;
before(async () => (world = await startWorld({ schema: SHOP, setup: true, settings: { logical_decoding_work_mem: '64kB' } })));
after(() => world?.stop());

const STATEMENT = 'DELETE FROM "User" WHERE id < 20 -- test accounts';
const alice = (sql) => world.postgres.sql(sql, { role: 'alice' });

async function opened(options = {}) {
  const viewer = await world.open(options);
  await viewer.becomes('live');
  const text = (/** @type {string} */ id) => viewer.page.evaluate((id) => document.getElementById(id)?.innerText ?? '', id);
  return Object.assign(viewer, {
    text,
    /** What the page of the transaction says, once all of it is known. */
    async explained() {
      await viewer.page.locator('.verdict:not(.waiting)').waitFor();
      await viewer.page.locator('.falls').waitFor();
      return text('transaction-scroll');
    },
    /** Nothing is said of the drop any more. Another alert may hold still. */
    calm: () => until('the alert goes', async () => !/40 → 0/.test(await viewer.page.isVisible('#alert-bar') ? await text('alert-bar') : '')),
    investigating: () => viewer.page.evaluate(() => document.documentElement.hasAttribute('data-investigating')),
  });
}

/** Deletes, and brings back by the SQL that the page offers. @param {Awaited<ReturnType<typeof opened>>} viewer */
async function incident(viewer) {
  alice(`SET ROLE shop; ${STATEMENT}`);
  return viewer.card(/User −19 → 3/);
}

async function broughtBack() {
  const { events } = await (await fetch(`${world.pgvigil.url}api/v1/events?kinds=commit&op=delete&table=User&limit=1`)).json();
  const { sql } = await (await fetch(`${world.pgvigil.url}api/v1/transactions/${events[0].tx.id}/undo`)).json();
  world.postgres.sql(sql);
  assert.equal(world.postgres.sql('SELECT count(*) FROM "User"'), '22');
}

test('a card says who; what an application says of itself is only said', async () => {
  const viewer = await opened();
  assert.match(await incident(viewer), /alice as shop \(psql\)/);
  world.postgres.sql(`BEGIN; SELECT pg_logical_emit_message(true, 'pgvigil.annotation', '{"user": "<b>paul</b>"}'); UPDATE "Cart" SET note = 'told' WHERE id = 2; COMMIT`);
  assert.match(await viewer.card(/note.*told/), /says user=<b>paul<\/b>/);
  assert.equal(await viewer.page.locator('.card:has-text("told") .who > b').count(), 0);
  world.postgres.sql(`UPDATE "Cart" SET note = 'untold' WHERE id = 3`);
  await viewer.card(/note.*untold/);
  assert.equal(await viewer.page.locator('.card:has-text("untold") .who').count(), 0);
  await broughtBack();
  await viewer.close();
});

test('an alert is shown, said and in the title, and goes when it is over', async () => {
  const viewer = await opened();
  await incident(viewer);
  await until('the bar names the drop', async () => /(Order|Item) 40 → 0\s*▼40[\s\S]*40 rows deleted in 1 tx[\s\S]*\d\d:\d\d:\d\d[\s\S]*alice as shop \(psql\)[\s\S]*\+\d more/.test(await viewer.text('alert-bar')));
  await until('the title has it', async () => /^▲ (Order|Item) 40 → 0 \+\d · postgres · pgvigil$/.test(await viewer.page.title()));
  assert.match(await viewer.page.textContent('#alarm') ?? '', /critical alert: (Order|Item) fell from 40 to 0/);
  assert.equal(await viewer.page.getAttribute('#alarm', 'aria-live'), 'assertive');
  await broughtBack();
  await viewer.calm();
  assert.doesNotMatch(await viewer.page.title(), /40 → 0/);
  await viewer.page.keyboard.press('g');
  await viewer.page.keyboard.press('a');
  await until('it is among the recent ones', async () => /RESOLVED[\s\S]*rule count_zero[\s\S]*can be undone/i.test(await viewer.text('alerts')));
  await viewer.close();
});

test('an acknowledgement hides it on this page only, also after a reload', async () => {
  const [viewer, other] = [await opened(), await opened()];
  await incident(viewer);
  const acknowledge = async () => {
    await viewer.page.locator('#alert-acknowledge').waitFor();
    await until('nothing is left to acknowledge', async () => {
      if (await viewer.page.isVisible('#alert-acknowledge')) await viewer.page.click('#alert-acknowledge');
      return !(await viewer.page.isVisible('#alert-bar'));
    });
  };
  await until('both alerts', async () => /\+1 more/.test(await viewer.text('alert-bar')));
  await acknowledge();
  await viewer.page.reload();
  await viewer.becomes('live');
  await until('the alerts are known', async () => /Alerts, [2-9] active/.test(await viewer.page.getAttribute('#alerts-button', 'aria-label') ?? ''));
  assert.equal(await viewer.page.isVisible('#alert-bar'), false);
  await viewer.page.click('#alerts-button');
  await until('the list says so', async () => /acknowledged on this page/.test(await viewer.text('alerts-active')));
  assert.equal(await other.page.isVisible('#alert-bar'), true);
  await broughtBack();
  await viewer.close();
  await other.close();
});

test('an alert does not move what is read in a paused feed', async () => {
  const viewer = await opened();
  for (let i = 0; i < 30; i++) world.postgres.sql(`UPDATE "Cart" SET note = 'n${i}' WHERE id = 1`);
  await viewer.card(/note.*n29/);
  await viewer.page.keyboard.press('Space');
  await until('it is paused', () => viewer.page.isVisible('#pause-note'));
  const still = await viewer.picture();
  alice(STATEMENT);
  await viewer.page.locator('#alert-bar').waitFor();
  const same = async () => JSON.stringify(await viewer.picture()) === JSON.stringify(still);
  await until('the cards stand where they stood', same);
  await broughtBack();
  await viewer.calm();
  await until('the cards stand still', same);
  await viewer.close();
});

test('the investigator explains a delete, and its SQL brings it back', async () => {
  const viewer = await opened();
  await incident(viewer);
  await viewer.page.locator('#alert-investigate').click();
  const text = await viewer.explained();
  assert.match(text, /19 rows deleted from User, and 80 of 2 other tables/);
  assert.match(text, /History: as it was when it was committed, \d\d:\d\d:\d\d\.\d{3} on/);
  assert.match(text, /User\s+22\s+3\s+−19 deleted[\s\S]*Order\s+40\s+0\s+−40 deleted/);
  assert.match(text, /Logged in as\s+alice[\s\S]*Role\s+shop[\s\S]*Application\s+psql[\s\S]*From\s+127\.0\.0\.1/);
  assert.ok(text.includes(STATEMENT));
  assert.match(text, /99 of 99 rows can be brought back, all columns[\s\S]*pgvigil undo --url http:\/\/127\.0\.0\.1:\d+ --tx \w+-\w+-\w+ --apply[\s\S]*SQL/);
  assert.match(text, /User id=1\s+email user1@example\.org[\s\S]*took along by foreign key: 3 Order, 3 Item/);

  const taken = viewer.page.locator('.falls > .row').first().locator('> .taken');
  await taken.locator('> summary').click();
  await until('what it took along', async () => /Order by Order_user_id_fkey[\s\S]*Order id=\d+\s+user_id 1[\s\S]*took along by foreign key: 1 Item/.test(await taken.innerText()));

  await viewer.page.getByText('Show SQL').click();
  await until('the SQL is drawn', async () => /pgvigil undo: transaction/.test(await viewer.text('transaction-undo')));
  await viewer.page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await viewer.page.getByText('Copy SQL').click();
  await viewer.page.getByText('Copied').waitFor();
  const sql = await viewer.page.evaluate(() => navigator.clipboard.readText());
  world.postgres.sql(sql);
  await viewer.shows('public.User', '22');
  await viewer.shows('public.Item', '40');
  assert.match(await viewer.text('transaction-tables'), /User\s+22\s+3/, 'history stays as it was');
  await viewer.page.reload();
  assert.match(await viewer.explained(), /All 99 rows are as they were before, again/);
  await viewer.page.getByText('Copy JSON').click();
  await viewer.page.getByText('Copied').first().waitFor();
  const json = JSON.parse(await viewer.page.evaluate(() => navigator.clipboard.readText()));
  assert.equal(json.events.filter(({ type }) => type === 'change').length, 99);
  await viewer.close();
});

test('what the log does not hold is said plainly', async (t) => {
  t.after(() => world.postgres.sql(`INSERT INTO "Cart" SELECT i, 'gift' FROM generate_series(1, 18) i; INSERT INTO "Session" SELECT i, i, 'Firefox' FROM generate_series(3, 5) i`));
  const viewer = await opened();
  world.postgres.sql('DELETE FROM "Session" WHERE id > 2');
  await viewer.card(/Session −3/);
  await viewer.page.keyboard.press('j');
  await viewer.page.keyboard.press('i');
  assert.match(await viewer.explained(), /0 of 3 rows can be brought back[\s\S]*Session: 3 rows not, for want of user_id, agent: the log tells old rows by their key only[\s\S]*what the row held is not in the log: replica identity DEFAULT/);

  await viewer.page.keyboard.press('Escape');
  await until('the page of the transaction is closed', async () => !(await viewer.investigating()));
  await viewer.page.keyboard.press('Space');
  world.postgres.sql('TRUNCATE "Cart"');
  await viewer.card(/Cart ∅/);
  await viewer.page.keyboard.press('g');
  await viewer.page.keyboard.press('d');
  assert.match(await viewer.explained(), /Cart was truncated[\s\S]*Cart\s+18\s+0\s+∅ truncated, 18 gone[\s\S]*0 of 18 rows can be brought back[\s\S]*TRUNCATE removes rows without telling them[\s\S]*the log does not hold them/);
  await viewer.close();
});

test('a transaction has an address, which says so when it is no longer there', async () => {
  const viewer = await opened();
  await incident(viewer);
  await viewer.page.locator('.card:has-text("User −19") .card-lens').first().click();
  await viewer.explained();
  const address = viewer.page.url();
  assert.match(address, /\?tx=\w+-[0-9A-F]+-[0-9A-F]+$/);
  await viewer.page.reload();
  await viewer.becomes('live');
  assert.match(await viewer.explained(), /19 rows deleted from User/);
  await viewer.page.click('#transaction-close');
  assert.doesNotMatch(viewer.page.url(), /tx=/);
  await viewer.page.goBack();
  assert.match(await viewer.explained(), /19 rows deleted from User/);
  await broughtBack();
  await viewer.close();

  const stale = await world.open({ url: address.replace(/tx=\w+-/, 'tx=k0-') });
  await stale.becomes('live');
  await stale.page.locator('.problem').waitFor();
  assert.match(await stale.page.innerText('.problem'), /This transaction is not in the history/);
  const nonsense = await world.open({ url: address.replace(/tx=.*/, 'tx=<b>') });
  await nonsense.page.locator('.problem').waitFor();
  assert.match(await nonsense.page.innerText('.problem'), /“<b>” is not the id of a transaction/);
  await stale.page.context().close();
  await nonsense.close();
});

test('a large transaction is announced while it runs, then read a page at a time', async (t) => {
  t.after(() => world.postgres.sql(`INSERT INTO "Visit" SELECT i, '/item/' || i % 90 FROM generate_series(10001, 30000) i`));
  const viewer = await opened();
  const session = world.postgres.session('alice');
  session.write('BEGIN; DELETE FROM "Visit" WHERE id > 10000;\n');
  // Whose it is stands there before any trigger could tell.
  await until('it is announced', async () => /tx \d+ is deleting from Visit: \d+,\d{3} rows so far, not committed · alice \(psql\)/.test(await viewer.text('running')));
  await viewer.shows('public.Visit', '30,000');
  session.write('ROLLBACK;\n');
  await until('it is withdrawn', async () => /was rolled back: nothing of it happened/.test(await viewer.text('running')));
  await until('it is gone', async () => !(await viewer.page.isVisible('#running')));

  session.end('DELETE FROM "Visit" WHERE id > 10000;\n');
  await viewer.card(/Visit −20,000/);
  await viewer.page.keyboard.press('g');
  await viewer.page.keyboard.press('d');
  assert.match(await viewer.explained(), /20,000 of 20,000 rows can be brought back, all columns/);
  const rows = viewer.page.locator('#transaction-rows .row');
  const elements = await viewer.page.evaluate(() => document.querySelectorAll('#transaction *').length);
  assert.ok(elements < 12_000, `${elements} elements`);
  assert.match(await rows.first().innerText(), /Visit id=10001/);
  await viewer.page.getByRole('button', { name: 'Last' }).click();
  await until('the last page', async () => /id=30000/.test(await rows.last().innerText()));
  await viewer.page.getByRole('button', { name: 'Previous' }).press('Enter');
  await until('the page before', async () => !/id=30000/.test(await rows.last().innerText()));
  assert.equal(await viewer.page.evaluate(() => document.activeElement?.textContent), 'Previous', 'the focus stays');
  await viewer.close();
});

test('the keyboard goes there and back', async () => {
  const viewer = await opened();
  await incident(viewer);
  await viewer.page.locator('#alert-investigate').focus();
  await viewer.page.keyboard.press('Enter');
  await viewer.explained();
  assert.equal(await viewer.page.evaluate(() => document.activeElement?.id), 'transaction-title');
  await viewer.page.keyboard.press('Escape');
  await until('the focus is where it was', () => viewer.page.evaluate(() => document.activeElement?.id === 'alert-investigate'));
  await broughtBack();
  await viewer.close();
});

test('the page is lost while an alert holds: the alert is as last heard', async (t) => {
  t.after(() => world.pgvigil.signal('SIGCONT'));
  const viewer = await opened();
  await incident(viewer);
  await viewer.page.locator('#alert-bar').waitFor();
  world.pgvigil.signal('SIGSTOP');
  await viewer.becomes('disconnected');
  assert.match(await viewer.text('alert-bar'), /as last heard/);
  assert.match(await viewer.page.textContent('#alerts-caution') ?? '', /has lost pgvigil/);
  assert.match(await viewer.page.title(), /^✕ disconnected · ▲/);
  world.pgvigil.signal('SIGCONT');
  await viewer.becomes('live', 30_000);
  await broughtBack();
  await viewer.calm();
  await viewer.close();
});
