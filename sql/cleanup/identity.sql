-- The tables that were given REPLICA IDENTITY FULL have again what they had before.
{alter}
DROP TABLE pgvigil.replica_identity_before;
