-- The last heartbeat that prolonged a device's verdict: when it came, and from when its challenge or epoch is.
ALTER TABLE devices ADD COLUMN heartbeat_at INTEGER;
ALTER TABLE devices ADD COLUMN heartbeat_for INTEGER;
-- Until when a device's firmware is known to have been what was released.
ALTER TABLE devices ADD COLUMN proven_at INTEGER;
-- Since when a device's reports are in doubt, while they are; zero: from the first on.
ALTER TABLE devices ADD COLUMN doubted_since INTEGER;

UPDATE devices SET proven_at = verdict_at WHERE attestation = 1;

-- What upstreams are to be told about reports that they have: one row for each time that reports came into doubt, and one
-- for each time that they are to be trusted again. Kept until it was told.
CREATE TABLE retractions (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  device  INTEGER NOT NULL REFERENCES devices (id),
  at      INTEGER NOT NULL,
  since   INTEGER NOT NULL,
  trusted INTEGER NOT NULL              -- 0: from `since` on nothing is to be trusted; 1: from `at` on it is again
) STRICT;
