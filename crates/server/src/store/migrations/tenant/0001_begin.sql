-- One tenant's records. Numbers of enums are those of bartizan_wire; times are milliseconds since 1970.
CREATE TABLE device_types (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE devices (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  name         TEXT NOT NULL UNIQUE,
  type         INTEGER NOT NULL REFERENCES device_types (id),
  identity     BLOB NOT NULL UNIQUE,
  psk          BLOB NOT NULL,               -- sealed, bound to tenant, device and column
  endpoint     TEXT NOT NULL UNIQUE,        -- the LwM2M endpoint name it may register
  lifecycle    INTEGER NOT NULL DEFAULT 0,
  attestation  INTEGER NOT NULL DEFAULT 0,
  grade        INTEGER NOT NULL DEFAULT 0,
  update_state INTEGER NOT NULL DEFAULT 0,
  access       INTEGER NOT NULL DEFAULT 0,  -- of the posture when it was written, for filters
  next_hold    INTEGER NOT NULL DEFAULT 1,
  created      INTEGER NOT NULL,
  last_seen    INTEGER,
  messages     INTEGER NOT NULL DEFAULT 0,
  version      INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX devices_by_type ON devices (type);
CREATE INDEX devices_by_access ON devices (access) WHERE access > 0;
CREATE INDEX devices_by_grade ON devices (grade) WHERE grade > 0;

CREATE TABLE holds (
  device      INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
  id          INTEGER NOT NULL,
  cause       INTEGER NOT NULL,
  engine      INTEGER,
  since       INTEGER NOT NULL,
  exit        INTEGER NOT NULL,
  access      INTEGER NOT NULL,
  reason      TEXT NOT NULL,
  placed_by   TEXT,
  stage       INTEGER NOT NULL,
  stage_since INTEGER NOT NULL,
  PRIMARY KEY (device, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE findings (
  id        INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  device    INTEGER REFERENCES devices (id) ON DELETE CASCADE,
  source    TEXT,
  claimed   INTEGER REFERENCES devices (id) ON DELETE CASCADE,
  engine    INTEGER NOT NULL,
  feature   INTEGER NOT NULL,
  observed  REAL NOT NULL,
  low       REAL NOT NULL,
  high      REAL NOT NULL,
  basis     INTEGER NOT NULL,
  unit      INTEGER NOT NULL,
  score     REAL NOT NULL,
  severity  INTEGER NOT NULL,
  technique INTEGER,
  text      TEXT NOT NULL
) STRICT;
CREATE INDEX findings_by_device ON findings (device, id) WHERE device IS NOT NULL;

CREATE TABLE timeline (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  device  INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
  at      INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  text    TEXT NOT NULL,
  finding INTEGER,
  actor   TEXT
) STRICT;
CREATE INDEX timeline_by_device ON timeline (device, id);

CREATE TABLE commands (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  device         INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
  person         TEXT,                      -- the issuer; null: the upstream
  method         INTEGER NOT NULL,
  path           TEXT NOT NULL,
  content_format INTEGER,
  payload        BLOB NOT NULL,
  coap           BLOB,
  state          INTEGER NOT NULL,
  created        INTEGER NOT NULL,
  expires        INTEGER NOT NULL,
  detail         TEXT
) STRICT;
CREATE INDEX commands_by_device ON commands (device, id);
CREATE INDEX commands_open ON commands (expires) WHERE state IN (0, 1, 2);

-- A device's own address and port towards a proxied upstream; never reused by another.
CREATE TABLE proxy_ports (
  device  INTEGER PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
  address TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE blobs (
  key   TEXT PRIMARY KEY NOT NULL,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Devices first..last are committed here; whether they exist is decided by their identities in the operator's file.
CREATE TABLE additions (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  first INTEGER NOT NULL,
  last  INTEGER NOT NULL
) STRICT;
