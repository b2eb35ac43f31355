//! The server's bounds in one place; each part has its own section. What is shed is counted by reason.

// --- app and store

/// Devices held in memory at once; beyond it the longest idle ones without a session are dropped.
pub const DEVICES_LIVE_MAX: usize = 1_000_000;
/// Commands waiting for one device.
pub const COMMANDS_PER_DEVICE_MAX: usize = 16;
/// Commands of one device that are kept, finished ones included.
pub const COMMANDS_KEPT_PER_DEVICE_MAX: u32 = 200;
/// Longest command payload in bytes.
pub const COMMAND_PAYLOAD_BYTES_MAX: usize = 4096;
/// Longest path of a command in bytes.
pub const COMMAND_PATH_BYTES_MAX: usize = 1024;
/// How long an upstream's own request waits for its device, in milliseconds: a day, since some sleep that long.
pub const DOWNLINK_EXPIRY_MS: u64 = 24 * 3_600_000;
/// Requests of an upstream that wait to be queued; beyond it the origin is left to repeat itself.
pub const DOWNLINK_QUEUE_MAX: usize = 1024;
/// Longest time a command may wait, in milliseconds: 30 days.
pub const COMMAND_EXPIRY_MS_MAX: u64 = 30 * 24 * 3_600_000;
/// Items on one page of a list, unless asked otherwise.
pub const PAGE_ITEMS_DEFAULT: u32 = 50;
/// Most items on one page of a list.
pub const PAGE_ITEMS_MAX: u32 = 200;
/// Updates a slow subscriber of the bus may fall behind before it loses the oldest.
pub const BUS_UPDATES_MAX: usize = 4096;
/// Longest name of a tenant, type, device or operator, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest PSK identity in bytes (RFC 4279 section 5.3 asks for at least 128).
pub const IDENTITY_BYTES_MAX: usize = 128;
/// Longest reason a person gives, in bytes.
pub const REASON_BYTES_MAX: usize = 512;
/// Timeline entries kept per device.
pub const TIMELINE_PER_DEVICE_MAX: u32 = 1_000;
/// Findings kept per tenant.
pub const FINDINGS_PER_TENANT_MAX: u32 = 100_000;
/// Verdicts on evidence kept per device, with the evidence.
pub const VERDICTS_PER_DEVICE_MAX: u32 = 50;
/// Evidence of one device that is verified in a minute; more is answered 4.29 before any signature is looked at.
pub const EVIDENCE_PER_MINUTE_MAX: u32 = 6;
/// New keys that one device is given in a minute; asking for the same one again is free.
pub const KEYS_PER_MINUTE_MAX: u32 = 3;
/// Random bytes that a device may add to its new key: 128 bits at least.
pub const KEY_CONTRIBUTION_BYTES_MIN: usize = 16;
pub const KEY_CONTRIBUTION_BYTES_MAX: usize = 64;
/// Longest time that a person gives a device to take another key: a year.
pub const KEY_HOURS_MAX: u32 = 8_760;
/// How long a challenge may be answered, in milliseconds: a device on a slow link needs a minute for its evidence.
pub const CHALLENGE_AGE_MS_MAX: u64 = 5 * 60_000;
/// How long an attestation result may be relied on, in milliseconds, if no deadline ends it before.
pub const RESULT_VALID_MS: u64 = 3_600_000;
/// Chains of devices' certificates whose signatures need not be verified again, one a device: some 3 kB each.
pub const PROVEN_CHAINS_MAX: usize = 100_000;
/// Retractions read at a time.
pub const RETRACTIONS_PER_TURN: u32 = 100;
/// Length of an epoch, unless a policy says otherwise, in minutes.
pub const EPOCH_MINUTES_DEFAULT: u32 = 60;
/// Longest epoch in minutes.
pub const EPOCH_MINUTES_MAX: u32 = 24 * 60;
/// Keys that one tenant believes in one role; each is tried on a manifest.
pub const TRUSTED_KEYS_MAX: u32 = 32;
/// Longest PEM of such a key, in bytes.
pub const TRUSTED_KEY_PEM_BYTES_MAX: usize = 4096;
/// Largest firmware image that is measured here, in bytes.
pub const FIRMWARE_BYTES_MAX: u64 = 1 << 30;
/// Layers that an attestation policy names.
pub const LAYERS_MAX: usize = 16;
/// Longest time that a policy gives devices between two attestations, or of grace, in hours.
pub const ATTEST_HOURS_MAX: u32 = 365 * 24;
/// Time between two rounds of the watchdog, in event milliseconds.
pub const WATCH_EVERY_MS: u64 = 60_000;
/// Rounds further apart than this, in event milliseconds, mean that nobody could attest meanwhile.
pub const WATCH_GAP_MS_MAX: u64 = 10 * 60_000;
/// Devices of a type that the watchdog looks at in a round, for each kind of proof.
pub const WATCH_DEVICES_PER_ROUND_MAX: u32 = 4096;
/// Certificates that one device gets in a day; a device that asks for more is broken.
pub const CERTIFICATES_PER_DEVICE_A_DAY_MAX: u32 = 16;
/// How long a certificate that has ended is still shown, in milliseconds: 90 days.
pub const CERTIFICATES_KEPT_MS: u64 = 90 * 24 * 3_600_000;
/// By how much a certificate is dated back, in milliseconds, for devices and servers whose clocks are behind.
pub const CERTIFICATE_SKEW_MS: u64 = 3_600_000;
/// Longest certificate request in bytes.
pub const CSR_BYTES_MAX: usize = 8 * 1024;
/// Issuing authorities of a tenant that have not ended or been distrusted.
pub const AUTHORITIES_PER_TENANT_MAX: usize = 8;
/// Roots and certified roots of a tenant.
pub const ROOTS_PER_TENANT_MAX: usize = 16;
/// Longest bundle of authorities' certificates in PEM, in bytes.
pub const AUTHORITIES_PEM_BYTES_MAX: usize = 64 * 1024;
/// Longest time that an enrolment secret is good for, in hours.
pub const ENROLMENT_SECRET_HOURS_MAX: u32 = 90 * 24;
/// Lines of the audit that are kept.
pub const AUDIT_LINES_MAX: u32 = 1_000_000;
/// Lines of history and findings that wait to be written; more are shed and counted.
pub const ENTRIES_PENDING_MAX: usize = 65_536;
/// Connections that read one database at once.
pub const SQLITE_READERS_MAX: u32 = 4;
/// How long a statement waits for a lock of another process, in milliseconds.
pub const SQLITE_WAIT_MS: u64 = 10_000;
/// Rows of an import that are inserted at once.
pub const IMPORT_CHUNK_ROWS: usize = 500;
/// How long a reply is kept for its Idempotency-Key, in milliseconds: a day.
pub const KEPT_REPLY_MS: u64 = 24 * 3_600_000;

