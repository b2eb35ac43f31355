-- Who may join, found before the tenant is known. An identity here is 32 bytes: the thumbprint (RFC 9679) of the key of a
-- unique device secret, or the hash of a manufacturer's key and a serial number.
CREATE TABLE onboarding_orders (
  identity BLOB PRIMARY KEY NOT NULL,
  tenant   INTEGER NOT NULL REFERENCES tenants (id),
  name     TEXT NOT NULL,                  -- of the device that is to be made
  type     TEXT NOT NULL,
  shown    TEXT NOT NULL,                  -- the identity as people read it
  attester INTEGER NOT NULL,               -- whether evidence is held against this identity
  added    INTEGER NOT NULL,
  voucher  BLOB,                           -- the manufacturer's word, given to the device as it came
  compact  INTEGER NOT NULL DEFAULT 0,     -- whether that is COSE
  expires  INTEGER,                        -- when that word ends
  used     INTEGER                         -- an entry counts once
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX onboarding_orders_by_name ON onboarding_orders (tenant, name);

-- Who vouches for a make, and for nobody's property.
CREATE TABLE manufacturers (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant   INTEGER NOT NULL REFERENCES tenants (id),
  name     TEXT NOT NULL,
  anchor   BLOB NOT NULL,                  -- a certificate, or a SubjectPublicKeyInfo, in DER
  key      BLOB NOT NULL,                  -- thumbprint of the key
  added    INTEGER NOT NULL,
  added_by TEXT NOT NULL,
  UNIQUE (tenant, name),
  UNIQUE (tenant, key)
) STRICT;

-- What waits for a person: one line for each identity, however often it knocks.
CREATE TABLE onboarding_queue (
  tenant       INTEGER NOT NULL REFERENCES tenants (id),
  identity     BLOB NOT NULL,
  shown        TEXT NOT NULL,
  manufacturer TEXT NOT NULL,
  attester     INTEGER NOT NULL,
  device       INTEGER,                    -- that has this identity already
  why          TEXT NOT NULL,
  first        INTEGER NOT NULL,
  last         INTEGER NOT NULL,
  knocks       INTEGER NOT NULL,
  refused      INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, identity)
) STRICT, WITHOUT ROWID;

-- What is known of the history of who has joined: a second one is another device with the same secret.
CREATE TABLE onboarding_histories (
  identity   BLOB PRIMARY KEY NOT NULL,
  leaf       BLOB,                         -- hash of the operational key; null: a person lets it start anew
  boot_count INTEGER,
  boot_seed  BLOB,
  at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
