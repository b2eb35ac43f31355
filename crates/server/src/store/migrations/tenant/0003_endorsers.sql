-- Who may sign reference values for this tenant.
CREATE TABLE endorsers (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  name     TEXT NOT NULL UNIQUE,
  key      BLOB NOT NULL UNIQUE,           -- SubjectPublicKeyInfo (RFC 5280) in DER
  added    INTEGER NOT NULL,
  added_by TEXT NOT NULL
) STRICT;
