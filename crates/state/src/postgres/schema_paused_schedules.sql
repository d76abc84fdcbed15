-- Format 5: pauses of schedules, and what users did to them.
ALTER TABLE schedule ADD COLUMN paused TEXT;

-- `subject` is `schedule`; `seq` has no gap in a subject.
CREATE TABLE schedule_event (
    environment TEXT    NOT NULL,
    pipeline    TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    seq         BIGINT  NOT NULL,
    at_us       BIGINT  NOT NULL,
    kind        TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    PRIMARY KEY (environment, pipeline, subject, seq)
);
