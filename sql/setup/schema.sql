-- For what pgvigil keeps in this database. None of it is ever counted or streamed.
CREATE SCHEMA pgvigil;
COMMENT ON SCHEMA pgvigil IS 'Made by pgvigil setup; pgvigil cleanup removes it.';
