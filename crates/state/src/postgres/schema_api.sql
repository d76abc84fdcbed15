-- Format 8: tokens of the HTTP API, submitted runs, and a feed of events.
-- Of a token's secret part only the hash is here.
CREATE TABLE api_token (
    environment TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    scope       TEXT    NOT NULL,
    hash        TEXT    NOT NULL,
    created_us  BIGINT  NOT NULL,
    created_by  TEXT    NOT NULL,
    revoked_us  BIGINT,
    revoked_by  TEXT,
    PRIMARY KEY (environment, id)
);
CREATE UNIQUE INDEX api_token_name ON api_token (environment, name) WHERE revoked_us IS NULL;

CREATE TABLE submission (
    environment  TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    request      TEXT    NOT NULL,
    submitted_by TEXT    NOT NULL,
    submitted_us BIGINT  NOT NULL,
    run          BIGINT  NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    PRIMARY KEY (environment, key)
);
CREATE INDEX submission_run ON submission (run);

-- The number of the transaction that wrote the event; 0 before this format. Numbers below the oldest open
-- transaction are complete.
ALTER TABLE event ADD COLUMN feed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE event ALTER COLUMN feed SET DEFAULT txid_current();
CREATE INDEX event_feed ON event (feed, run, seq) WHERE feed > 0;
