-- Whatever is watched may be read: all tables, those to come too.
GRANT pg_read_all_data TO {role};
