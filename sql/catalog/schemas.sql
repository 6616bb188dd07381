-- The schemas whose tables the publication with oid $1 publishes, and the oid of saying so. From 15 on.
SELECT pnnspid, oid FROM pg_publication_namespace WHERE pnpubid = $1
