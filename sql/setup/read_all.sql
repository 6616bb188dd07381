-- All tables are watched, those to come too, so all may be read.
GRANT pg_read_all_data TO {role};
