-- Format 1. Times are microseconds since 1970 UTC; JSON columns are {"v":1,"d":...}.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One lease per process, not per task: renewing costs the same however much runs.
CREATE TABLE worker (
    id         TEXT    NOT NULL PRIMARY KEY,
    lease_us   INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id          INTEGER NOT NULL PRIMARY KEY,
    pipeline    TEXT    NOT NULL,
    environment TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    graph_hash  TEXT    NOT NULL,
    started_us  INTEGER NOT NULL,
    ended_us    INTEGER,
    worker      TEXT    NOT NULL,
    request     TEXT    NOT NULL,
    last_seq    INTEGER NOT NULL,
    UNIQUE (pipeline, environment, number)
) STRICT;
CREATE UNIQUE INDEX run_live ON run (pipeline, environment) WHERE state = 'running';
CREATE INDEX run_worker ON run (worker) WHERE state = 'running';
CREATE INDEX run_environment ON run (environment, id);

CREATE TABLE task (
    run         INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    id          TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    fence       INTEGER NOT NULL,
    started_us  INTEGER,
    ended_us    INTEGER,
    failure     TEXT,
    outcome     TEXT,
    fingerprint TEXT,
    PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_success ON task (id, run) WHERE state IN ('succeeded', 'unchanged');

CREATE TABLE event (
    run   INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq   INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    task  TEXT,
    kind  TEXT    NOT NULL,
    body  TEXT    NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE generation (
    task       TEXT    NOT NULL PRIMARY KEY,
    pipeline   TEXT    NOT NULL,
    run_number INTEGER NOT NULL,
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE fact (
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (environment, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE check_result (
    id          INTEGER NOT NULL PRIMARY KEY,
    environment TEXT    NOT NULL,
    pipeline    TEXT    NOT NULL,
    run_number  INTEGER NOT NULL,
    at_us       INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    value       REAL,
    body        TEXT    NOT NULL
) STRICT;
CREATE INDEX check_table ON check_result (environment, name, id);

CREATE TABLE lineage (
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (environment, name)
) STRICT, WITHOUT ROWID;
