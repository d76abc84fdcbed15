-- Format 5: the table of notes that were reported has the name of what it holds.
ALTER TABLE told RENAME TO reported_notes;
