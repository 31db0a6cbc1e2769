-- migrate:up
CREATE TABLE posts (
    id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    title varchar(200) NOT NULL,
    body mediumtext NOT NULL,
    slug varchar(200) AS (lower(replace(title, ' ', '-'))) STORED,
    FULLTEXT KEY posts_text (title, body),
    KEY posts_slug (slug)
) ROW_FORMAT=DYNAMIC;

-- migrate:down
DROP TABLE posts;
