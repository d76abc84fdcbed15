-- Format 8: backfills and their intervals, in the order in which they are run.
CREATE TABLE backfill (
    environment TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    pipeline    TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    created_us  INTEGER NOT NULL,
    PRIMARY KEY (environment, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE backfill_interval (
    environment TEXT    NOT NULL,
    backfill    INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    pipeline    TEXT    NOT NULL,
    start_us    INTEGER NOT NULL,
    end_us      INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    reason      TEXT,
    run_number  INTEGER,
    PRIMARY KEY (environment, backfill, position)
) STRICT, WITHOUT ROWID;
-- An interval waits or runs in one backfill of a pipeline at a time.
CREATE UNIQUE INDEX backfill_open ON backfill_interval (environment, pipeline, start_us, end_us)
    WHERE state IN ('waiting', 'running');
CREATE INDEX backfill_next ON backfill_interval (environment, backfill, state, position);
CREATE INDEX backfill_run ON backfill_interval (environment, pipeline, run_number);
CREATE INDEX run_interval ON run (pipeline, environment, interval_start_us);
