-- Whether a device has proven lately what it runs, and since when that is so (bartizan_platform::posture::Proof).
ALTER TABLE devices ADD COLUMN proof INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN proof_at INTEGER;

-- Nobody is late for what was not asked before: the time to the next evidence starts now.
UPDATE devices SET proof_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE lifecycle = 1;

-- What the watchdog reads: the oldest proofs of a type.
CREATE INDEX devices_by_proof ON devices (type, proof, proof_at) WHERE lifecycle = 1 AND proof < 3;
