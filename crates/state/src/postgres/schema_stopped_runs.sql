-- Format 7: requests that a run stops, and the moment at which a run fails that has not ended.
ALTER TABLE run ADD COLUMN stop TEXT;
ALTER TABLE run ADD COLUMN deadline_us BIGINT;
-- 1 while a scheduler carries the run out, for the schedule or a backfill; 0 while a user does.
ALTER TABLE run ADD COLUMN scheduled BIGINT NOT NULL DEFAULT 0;
