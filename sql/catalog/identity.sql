-- Which database this session is in.
SELECT d.datname::text AS name, d.oid, s.system_identifier::text AS system_identifier
FROM pg_database d, pg_control_system() s
WHERE d.datname = current_database()
