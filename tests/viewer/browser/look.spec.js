/** How it looks, on a phone and on a wide screen, in light and in dark; and for those who see it differently. */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { startWorld } from './support/world.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PICTURES = path.join(import.meta.dirname, '../screenshots');

/** @type {Awaited<ReturnType<typeof startWorld>>} */
let world;
before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  world = await startWorld();
});
after(() => world?.stop());

/** @param {import('./support/viewer.js').Viewer} viewer */
async function hasNoBarriers(viewer) {
  const violations = await viewer.page.evaluate(`${AXE};
    Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations !== Infinity && a.effect.target.id !== 'veil').map((a) => a.finished.catch(() => {})))
      .then(() => axe.run()).then(({ violations }) => violations.map(({ id, impact, nodes }) => ({ id, impact, on: nodes.map((node) => node.html.slice(0, 160)) })))`);
  assert.deepEqual(/** @type {{impact: string}[]} */ (violations).filter(({ impact }) => impact !== 'minor'), []);
}

for (const [width, height] of [[360, 740], [1440, 900]]) {
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    test(`${width} px, ${colorScheme}`, async (t) => {
      t.after(() => world.pgvigil.signal('SIGCONT'));
      const narrow = width < 760;
      const viewer = await world.open({ width, height, colorScheme, touch: narrow });
      const look = async (/** @type {string} */ name) => {
        await viewer.fits();
        await hasNoBarriers(viewer);
        await viewer.page.screenshot({ path: path.join(PICTURES, `${name}-${width}-${colorScheme}.png`) });
      };
      await viewer.becomes('live');
      world.postgres.sql(`
        BEGIN; UPDATE "User" SET status = 'void', bio = NULL WHERE id IN (20, 21); INSERT INTO "GameRequest" VALUES (5000, 'open', repeat('a long note ', 40)); COMMIT;
        DELETE FROM "User" WHERE id < 10; UPDATE "GameRequest" SET status = 'closed' WHERE id = 5000; DELETE FROM "GameRequest" WHERE id = 5000;
        INSERT INTO "User" SELECT i, 'user' || i || '@example.org' FROM generate_series(1, 9) i; INSERT INTO billing.invoice VALUES (1, 9.50); TRUNCATE billing.invoice`);
      if (narrow) {
        await look('tables');
        await viewer.page.tap('#tab-feed');
      }
      await viewer.card(/TRUNC/);
      await look('feed');
      await viewer.page.locator('.card-toggle').first().click();
      await look('paused');
      await viewer.page.keyboard.press('?');
      await viewer.page.locator('#help').waitFor();
      await look('help');
      await viewer.page.keyboard.press('Escape');
      if (narrow) await viewer.page.tap('#tab-tables');
      world.pgvigil.signal('SIGSTOP');
      await viewer.becomes('disconnected');
      await look('disconnected');
      world.pgvigil.signal('SIGCONT');
      await viewer.becomes('live', 30_000);
      await viewer.close();
    });
  }
}

test('everything that a finger presses is large enough', async () => {
  const viewer = await world.open({ width: 360, height: 740, touch: true });
  await viewer.becomes('live');
  world.postgres.sql('DELETE FROM "GameRequest" WHERE id <= 10');
  const small = () => viewer.page.evaluate(() =>
    [...document.querySelectorAll('button')].filter((button) => button.checkVisibility()).map((button) => ({ button: button.id || button.className, height: Math.round(button.getBoundingClientRect().height) })).filter(({ height }) => height < 43),
  );
  assert.deepEqual(await small(), []);
  await viewer.page.tap('#tab-feed');
  await viewer.card(/\+5 more/);
  assert.deepEqual(await small(), []);
  await viewer.close();
});

test('no name, value or number is so long that it widens the page', async (t) => {
  const long = 'a_name_of_sixty_three_bytes_that_nowhere_has_a_place_to_break_x';
  const emoji = '🧨'.repeat(15);
  world.postgres.sql(`CREATE TABLE "${long}" (id text PRIMARY KEY, "${emoji}" text); CREATE TABLE "${emoji}" (LIKE "${long}" INCLUDING ALL)`);
  t.after(() => world.postgres.sql(`DROP TABLE "${long}", "${emoji}"`));
  for (const width of [360, 1024, 1440]) {
    const viewer = await world.open({ width, height: 860, touch: width < 760 });
    await viewer.becomes('live');
    await viewer.shows(`public.${emoji}`, '0');
    for (const name of [long, emoji]) {
      world.postgres.sql(`INSERT INTO "${name}" SELECT i || repeat('k', 600), repeat('🧨', 1500) FROM generate_series(1, 20) i; DELETE FROM "${name}"`);
    }
    await viewer.shows(`public.${emoji}`, '0');
    await viewer.fits();
    if (width === 360) await viewer.page.tap('#tab-feed');
    await viewer.card(/INS.*🧨/);
    await viewer.fits();
    await viewer.page.locator('.card-toggle').first().click();
    await viewer.fits();
    await viewer.close();
  }
});

test('who asked for less motion gets none', async () => {
  const viewer = await world.open();
  await viewer.page.emulateMedia({ reducedMotion: 'reduce' });
  await viewer.becomes('live');
  world.postgres.sql('DELETE FROM "GameRequest" WHERE id = 900');
  await viewer.card(/id=900/);
  assert.equal(await viewer.page.evaluate(() => document.getAnimations().filter(({ effect }) => effect instanceof KeyframeEffect && effect.target?.id !== 'veil').length), 0);
  await viewer.close();
});
