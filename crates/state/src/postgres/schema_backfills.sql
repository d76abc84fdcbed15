-- Format 6: backfills and their intervals, in the order in which they are run.
CREATE TABLE backfill (
    environment TEXT    NOT NULL,
    number      BIGINT  NOT NULL,
    pipeline    TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    created_us  BIGINT  NOT NULL,
    PRIMARY KEY (environment, number)
);

CREATE TABLE backfill_interval (
    environment TEXT    NOT NULL,
    backfill    BIGINT  NOT NULL,
    position    BIGINT  NOT NULL,
    pipeline    TEXT    NOT NULL,
    start_us    BIGINT  NOT NULL,
    end_us      BIGINT  NOT NULL,
    state       TEXT    NOT NULL,
    reason      TEXT,
    run_number  BIGINT,
    PRIMARY KEY (environment, backfill, position)
);
-- An interval waits or runs in one backfill of a pipeline at a time.
CREATE UNIQUE INDEX backfill_open ON backfill_interval (environment, pipeline, start_us, end_us)
    WHERE state IN ('waiting', 'running');
CREATE INDEX backfill_next ON backfill_interval (environment, backfill, state, position);
CREATE INDEX backfill_run ON backfill_interval (environment, pipeline, run_number);
CREATE INDEX run_interval ON run (pipeline, environment, interval_start_us);
