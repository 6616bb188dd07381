DROP SCHEMA pgvigil;
