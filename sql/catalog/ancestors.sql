-- The tables that $1 is a partition of or inherits from, and those above: what is altered there may be altered here, too.
WITH RECURSIVE above AS (
  SELECT inhparent FROM pg_inherits WHERE inhrelid = $1
  UNION
  SELECT i.inhparent FROM pg_inherits i JOIN above a ON i.inhrelid = a.inhparent
)
SELECT inhparent FROM above
