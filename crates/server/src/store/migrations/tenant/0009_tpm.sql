-- Attestation keys that were shown to be in the TPM of their device, and where its clock stood at its last evidence.
CREATE TABLE tpm_keys (
  device   INTEGER PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
  identity BLOB NOT NULL,                  -- of the endorsement key; a row of another identity than the device's is old
  name     BLOB NOT NULL,                  -- of the attestation key (TPM 2.0 Part 1 section 16)
  resets   INTEGER,
  restarts INTEGER,
  clock_ms INTEGER
) STRICT;
