-- Format 6: since when a schedule is the stored one, what waits for room, and when it was removed.
ALTER TABLE schedule ADD COLUMN since_us INTEGER;
ALTER TABLE schedule ADD COLUMN queued_us INTEGER;
ALTER TABLE schedule ADD COLUMN removed_us INTEGER;
