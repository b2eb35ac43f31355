-- Other verifiers whose attestation results are believed for devices of this tenant.
CREATE TABLE verifiers (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  name     TEXT NOT NULL UNIQUE,
  key      BLOB NOT NULL UNIQUE,           -- SubjectPublicKeyInfo (RFC 5280) in DER
  added    INTEGER NOT NULL,
  added_by TEXT NOT NULL
) STRICT;
