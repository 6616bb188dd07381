/** A shop, in which somebody deletes what should have stayed. */

export const SHOP = `
  CREATE ROLE alice LOGIN; CREATE ROLE shop; GRANT shop TO alice;
  CREATE TABLE "User" (id int PRIMARY KEY, email text NOT NULL, name text NOT NULL, plan text NOT NULL DEFAULT 'free');
  CREATE TABLE "Order" (id int PRIMARY KEY, user_id int NOT NULL REFERENCES "User" ON DELETE CASCADE, total numeric(8,2) NOT NULL, status text NOT NULL DEFAULT 'paid');
  CREATE TABLE "Item" (order_id int REFERENCES "Order" ON DELETE CASCADE, line int, sku text NOT NULL, PRIMARY KEY (order_id, line));
  CREATE TABLE "Session" (id int PRIMARY KEY, user_id int NOT NULL, agent text NOT NULL);
  CREATE TABLE "Cart" (id int PRIMARY KEY, note text);
  CREATE TABLE "Visit" (id int PRIMARY KEY, page text NOT NULL);
  ALTER TABLE "User" REPLICA IDENTITY FULL; ALTER TABLE "Order" REPLICA IDENTITY FULL; ALTER TABLE "Item" REPLICA IDENTITY FULL;
  ALTER TABLE "Visit" REPLICA IDENTITY FULL;
  INSERT INTO "User" SELECT i, 'user' || i || '@example.org', (ARRAY['Ann','Bo','Cleo','Dov','Eve'])[i % 5 + 1] || ' ' || i FROM generate_series(1, 22) i;
  INSERT INTO "Order" SELECT i, 1 + i % 11, 10 + i FROM generate_series(1, 40) i;
  INSERT INTO "Item" SELECT i, 1, 'sku-' || i % 7 FROM generate_series(1, 40) i;
  INSERT INTO "Session" SELECT i, i, 'Firefox' FROM generate_series(1, 5) i;
  INSERT INTO "Cart" SELECT i, 'gift' FROM generate_series(1, 18) i;
  INSERT INTO "Visit" SELECT i, '/item/' || i % 90 FROM generate_series(1, 30000) i;
  GRANT ALL ON ALL TABLES IN SCHEMA public TO shop, alice;
`;
