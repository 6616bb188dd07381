/** How alerts and the page of a transaction look, on a phone and on a wide screen, in light and in dark. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { SHOP } from './support/incident.js';
import { looker, SIZES, tooSmall } from './support/looks.js';
import { until } from './support/wait.js';
import { startWorld } from './support/world.js';

/** @type {Awaited<ReturnType<typeof startWorld>>} */
let world;
before(async () => (world = await startWorld({ schema: SHOP, setup: true, settings: { logical_decoding_work_mem: '64kB' } })));
after(() => world?.stop());

const RESTOCK = `
  INSERT INTO "User" SELECT i, 'user' || i || '@example.org', 'Ann ' || i FROM generate_series(1, 22) i ON CONFLICT DO NOTHING;
  INSERT INTO "Order" SELECT i, 1 + i % 11, 10 + i FROM generate_series(1, 40) i ON CONFLICT DO NOTHING;
  INSERT INTO "Item" SELECT i, 1, 'sku-' || i % 7 FROM generate_series(1, 40) i ON CONFLICT DO NOTHING;
  INSERT INTO "Cart" SELECT i, 'gift' FROM generate_series(1, 18) i ON CONFLICT DO NOTHING;
  INSERT INTO "Session" SELECT i, i, 'Firefox' FROM generate_series(1, 5) i ON CONFLICT DO NOTHING;
  INSERT INTO "Visit" SELECT i, '/item/' || i % 90 FROM generate_series(1, 30000) i ON CONFLICT DO NOTHING`;

for (const size of SIZES) {
  test(`an incident at ${size.width} px, ${size.colorScheme}`, async (t) => {
    t.after(() => world.postgres.sql(RESTOCK));
    const viewer = await world.open(size);
    const look = looker(viewer, size);
    const { page } = viewer;
    const go = async (/** @type {string} */ key) => {
      await page.keyboard.press('g');
      await page.keyboard.press(key);
    };
    const explained = () => page.locator('.verdict:not(.waiting)').waitFor();
    const scroll = (/** @type {number} */ y) => page.evaluate((y) => document.getElementById('transaction-scroll')?.scrollTo(0, y), y);
    await viewer.becomes('live');
    await go('f');
    world.postgres.sql(`BEGIN; SELECT pg_logical_emit_message(true, 'pgvigil.annotation', '{"user": "paul", "request": "PUT /cart/7"}'); UPDATE "Cart" SET note = 'card' WHERE id = 7; COMMIT`);
    world.postgres.sql(`SET ROLE shop; BEGIN; DELETE FROM "User" WHERE id < 20; DELETE FROM "Session" WHERE id = 1; COMMIT`, { role: 'alice' });
    await page.locator('#alert-bar').waitFor();
    await viewer.card(/User −19/);
    await look('alert');
    if (size.touch) assert.deepEqual(await tooSmall(viewer), []);

    await go('d');
    await explained();
    await look('transaction');
    // On a phone who did it fills the screen: what can be brought back is said before, and leads there.
    assert.equal(await page.locator('.jump').isVisible(), size.touch);
    if (size.touch) {
      assert.match(await page.innerText('.jump'), /\d+ of \d+ rows can be brought back/);
      await page.locator('.jump').click({ timeout: 1000 });
      await until('it is there', async () => ((await page.locator('#transaction-undo h3').first().boundingBox())?.y ?? Infinity) < size.height / 2);
    }
    await scroll(620);
    await look('transaction-undo');
    await page.getByText('Show SQL').click();
    await page.locator('.code.sql').waitFor();
    await page.locator('.code.sql').scrollIntoViewIfNeeded();
    await look('transaction-sql');
    await page.locator('.taken > summary').first().click();
    await page.locator('.taken > summary').first().scrollIntoViewIfNeeded();
    await look('transaction-rows');
    if (size.touch) assert.deepEqual(await tooSmall(viewer), []);

    await page.keyboard.press('Escape');
    world.postgres.sql('TRUNCATE "Cart"');
    await until('the newest delete is the truncate', async () => {
      await go('d');
      return (await page.innerText('#transaction-lead')) === 'Cart was truncated';
    });
    await explained();
    await look('truncate');
    await page.goto(page.url().replace(/tx=\w+-/, 'tx=k0-'));
    await page.locator('.problem').waitFor();
    await look('gone');

    await go('f');
    const session = world.postgres.session('alice');
    session.write('BEGIN; DELETE FROM "Visit" WHERE id > 10000;\n');
    await page.locator('#running').waitFor();
    await look('running');
    session.end('COMMIT;\n');
    await viewer.card(/Visit −20,000/);
    world.postgres.sql(RESTOCK);
    await go('a');
    await until('something is resolved', () => page.locator('#alerts-recent .alert').count());
    await look('alerts');
    if (size.touch) assert.deepEqual(await tooSmall(viewer), []);
    await viewer.close();
  });
}
