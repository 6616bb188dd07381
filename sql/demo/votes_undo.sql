-- The migration is taken back, with another rewrite.
DROP INDEX IF EXISTS "GameRequest_votes_idx";
ALTER TABLE "GameRequest" ALTER COLUMN "votes" TYPE integer;
