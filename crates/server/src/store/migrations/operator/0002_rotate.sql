-- A device that changes its key has two identities: the one in use, and that of the key it has not used yet.
ALTER TABLE psk_identities ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
DROP INDEX psk_identities_by_device;
CREATE UNIQUE INDEX psk_identities_by_device ON psk_identities (tenant, device, pending);
