-- migrate:up
CREATE TABLE tags (id INTEGER PRIMARY KEY, name text NOT NULL UNIQUE COLLATE NOCASE);
CREATE TABLE order_tags (
    order_id integer NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    tag_id integer NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
    PRIMARY KEY (order_id, tag_id)
) WITHOUT ROWID;
CREATE INDEX order_tags_tag_id ON order_tags (tag_id);

-- migrate:down
DROP TABLE order_tags;
DROP TABLE tags;