// --- est

/// Longest request of OCSP in bytes.
pub const OCSP_REQUEST_BYTES_MAX: usize = 4096;
/// Requests of EST that are worked on at a time.
pub const EST_REQUESTS_MAX: usize = 64;
/// Time for one of them, in milliseconds.
pub const EST_REQUEST_MS_MAX: u64 = 30_000;
/// Connections to the EST listener.
pub const EST_CONNECTIONS_MAX: usize = 512;
/// Wrong enrolment secrets of one address in a minute before it is answered with 429.
pub const EST_FAILURES_PER_MINUTE_MAX: u64 = 10;

// --- upstream

/// Longest upstream address with its options, in bytes.
pub const UPSTREAM_CONFIG_BYTES_MAX: usize = 1024;
/// Messages of one tenant under way to its upstream.
pub const UPSTREAM_IN_FLIGHT_MAX: usize = 16_384;
/// Size at which a log is set aside, in MiB, unless told otherwise.
pub const LOG_ROTATE_MIB_DEFAULT: u64 = 256;
/// Greatest such size: 1 TiB.
pub const LOG_ROTATE_MIB_MAX: u64 = 1 << 20;
/// Bytes written to a log before the disk is asked to keep them; one message may go beyond.
pub const LOG_BATCH_BYTES: usize = 1 << 20;
/// Longest MQTT topic in bytes. Brokers take 65,535; people and their tools do not.
pub const MQTT_TOPIC_BYTES_MAX: usize = 1024;
/// Longest packet a broker may send to a client that only publishes, in bytes.
pub const MQTT_INCOMING_BYTES_MAX: usize = 16 * 1024;
/// Longest message published, in bytes.
pub const MQTT_OUTGOING_BYTES_MAX: usize = 1 << 20;
/// Bytes handed to a broker's socket at once; one message may go beyond.
pub const MQTT_BATCH_BYTES: usize = 64 * 1024;
/// Longest packet of a device that speaks MQTT, in bytes.
pub const MQTT_DEVICE_PACKET_BYTES_MAX: usize = 256 * 1024;
/// Messages that such a device may send before the first is acknowledged (MQTT 5.0: Receive Maximum).
pub const MQTT_DEVICE_PUBLISH_MAX: u16 = 16;
/// Time between a TLS handshake and the CONNECT packet, in milliseconds.
pub const MQTT_CONNECT_MS_MAX: u64 = 10_000;
/// Longest keep-alive of such a device, in seconds; also of one that wants none.
pub const MQTT_KEEP_ALIVE_S_MAX: u16 = 3_600;
/// Addresses of one proxy pool.
pub const PROXY_POOL_ADDRESSES_MAX: u64 = 1 << 16;
/// Greatest network in a pool, as bits of its hosts.
pub const PROXY_POOL_HOST_BITS_MAX: u8 = 16;
/// Sockets open towards one origin, unless told otherwise.
pub const PROXY_SOCKETS_DEFAULT: usize = 8192;
/// Greatest such number.
pub const PROXY_SOCKETS_MAX: usize = 1 << 20;
/// Requests of one device under way to the origin.
pub const PROXY_REQUESTS_PER_DEVICE_MAX: usize = 16;
/// Responses of one device that the origin has not acknowledged; the oldest is given up.
pub const PROXY_RESPONSES_PER_DEVICE_MAX: usize = 16;
/// Observations of one device at the origin; the oldest is given up.
pub const PROXY_OBSERVATIONS_PER_DEVICE_MAX: usize = 16;
/// Requests of the origin that one device may still answer.
pub const PROXY_ASKED_PER_DEVICE_MAX: usize = 64;
/// Messages of the origin remembered per device against repetition.
pub const PROXY_RECENT_PER_DEVICE_MAX: usize = 32;
/// Registrations whose owner is known.
pub const PROXY_REGISTRATIONS_MAX: usize = 1 << 20;
/// Datagrams of one device's origin handled before others have their turn.
pub const PROXY_DATAGRAMS_PER_TURN: usize = 32;
/// A socket that was used less than this many milliseconds ago is not idle.
pub const PROXY_IDLE_MS_MIN: u64 = 50;
/// Shortest PSK towards an origin, in bytes.
pub const PROXY_PSK_BYTES_MIN: usize = 16;

