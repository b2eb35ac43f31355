-- Which key of the device this is: each has a number of its own. Made with the device, unless said otherwise.
ALTER TABLE devices ADD COLUMN key_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN key_made INTEGER;
-- When a person asked the device to take another key, and until when it should have.
ALTER TABLE devices ADD COLUMN key_asked INTEGER;
ALTER TABLE devices ADD COLUMN key_due INTEGER;
-- Whether a hold waits for another key (bartizan_platform::posture::Rekey).
ALTER TABLE holds ADD COLUMN rekey INTEGER NOT NULL DEFAULT 0;

-- Keys that were handed to their devices and not used yet.
CREATE TABLE pending_keys (
  device   INTEGER PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
  number   INTEGER NOT NULL,
  identity BLOB NOT NULL UNIQUE,
  psk      BLOB NOT NULL,                   -- sealed, bound to tenant, device and table
  made     INTEGER NOT NULL,
  session  BLOB NOT NULL                    -- names the association it was handed out in
) STRICT;

-- Devices whose key was replaced, while associations and an identity of the old one may be left.
CREATE TABLE replaced_keys (
  device INTEGER PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE
) STRICT;
