-- Format 3: graphs, kinds of runs, intervals and parameters, workers of single tasks, pools, an outbox.
CREATE TABLE graph (
    hash      TEXT    NOT NULL PRIMARY KEY,
    body      TEXT    NOT NULL,
    stored_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE run ADD COLUMN kind TEXT NOT NULL DEFAULT 'run';
ALTER TABLE run ADD COLUMN interval_start_us INTEGER;
ALTER TABLE run ADD COLUMN interval_end_us INTEGER;
ALTER TABLE run ADD COLUMN params TEXT;
ALTER TABLE run ADD COLUMN parallel INTEGER NOT NULL DEFAULT 1;

-- What a run is stood as a word in what was asked.
UPDATE run SET kind = CASE WHEN json_extract(request, '$.d.what') LIKE 'replay %' THEN 'replay' ELSE 'lock' END
WHERE json_extract(request, '$.d.what') IS NOT NULL;
UPDATE run SET request = json_remove(request, '$.d.what') WHERE kind <> 'run';

ALTER TABLE task ADD COLUMN pool TEXT;
ALTER TABLE task ADD COLUMN worker TEXT;
ALTER TABLE task ADD COLUMN due_us INTEGER;
ALTER TABLE task ADD COLUMN ready_us INTEGER;
UPDATE task SET worker = (SELECT run.worker FROM run WHERE run.id = task.run) WHERE state = 'running';
CREATE INDEX task_ready ON task (run, position) WHERE state = 'ready';
CREATE INDEX task_worker ON task (worker, run) WHERE state = 'running';
CREATE INDEX task_pool ON task (pool) WHERE state = 'running';

CREATE TABLE pool (
    name  TEXT    NOT NULL PRIMARY KEY,
    slots INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriber (
    name     TEXT    NOT NULL PRIMARY KEY,
    since_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    subscriber TEXT    NOT NULL REFERENCES subscriber (name) ON DELETE CASCADE,
    run        INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq        INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_subscriber ON outbox (subscriber, id);
