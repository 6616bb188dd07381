-- Nothing identifies the rows of these tables, so that publishing them would make their UPDATE and DELETE fail. With FULL the whole old
-- row is written to the log instead: larger, but safe, and a deleted row can be shown. What was before is kept for cleanup to restore.
CREATE TABLE IF NOT EXISTS pgvigil.replica_identity_before (relation regclass PRIMARY KEY, identity "char" NOT NULL);
INSERT INTO pgvigil.replica_identity_before
SELECT oid, relreplident FROM pg_class WHERE oid = ANY (ARRAY[
  {names}
]::regclass[]) ON CONFLICT DO NOTHING;
{alter}
