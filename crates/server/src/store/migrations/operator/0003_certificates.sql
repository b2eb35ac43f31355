-- Issuing authorities of tenants. A private key lies here sealed, or nowhere.
CREATE TABLE authorities (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant      INTEGER NOT NULL REFERENCES tenants (id),
  generation  INTEGER NOT NULL,            -- counts the authorities of a tenant; stands in its name
  key         BLOB NOT NULL,               -- PKCS#8, sealed
  key_info    BLOB NOT NULL UNIQUE,        -- SubjectPublicKeyInfo in DER
  request     BLOB NOT NULL,               -- PKCS#10 in DER, to be carried to a root
  created     INTEGER NOT NULL,
  certificate BLOB,                        -- DER; absent until a root has signed
  installed   INTEGER,
  distrusted  INTEGER,                     -- since when nothing of it is believed
  list_number INTEGER NOT NULL DEFAULT 0,  -- of the last revocation list (RFC 5280 section 5.2.3)
  UNIQUE (tenant, generation)
) STRICT;

-- Roots, and roots certified by others: what devices are given beside the issuing authority (RFC 7030 section 4.1.3).
CREATE TABLE roots (
  tenant      INTEGER NOT NULL REFERENCES tenants (id),
  certificate BLOB NOT NULL,               -- DER
  added       INTEGER NOT NULL,
  PRIMARY KEY (tenant, certificate)
) STRICT, WITHOUT ROWID;
