/** How it looks, on a phone and on a wide screen, in light and in dark; and for those who see it differently. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { looker, SIZES, tooSmall } from './support/looks.js';
import { startWorld } from './support/world.js';

/** @type {Awaited<ReturnType<typeof startWorld>>} */
let world;
before(async () => (world = await startWorld()));
after(() => world?.stop());

for (const size of SIZES) {
  test(`${size.width} px, ${size.colorScheme}`, async (t) => {
    t.after(() => world.pgvigil.signal('SIGCONT'));
    const viewer = await world.open(size);
    const look = looker(viewer, size);
    await viewer.becomes('live');
    world.postgres.sql(`
      BEGIN; UPDATE "User" SET status = 'void', bio = NULL WHERE id IN (20, 21); INSERT INTO "GameRequest" VALUES (5000, 'open', repeat('a long note ', 40)); COMMIT;
      DELETE FROM "User" WHERE id < 10; UPDATE "GameRequest" SET status = 'closed' WHERE id = 5000; DELETE FROM "GameRequest" WHERE id = 5000;
      INSERT INTO "User" SELECT i, 'user' || i || '@example.org' FROM generate_series(1, 9) i; INSERT INTO billing.invoice VALUES (1, 9.50); TRUNCATE billing.invoice`);
    if (size.touch) {
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
    if (size.touch) await viewer.page.tap('#tab-tables');
    world.pgvigil.signal('SIGSTOP');
    await viewer.becomes('disconnected');
    await look('disconnected');
    world.pgvigil.signal('SIGCONT');
    await viewer.becomes('live', 30_000);
    await viewer.close();
  });
}

test('everything that a finger presses is large enough', async () => {
  const viewer = await world.open({ width: 360, height: 740, touch: true });
  await viewer.becomes('live');
  world.postgres.sql('DELETE FROM "GameRequest" WHERE id <= 10');
  assert.deepEqual(await tooSmall(viewer), []);
  await viewer.page.tap('#tab-feed');
  await viewer.card(/\+5 more/);
  assert.deepEqual(await tooSmall(viewer), []);
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
    await viewer.page.keyboard.press('g');
    await viewer.page.keyboard.press('d');
    await viewer.page.locator('.verdict:not(.waiting)').waitFor();
    await viewer.page.locator('.falls').waitFor();
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
