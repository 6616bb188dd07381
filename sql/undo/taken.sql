-- What a type makes of the texts in the setting pgvigil.texts: it may refuse some, and write some in another way. Both are left in settings, so
-- nothing is written; and what a type refuses is in no log.
DECLARE
  texts text[] := current_setting('pgvigil.texts');
  refused text[] := '{}';
  rewritten text[] := '{}';
  is_other bool;
  text text;
BEGIN
  FOREACH text IN ARRAY texts LOOP
    BEGIN
      SELECT format('%s', read.value) <> {written} INTO is_other FROM {read};
      IF is_other THEN
        rewritten := rewritten || text;
      END IF;
    EXCEPTION
      WHEN insufficient_privilege THEN RAISE;
      -- By which code a type says that a text is not good for it is its own affair. That the query is cancelled is none of these.
      WHEN others THEN refused := refused || text;
    END;
  END LOOP;
  PERFORM set_config('pgvigil.refused', refused::text, false), set_config('pgvigil.rewritten', rewritten::text, false);
END
