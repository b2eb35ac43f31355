-- The operator's own records. Device secrets are not here; they lie in the tenants' files.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY NOT NULL,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  name     TEXT NOT NULL UNIQUE,
  upstream TEXT NOT NULL,
  created  INTEGER NOT NULL,
  version  INTEGER NOT NULL
) STRICT;

-- Opaque bytes, unique per listener, to tenant and device: read before a tenant's file is opened.
CREATE TABLE psk_identities (
  identity BLOB PRIMARY KEY NOT NULL,
  tenant   INTEGER NOT NULL REFERENCES tenants (id),
  device   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX psk_identities_by_device ON psk_identities (tenant, device);

CREATE TABLE operators (
  name       TEXT PRIMARY KEY NOT NULL,
  token_hash BLOB NOT NULL UNIQUE,
  created    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  at      INTEGER NOT NULL,
  actor   TEXT NOT NULL,
  action  TEXT NOT NULL,
  tenant  INTEGER,
  subject TEXT NOT NULL,
  detail  TEXT NOT NULL
) STRICT;

-- Replies may hold a new device's key: their bodies are sealed.
CREATE TABLE idempotency (
  operator    TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  status      INTEGER NOT NULL,
  body        BLOB NOT NULL,
  at          INTEGER NOT NULL,
  PRIMARY KEY (operator, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);
