-- Whether the name $2 still means the table $1, and its file is still $3.
SELECT to_regclass($2) IS NOT DISTINCT FROM $1::oid::regclass AND pg_relation_filenode($1::oid) IS NOT DISTINCT FROM $3::oid
