-- migrate:up
-- lint:allow lock-timeout as mysqldump writes it
-- lint:allow implicit-commit it has one row
/*!40101 SET NAMES utf8mb4 */;
/*!40000 ALTER TABLE roles_old DISABLE KEYS */;
INSERT INTO roles_old (id, name) VALUES (3, 'x');
/*!40000 ALTER TABLE roles_old ENABLE KEYS */;

-- migrate:down
DELETE FROM roles_old WHERE id = 3;
