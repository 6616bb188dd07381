-- A migration as deploys have them: a column, a backfill in batches, an index; each a transaction of its own.
BEGIN;
ALTER TABLE "User" ADD COLUMN IF NOT EXISTS "displayName" text;
COMMIT;
BEGIN;
UPDATE "User" SET "displayName" = "name" WHERE "id" % 3 = 0;
COMMIT;
BEGIN;
UPDATE "User" SET "displayName" = "name" WHERE "id" % 3 = 1;
COMMIT;
BEGIN;
UPDATE "User" SET "displayName" = "name" WHERE "displayName" IS NULL;
COMMIT;
BEGIN;
CREATE INDEX IF NOT EXISTS "User_displayName_idx" ON "User" ("displayName");
COMMIT;
