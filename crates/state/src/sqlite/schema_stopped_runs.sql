-- Format 9: requests that a run stops, and the moment at which a run fails that has not ended.
ALTER TABLE run ADD COLUMN stop TEXT;
ALTER TABLE run ADD COLUMN deadline_us INTEGER;
