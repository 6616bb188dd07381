-- The tables of this database that a transaction which has written something holds so that it may be altering them: it can be attached,
-- detached, made unlogged or taken from a publication, and committed, before that can be seen. To be asked before the look at the catalog
-- that is to see it: locks are let go of only when what was done can be seen.
--
-- ALTER PUBLICATION and ATTACH hold SHARE UPDATE EXCLUSIVE; ANALYZE does, too, for a moment when it writes what it found.
SELECT DISTINCT held.relation
  FROM pg_locks held
  JOIN pg_locks writing ON writing.virtualtransaction = held.virtualtransaction AND writing.locktype = 'transactionid' AND writing.granted
                       AND writing.mode = 'ExclusiveLock'
 WHERE held.locktype = 'relation' AND held.granted
   AND held.mode IN ('ShareUpdateExclusiveLock', 'AccessExclusiveLock')
   AND held.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
   AND held.relation >= 16384::oid
