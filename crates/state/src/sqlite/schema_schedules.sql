-- Schedules, how far each is decided, and the intervals that were due.
CREATE TABLE schedule (
    environment TEXT    NOT NULL,
    pipeline    TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    decided_us  INTEGER NOT NULL,
    fence       INTEGER NOT NULL,
    PRIMARY KEY (environment, pipeline)
) STRICT, WITHOUT ROWID;

CREATE TABLE scheduled_interval (
    environment TEXT    NOT NULL,
    pipeline    TEXT    NOT NULL,
    start_us    INTEGER NOT NULL,
    end_us      INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    reason      TEXT,
    intervals   INTEGER NOT NULL,
    run_number  INTEGER,
    decided_us  INTEGER NOT NULL,
    PRIMARY KEY (environment, pipeline, end_us)
) STRICT, WITHOUT ROWID;
CREATE INDEX scheduled_open ON scheduled_interval (environment, end_us) WHERE state IN ('waiting', 'running');