// --- gateway

/// Longest encoding of one association in the session journal, in bytes.
pub const JOURNAL_STATE_BYTES_MAX: usize = 1024;
/// Entries that become durable together are at most this many bytes, and one entry more.
pub const JOURNAL_GROUP_BYTES_MAX: usize = 512 * 1024;
/// Longest sealed block of the session journal that is read.
pub const JOURNAL_BLOCK_BYTES_MAX: usize = 1024 * 1024;
/// A session journal shorter than this is never rewritten.
pub const JOURNAL_FILE_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Requests of one device that are remembered so that a duplicate is recognised (RFC 7252 section 4.5).
pub const COAP_SEEN_PER_DEVICE_MAX: usize = 16;
/// Confirmable messages to one device that wait for their acknowledgement.
pub const COAP_SENT_PER_DEVICE_MAX: usize = 8;
/// Observations of one device at its upstream.
pub const COAP_OBSERVATIONS_PER_DEVICE_MAX: usize = 8;
/// Longest body that arrives or leaves in blocks, in bytes, where the gateway is their end.
pub const COAP_BODY_BYTES_MAX: usize = 64 * 1024;
/// Bodies in blocks of all devices together, in bytes.
pub const COAP_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Seconds after which a device that was told 5.03 or 4.29 should try again.
pub const COAP_RETRY_SECONDS: u32 = 30;
/// Associations written to a new journal file per group.
pub const JOURNAL_WALK_PER_GROUP: usize = 512;
/// Datagrams read before everything else has its turn.
pub const GATEWAY_DATAGRAMS_PER_TURN: usize = 128;
/// Size asked of the kernel for each of the socket's buffers, in bytes.
pub const GATEWAY_SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Datagrams that wait for the kernel's send buffer.
pub const GATEWAY_OUTBOX_MAX: usize = 4096;
/// Messages that wait until their replay window is durable.
pub const GATEWAY_HELD_MAX: usize = 16_384;
/// The same, in bytes.
pub const GATEWAY_HELD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Messages under way to upstreams.
pub const GATEWAY_IN_FLIGHT_MAX: usize = 16_384;
/// Results of tasks that wait for the gateway; a task with one more waits.
pub const GATEWAY_DONE_MAX: usize = 4096;
/// Results taken before everything else has its turn.
pub const GATEWAY_DONE_PER_TURN: usize = 256;
/// PSK look-ups under way.
pub const GATEWAY_CREDENTIALS_MAX: usize = 1024;
/// Identities of blocked devices with a handshake under way.
pub const GATEWAY_REFUSED_MAX: usize = 1024;
/// Devices being loaded after a restart.
pub const GATEWAY_LOADING_MAX: usize = 4096;
/// Messages of one device that wait until it is loaded.
pub const GATEWAY_LOADING_PER_DEVICE_MAX: usize = 4;
/// Devices with unfinished CoAP business; beyond it finished requests are forgotten at once.
pub const GATEWAY_PEERS_LIVE_MAX: usize = 262_144;
/// Changes of commands' states that wait to be stored.
pub const GATEWAY_COMMAND_CHANGES_MAX: usize = 4096;
/// Decisions remembered with the time they reached the data path.
pub const GATEWAY_ENFORCED_MAX: usize = 1024;

