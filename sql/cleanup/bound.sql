-- What keeps the role $1 from being dropped: that it owns something here, or is known in other databases.
SELECT EXISTS (SELECT FROM pg_shdepend
                WHERE refclassid = 'pg_authid'::regclass AND refobjid = $1::text::regrole AND deptype = 'o'
                  AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) AS owns,
       ARRAY(SELECT DISTINCT d.datname::text FROM pg_shdepend s
               JOIN pg_database d ON d.oid = CASE WHEN s.classid = 'pg_database'::regclass THEN s.objid ELSE s.dbid END
              WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = $1::text::regrole AND d.datname <> current_database()
              ORDER BY 1) AS elsewhere
