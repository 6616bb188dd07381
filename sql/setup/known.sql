-- Nothing in it is for the role to use. But that the role is known in this database keeps it when pgvigil is removed from another one.
GRANT USAGE ON SCHEMA pgvigil TO {role};
