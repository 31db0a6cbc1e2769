-- migrate:up
UPDATE users SET locale = 'de' WHERE email LIKE '%.de' AND locale = 'en';

-- migrate:down
UPDATE users SET locale = 'en' WHERE locale = 'de';
