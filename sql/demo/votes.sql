-- A change of type: the whole table is rewritten, and every row stays.
ALTER TABLE "GameRequest" ALTER COLUMN "votes" TYPE bigint;
CREATE INDEX IF NOT EXISTS "GameRequest_votes_idx" ON "GameRequest" ("votes" DESC);
