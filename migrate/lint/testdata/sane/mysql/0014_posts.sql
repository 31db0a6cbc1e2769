-- migrate:up
CREATE TABLE posts (
    id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    title varchar(200) NOT NULL,
    body mediumtext NOT NULL,
    slug varchar(200) AS (lower(replace(title, ' ', '-'))) STORED,
    KEY posts_slug (slug)
) ROW_FORMAT=DYNAMIC;
CREATE TABLE pages (
    id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    body mediumtext NOT NULL,
    FULLTEXT KEY pages_body (body)
);

-- migrate:down
DROP TABLE pages;
DROP TABLE posts;
