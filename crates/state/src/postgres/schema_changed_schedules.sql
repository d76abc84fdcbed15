-- Format 4: since when a schedule is the stored one, what waits for room, and when it was removed.
ALTER TABLE schedule ADD COLUMN since_us BIGINT;
ALTER TABLE schedule ADD COLUMN queued_us BIGINT;
ALTER TABLE schedule ADD COLUMN removed_us BIGINT;
