-- Format 11: which events a subscriber gets (all where a column is NULL), when it was last in use, and who has a duty that one process has at a time.
ALTER TABLE subscriber ADD COLUMN kinds TEXT;
ALTER TABLE subscriber ADD COLUMN environment TEXT;
ALTER TABLE subscriber ADD COLUMN used_us INTEGER NOT NULL DEFAULT 0;
CREATE TABLE duty (
    name     TEXT    NOT NULL PRIMARY KEY,
    holder   TEXT    NOT NULL,
    until_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
