/** Nothing stale is shown as live: what the page does when what stands behind it fails. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { freePort } from './support/postgres.js';
import { Proxy } from './support/proxy.js';
import { until } from './support/wait.js';
import { startWorld } from './support/world.js';

/** Silence is a loss after 5 s; the page looks at least twice a second, and this machine may be busy. */
const LOSS_MS = 6500;

/** @type {Awaited<ReturnType<typeof startWorld>>} */
let world;
/** @type {number} */
let proxyPort;
before(async () => {
  proxyPort = await freePort();
  world = await startWorld({ origins: [`http://127.0.0.1:${proxyPort}`] });
});
after(() => world?.stop());

const users = () => world.postgres.sql('SELECT count(*) FROM "User"');
let nextUser = 1000;
const addUser = () => world.postgres.sql(`INSERT INTO "User" VALUES (${nextUser++}, 'x@example.org')`);

/** @param {number} ms */
function elapsed(ms) {
  const end = performance.now() + ms;
  return () => performance.now() > end;
}

/** @param {import('./support/viewer.js').Viewer} viewer */
async function isLost(viewer) {
  await viewer.becomes('disconnected', LOSS_MS);
  assert.deepEqual(await viewer.unmarkedNumbers(), []);
  assert.match(await viewer.page.title(), /^✕ disconnected/);
  assert.match((await viewer.counts())['public.User'], /^\d+$/);
  assert.equal(await viewer.page.textContent('#count-heading'), 'Last known');
  assert.match(await viewer.page.textContent('#change-heading') ?? '', / old$/);
}

/** @param {import('./support/viewer.js').Viewer} viewer */
async function isBack(viewer) {
  await viewer.becomes('live', 30_000);
  await viewer.shows('public.User', users());
}

test('pgvigil is killed, and comes again', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  await viewer.shows('public.User', users());
  await world.pgvigil.kill();
  await isLost(viewer);
  await until('a countdown', async () => /Trying again in \d+ s/.test(await viewer.page.textContent('#trouble-text') ?? ''));
  addUser();
  assert.deepEqual(await viewer.unmarkedNumbers(), []);
  await world.pgvigil.start(world.postgres.url());
  await isBack(viewer);
  await viewer.card(/gap: changes here are not known/);
  await viewer.close();
});

test('pgvigil stands still without closing anything', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  world.pgvigil.signal('SIGSTOP');
  try {
    await isLost(viewer);
  } finally {
    world.pgvigil.signal('SIGCONT');
  }
  await isBack(viewer);
  await viewer.close();
});

test('the network swallows everything', async () => {
  const proxy = new Proxy(proxyPort, world.pgvigil.port);
  const viewer = await world.open({ url: proxy.url });
  await viewer.becomes('live');
  proxy.silence();
  addUser();
  await isLost(viewer);
  proxy.heal();
  await isBack(viewer);

  // What happened meanwhile comes after all: the stream goes on from the last event.
  addUser();
  await viewer.card(new RegExp(`User id=${nextUser - 1}`));
  await viewer.card(new RegExp(`User id=${nextUser - 2}`));
  proxy.reset();
  await viewer.becomes('disconnected');
  addUser();
  await isBack(viewer);
  await viewer.card(new RegExp(`User id=${nextUser - 1}`));
  await viewer.close();
  proxy.stop();
});

test('the network delivers everything, but ever later', async () => {
  const proxy = new Proxy(proxyPort, world.pgvigil.port);
  const viewer = await world.open({ url: proxy.url });
  await viewer.becomes('live');
  proxy.trickle();
  await viewer.becomes('lagging', 25_000);
  assert.match(await viewer.page.textContent('#state-age') ?? '', /^behind \d/);
  assert.match(await viewer.page.textContent('tr[data-table="public.User"] .change') ?? '', /^behind \d/);
  proxy.heal();
  await isBack(viewer);
  await viewer.close();
  proxy.stop();
});