// --- api, cli and ops

/// Console sessions open at once; the one that ends first makes room.
pub const SESSIONS_OF_CONSOLE_MAX: usize = 256;
/// Addresses whose wrong credentials are counted; further ones are counted together.
pub const AUTH_CLIENTS_MAX: usize = 4096;
/// Longest Idempotency-Key in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// Longest reply that is kept for an Idempotency-Key, in bytes.
pub const KEPT_REPLY_BYTES_MAX: usize = 64 * 1024;
/// Chunks of an import between the socket and its reader.
pub const IMPORT_CHUNKS_MAX: usize = 8;
/// Time a client gets for its TLS handshake, in milliseconds.
pub const TLS_HANDSHAKE_MS_MAX: u64 = 10_000;
/// Time a client gets to send the head of a request, in milliseconds.
pub const REQUEST_HEAD_MS_MAX: u64 = 15_000;
/// Time a write to a client may make no progress before it is dropped, in milliseconds.
pub const CLIENT_STALL_MS_MAX: u64 = 30_000;
/// Longest reply that the command line reads, in bytes.
pub const CLI_REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest configuration or key file that is read, in bytes.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Longest report that `energy` reckons with, in bytes: it has to fit one record in one datagram.
pub const ENERGY_PAYLOAD_BYTES_MAX: u32 = 1024;

// --- onboarding

/// Manufacturers of all tenants, whose keys a handshake may be held against.
pub const MANUFACTURERS_MAX: u32 = 256;
/// Strangers of one tenant that wait for a person.
pub const ONBOARDING_QUEUE_MAX: u32 = 1_000;
/// How long a stranger that knocks no more waits, in milliseconds: 30 days.
pub const ONBOARDING_QUEUE_AGE_MS: u64 = 30 * 86_400_000;
/// Order entries of one spreadsheet's piece.
pub const ONBOARDING_ORDERS_PER_PIECE: usize = 50_000;
/// Strangers with an association, or with a handshake under way.
pub const APPLICANTS_MAX: usize = 1024;
/// Those of them that show the same key.
pub const APPLICANTS_PER_KEY_MAX: usize = 4;
/// How long an association of a stranger lasts, in milliseconds.
pub const APPLICANT_MS_MAX: u64 = 300_000;
/// Requests that a stranger may make in a minute.
pub const APPLICANT_REQUESTS_PER_MINUTE_MAX: u32 = 60;
/// Chains of strangers that are verified in a second, of all together.
pub const STRANGERS_PER_SECOND_MAX: u32 = 200;
/// Seconds after which a device that waits for a person asks again.
pub const ENROLMENT_RETRY_SECONDS: u32 = 300;
/// Longest anchor of a manufacturer in PEM, in bytes.
pub const MANUFACTURER_PEM_BYTES_MAX: usize = 16 * 1024;
