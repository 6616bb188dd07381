-- The schemas whose tables the publication with oid $1 publishes. From 15 on.
SELECT pnnspid FROM pg_publication_namespace WHERE pnpubid = $1
