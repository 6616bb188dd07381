-- The migration is taken back.
ALTER TABLE "User" DROP COLUMN IF EXISTS "displayName";
