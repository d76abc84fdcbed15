-- Schedules, how far each is decided, and the intervals that were due.
CREATE TABLE schedule (
    environment TEXT    NOT NULL,
    pipeline    TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    decided_us  BIGINT  NOT NULL,
    fence       BIGINT  NOT NULL,
    PRIMARY KEY (environment, pipeline)
);

CREATE TABLE scheduled_interval (
    environment TEXT    NOT NULL,
    pipeline    TEXT    NOT NULL,
    start_us    BIGINT  NOT NULL,
    end_us      BIGINT  NOT NULL,
    state       TEXT    NOT NULL,
    reason      TEXT,
    intervals   BIGINT  NOT NULL,
    run_number  BIGINT ,
    decided_us  BIGINT  NOT NULL,
    PRIMARY KEY (environment, pipeline, end_us)
);
CREATE INDEX scheduled_open ON scheduled_interval (environment, end_us) WHERE state IN ('waiting', 'running');
