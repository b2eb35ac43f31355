-- Devices that can attest. An identity comes from provisioning only, never out of evidence.
ALTER TABLE devices ADD COLUMN verdict_at INTEGER;
ALTER TABLE holds ADD COLUMN passes INTEGER NOT NULL DEFAULT 0;

CREATE TABLE attesters (
  device     INTEGER PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
  identity   BLOB NOT NULL UNIQUE,         -- thumbprint (RFC 9679) of the key of its unique device secret
  counter    INTEGER NOT NULL DEFAULT 0,   -- only a challenge with this number is accepted, and moves it on
  boot_count INTEGER,
  boot_seed  BLOB,
  chain      BLOB                          -- the last chain that verified, for evidence that names it by its hash
) STRICT;

CREATE TABLE verdicts (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  device   INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
  at       INTEGER NOT NULL,
  tier     INTEGER NOT NULL,
  text     TEXT NOT NULL,
  details  TEXT NOT NULL,                  -- JSON: layers and reasons, as they are shown
  evidence BLOB NOT NULL
) STRICT;
CREATE INDEX verdicts_by_device ON verdicts (device, id);

-- What devices of a type are held to when they attest; without it none of them is appraised.
CREATE TABLE attestation_policies (
  type   INTEGER PRIMARY KEY REFERENCES device_types (id) ON DELETE CASCADE,
  policy TEXT NOT NULL                     -- JSON, as it is shown and set
) STRICT;
