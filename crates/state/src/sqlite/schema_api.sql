-- Format 10: tokens of the HTTP API, submitted runs, and a feed of events.
-- Of a token's secret part only the hash is here.
CREATE TABLE api_token (
    environment TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    scope       TEXT    NOT NULL,
    hash        TEXT    NOT NULL,
    created_us  INTEGER NOT NULL,
    created_by  TEXT    NOT NULL,
    revoked_us  INTEGER,
    revoked_by  TEXT,
    PRIMARY KEY (environment, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX api_token_name ON api_token (environment, name) WHERE revoked_us IS NULL;

-- A key of a token has one run. Its row comes first, so that of two requests at once one waits for the other.
CREATE TABLE submission (
    environment  TEXT    NOT NULL,
    token        TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    request      TEXT    NOT NULL,
    submitted_by TEXT    NOT NULL,
    submitted_us INTEGER NOT NULL,
    run          INTEGER REFERENCES run (id) ON DELETE CASCADE,
    PRIMARY KEY (environment, token, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX submission_age ON submission (environment, submitted_us);
CREATE INDEX submission_run ON submission (run);

-- The order in which events were committed; 0 before this format. They are in the feed from here on.
ALTER TABLE event ADD COLUMN feed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX event_feed ON event (feed, run, seq) WHERE feed > 0;

-- Lists of runs are read in this order.
CREATE INDEX run_began ON run (environment, started_us, id);
CREATE INDEX run_of_pipeline ON run (environment, pipeline, started_us, id);
CREATE INDEX run_in_state ON run (environment, state, started_us, id);
