-- Publications that leave out rows or columns.

CREATE TABLE orders (id int PRIMARY KEY, status text, secret text);
CREATE TABLE narrow (id int PRIMARY KEY, shown text, hidden text);
ALTER TABLE orders REPLICA IDENTITY FULL;
CREATE PUBLICATION capture FOR TABLE orders WHERE (status = 'open'), narrow (id, shown);
SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput') \g /dev/null

INSERT INTO orders VALUES (1, 'open', 'a'), (2, 'closed', 'b');
UPDATE orders SET secret = 'c';
UPDATE orders SET status = 'closed' WHERE id = 1;
UPDATE orders SET status = 'open' WHERE id = 2;
DELETE FROM orders;
TRUNCATE orders;
INSERT INTO narrow VALUES (1, 'shown', 'hidden');
UPDATE narrow SET hidden = 'changed';
DELETE FROM narrow;
