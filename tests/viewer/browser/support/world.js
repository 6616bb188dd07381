/** All that a browser test stands on: a PostgreSQL with a small schema, pgvigil before it, and Chromium. */

import { chromium } from 'playwright-core';

import { Pgvigil } from './pgvigil.js';
import { freePort, Postgres } from './postgres.js';
import { Viewer } from './viewer.js';

const ARGUMENTS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

// A test run that is told to end takes its servers with it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

export const SCHEMA = `
  CREATE TABLE "User" (id int PRIMARY KEY, email text NOT NULL, status text NOT NULL DEFAULT 'new', bio text);
  ALTER TABLE "User" REPLICA IDENTITY FULL;
  CREATE TABLE "GameRequest" (id int PRIMARY KEY, status text NOT NULL DEFAULT 'open', note text);
  CREATE TABLE "Log" (id int, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
  CREATE TABLE "Log_2026" PARTITION OF "Log" FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
  CREATE TABLE "Log_2027" PARTITION OF "Log" FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
  CREATE UNLOGGED TABLE scratch (id int);
  CREATE MATERIALIZED VIEW leaderboard AS SELECT 1 AS place;
  CREATE SCHEMA billing;
  CREATE TABLE billing.invoice (id int PRIMARY KEY, amount numeric);
  INSERT INTO "User" SELECT i, 'user' || i || '@example.org' FROM generate_series(1, 22) i;
  INSERT INTO "GameRequest" SELECT i FROM generate_series(1, 1000) i;
  INSERT INTO "Log" SELECT i, date '2026-06-01' + i FROM generate_series(1, 300) i;
`;

/**
 * `setup`: the database is prepared by `pgvigil setup`, so that it tells who deletes; else it has a publication and nothing more.
 *
 * @param {{origins?: string[], schema?: string, setup?: boolean, settings?: Record<string, string|number>, options?: string[]}} [options]
 */
export async function startWorld({ origins = [], schema = SCHEMA, setup = false, settings = {}, options = [] } = {}) {
  const postgres = await Postgres.start(settings);
  postgres.sql(schema);
  const pgvigil = new Pgvigil(await freePort(), origins, options);
  if (setup) pgvigil.run(['setup', '--apply', '--all-tables'], postgres.url());
  else postgres.sql('CREATE PUBLICATION pgvigil FOR ALL TABLES');
  await pgvigil.start(postgres.url());
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS });
  return {
    postgres,
    pgvigil,
    /** Opens the page. @param {{url?: string, width?: number, height?: number, colorScheme?: 'light'|'dark', touch?: boolean}} [options] */
    async open({ url = pgvigil.url, width = 1440, height = 900, colorScheme = 'light', touch = false } = {}) {
      const context = await browser.newContext({ viewport: { width, height }, colorScheme, hasTouch: touch });
      const page = await context.newPage();
      const viewer = new Viewer(page);
      await page.goto(url);
      return viewer;
    },
    /** The processes that run pages. */
    async renderers() {
      const session = await browser.newBrowserCDPSession();
      const { processInfo } = await session.send('SystemInfo.getProcessInfo');
      return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
    },
    async stop() {
      await browser.close();
      await pgvigil.kill();
      await postgres.stop();
    },
  };
}
