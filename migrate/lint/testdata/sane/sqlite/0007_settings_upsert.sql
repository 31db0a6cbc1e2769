-- migrate:up
INSERT INTO settings (name, value) VALUES ('zoom', '2') ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- migrate:down
DELETE FROM settings WHERE name = 'zoom';