test('PostgreSQL stands still: its silence is not the page\'s word for live', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  const walsender = world.postgres.sql('SELECT pid FROM pg_stat_replication');
  process.kill(Number(walsender), 'SIGSTOP');
  try {
    await until('the page is no longer live', async () => (await viewer.state()) !== 'live', 8000);
    const seen = await viewer.page.textContent('#count-heading') + (await viewer.page.textContent('tr[data-table="public.User"]') ?? '');
    assert.match(seen, /behind|Last known|—/);
  } finally {
    process.kill(Number(walsender), 'SIGCONT');
  }
  await isBack(viewer);
  await viewer.close();
});

test('a page that slept wakes up without a live number', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  // After each frame that is drawn, with its time: what a person saw from then on. (The frame that sleep cut in two is of before.)
  await viewer.page.evaluate(() => {
    /** @type {{at: number, live: boolean}[]} */
    const frames = [];
    Object.assign(window, { frames });
    const drawn = new MessageChannel();
    drawn.port1.onmessage = ({ data: at }) => {
      const veil = document.getElementById('veil');
      const covered = veil !== null && getComputedStyle(veil).opacity === '1';
      frames.push({ at, live: document.documentElement.dataset.state === 'live' && !covered });
    };
    const frame = (/** @type {number} */ at) => {
      drawn.port2.postMessage(at);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const frames = () => viewer.page.evaluate(() => /** @type {Window & {frames?: {at: number, live: boolean}[]}} */ (window).frames ?? []);
  await until('some frames are drawn', async () => (await frames()).length > 3);
  let connections = 0;
  viewer.page.on('websocket', () => (connections += 1));
  const renderers = await world.renderers();
  for (const pid of renderers) process.kill(pid, 'SIGSTOP');
  addUser();
  await until('pgvigil has spoken for longer than the page may be silent', elapsed(7000), 10_000);
  for (const pid of renderers) process.kill(pid, 'SIGCONT');
  await isBack(viewer);
  const seen = await frames();
  const woken = seen.findIndex(({ at }, i) => i > 0 && at - seen[i - 1].at > 5000);
  assert.ok(woken > 0, 'it did sleep');
  assert.ok(seen.slice(0, woken).some(({ live }) => live), 'it was live before');
  assert.equal(seen[woken].live, false);
  assert.equal(connections, 1, 'the old connection is not believed again');
  await viewer.close();
});

test('a page that no longer paints is covered by the browser itself', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  const covered = () => viewer.page.evaluate(() => getComputedStyle(/** @type {Element} */ (document.getElementById('veil'))).opacity === '1');
  assert.equal(await covered(), false);
  await viewer.page.evaluate(() => {
    window.requestAnimationFrame = () => 0;
    for (let id = setTimeout(() => {}); id > 0; id--) clearTimeout(id);
  });
  await until('the veil is down', covered, LOSS_MS);
  await viewer.close();
});

test('another database under the same address blocks the page', async () => {
  const viewer = await world.open();
  await viewer.becomes('live');
  addUser();
  await viewer.card(/User/);
  world.postgres.sql('CREATE DATABASE lookalike');
  world.postgres.sql('CREATE TABLE secret (id int); INSERT INTO secret VALUES (42); CREATE PUBLICATION pgvigil FOR TABLE secret', { database: 'lookalike' });
  await world.pgvigil.kill();
  await world.pgvigil.start(world.postgres.url('lookalike'));
  await viewer.becomes('wrong_database', 30_000);
  const text = await viewer.page.evaluate(() => document.body.innerText);
  assert.match(text, /expected[\s\S]*postgres@127\.0\.0\.1[\s\S]*actual[\s\S]*lookalike@127\.0\.0\.1/);
  assert.deepEqual(await viewer.counts(), {});
  assert.deepEqual(await viewer.cards(), []);
  assert.doesNotMatch(text, /secret|example\.org/);
  await viewer.close();
  await world.pgvigil.kill();
  await world.pgvigil.start(world.postgres.url());
});
