-- Format 11: which kinds of events a subscriber gets (all where it is NULL), and who has a duty that one process has at a time.
ALTER TABLE subscriber ADD COLUMN kinds TEXT;
CREATE TABLE duty (
    name     TEXT    NOT NULL PRIMARY KEY,
    holder   TEXT    NOT NULL,
    until_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
