-- Format 1 on PostgreSQL. Times are microseconds since 1970 UTC; JSON columns are {"v":1,"d":...} in text.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE graph (
    hash      TEXT   PRIMARY KEY,
    body      TEXT   NOT NULL,
    stored_us BIGINT NOT NULL
);

-- One lease per worker, not per task: renewing costs the same however much runs.
CREATE TABLE worker (
    id         TEXT   PRIMARY KEY,
    lease_us   BIGINT NOT NULL,
    expires_us BIGINT NOT NULL
);

CREATE TABLE run (
    id                BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline          TEXT   NOT NULL,
    environment       TEXT   NOT NULL,
    number            BIGINT NOT NULL,
    kind              TEXT   NOT NULL,
    state             TEXT   NOT NULL,
    graph_hash        TEXT   NOT NULL,
    started_us        BIGINT NOT NULL,
    ended_us          BIGINT,
    worker            TEXT   NOT NULL,
    request           TEXT   NOT NULL,
    interval_start_us BIGINT,
    interval_end_us   BIGINT,
    params            TEXT,
    parallel          BIGINT NOT NULL,
    last_seq          BIGINT NOT NULL,
    UNIQUE (pipeline, environment, number)
);
CREATE UNIQUE INDEX run_live ON run (pipeline, environment) WHERE state = 'running';
CREATE INDEX run_worker ON run (worker) WHERE state = 'running';
CREATE INDEX run_environment ON run (environment, id);

CREATE TABLE task (
    run         BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position    BIGINT NOT NULL,
    id          TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    attempt     BIGINT NOT NULL,
    fence       BIGINT NOT NULL,
    pool        TEXT,
    worker      TEXT,
    ready_us    BIGINT,
    due_us      BIGINT,
    started_us  BIGINT,
    ended_us    BIGINT,
    failure     TEXT,
    outcome     TEXT,
    fingerprint TEXT,
    PRIMARY KEY (run, id)
);
CREATE INDEX task_success ON task (id, run) WHERE state IN ('succeeded', 'unchanged');
CREATE INDEX task_ready ON task (run, position) WHERE state = 'ready';
CREATE INDEX task_worker ON task (worker, run) WHERE state = 'running';
CREATE INDEX task_pool ON task (pool) WHERE state = 'running';

CREATE TABLE event (
    run   BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq   BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    task  TEXT,
    kind  TEXT   NOT NULL,
    body  TEXT   NOT NULL,
    PRIMARY KEY (run, seq)
);

CREATE TABLE pool (
    name  TEXT   PRIMARY KEY,
    slots BIGINT NOT NULL
);

CREATE TABLE subscriber (
    name     TEXT   PRIMARY KEY,
    since_us BIGINT NOT NULL
);

CREATE TABLE outbox (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscriber TEXT   NOT NULL REFERENCES subscriber (name) ON DELETE CASCADE,
    run        BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq        BIGINT NOT NULL
);
CREATE INDEX outbox_subscriber ON outbox (subscriber, id);

CREATE TABLE generation (
    task       TEXT   PRIMARY KEY,
    pipeline   TEXT   NOT NULL,
    run_number BIGINT NOT NULL,
    generation BIGINT NOT NULL
);

CREATE TABLE fact (
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (environment, name)
);

CREATE TABLE lineage (
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (environment, name)
);

-- What runs have said about tables, as digests: it is said again when it is new.
CREATE TABLE told (
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (environment, name)
);

CREATE TABLE check_result (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment TEXT   NOT NULL,
    pipeline    TEXT   NOT NULL,
    run_number  BIGINT NOT NULL,
    at_us       BIGINT NOT NULL,
    name        TEXT   NOT NULL,
    value       DOUBLE PRECISION,
    body        TEXT   NOT NULL
);
CREATE INDEX check_table ON check_result (environment, name, id);
