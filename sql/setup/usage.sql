-- To reach the tables that are watched.
GRANT USAGE ON SCHEMA
  {schemas}
TO {role};
