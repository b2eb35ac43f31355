-- Certificates of devices, written before anybody gets them.
CREATE TABLE certificates (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  serial      BLOB NOT NULL UNIQUE,
  authority   INTEGER NOT NULL,            -- authorities.id in the operator's file
  device      INTEGER NOT NULL REFERENCES devices (id),
  issued      INTEGER NOT NULL,
  not_before  INTEGER NOT NULL,
  not_after   INTEGER NOT NULL,
  key_hash    BLOB NOT NULL,               -- SHA-256 of the SubjectPublicKeyInfo
  how         INTEGER NOT NULL,            -- how it was asked for
  certificate BLOB NOT NULL,               -- DER
  revoked     INTEGER,
  reason      INTEGER                      -- CRLReason (RFC 5280 section 5.3.1)
) STRICT;
CREATE INDEX certificates_by_device ON certificates (device, id);
CREATE INDEX certificates_by_key ON certificates (key_hash);
CREATE INDEX certificates_by_end ON certificates (not_after);
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE revoked IS NOT NULL;

-- Secrets with which a device asks for its first certificate: one each, used once.
CREATE TABLE enrolment_secrets (
  device  INTEGER PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
  hash    BLOB NOT NULL,                   -- SHA-256; the secret is random
  expires INTEGER NOT NULL
) STRICT;
