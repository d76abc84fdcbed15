-- Format 2: what runs have told about tables, as digests: it is told again when it is new.
CREATE TABLE told (
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (environment, name)
) STRICT, WITHOUT ROWID;
