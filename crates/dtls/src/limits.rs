//! The bounds of this crate, in one place. Tests stand on both sides of each.

/// Longest Connection ID that we accept or issue; RFC 9146 allows 255.
pub use bartizan_wire::limits::CONNECTION_ID_BYTES_MAX;

/// Longest plaintext of one record in bytes (RFC 5246 section 6.2.1).
pub const PLAINTEXT_BYTES_MAX: usize = 16_384;
/// Records of one datagram that are looked at; the rest is dropped.
pub const RECORDS_PER_DATAGRAM_MAX: usize = 16;
/// Longest handshake message in bytes, reassembled; certificates have a limit of their own.
pub const HANDSHAKE_MESSAGE_BYTES_MAX: usize = 2048;
/// Longest Certificate message: the longest chain with its lengths.
pub const CERTIFICATE_MESSAGE_BYTES_MAX: usize = CHAIN_BYTES_MAX + 3 * CERTIFICATES_MAX + 3;
/// Extensions of one message.
pub const EXTENSIONS_MAX: usize = 64;
/// Certificates of one chain.
pub const CERTIFICATES_MAX: usize = 8;
/// Bytes of one chain.
pub const CHAIN_BYTES_MAX: usize = 6144;
/// Handshake messages that may arrive ahead of the one that is due.
pub const HANDSHAKE_MESSAGES_AHEAD_MAX: u16 = 4;
/// Bytes of handshake messages, complete or not, that wait for their turn.
pub const REASSEMBLY_BYTES_MAX: usize = 4096;
/// The same where a Certificate may come: a chain, and what follows it ahead of its turn.
pub const REASSEMBLY_BYTES_MAX_WITH_CERTIFICATES: usize = 8192;
/// Bytes of all messages of one handshake, which the Finished messages sign: a chain from either side and 8 KiB of all
/// else. With the reassembly that is the most that one handshake holds; how many there are is configured.
pub const TRANSCRIPT_BYTES_MAX: usize = 8192 + 2 * CERTIFICATE_MESSAGE_BYTES_MAX;
/// Shortest pre-shared key in bytes: whoever records a handshake can try keys at leisure, so 128 bits (RFC 9257 section 6).
pub const PSK_BYTES_MIN: usize = 16;
/// Longest PSK identity in bytes (RFC 4279 section 5.3 asks for 128).
pub const IDENTITY_BYTES_MAX: usize = 256;
/// Longest record in bytes that may wait until the handshake has its keys: a Finished with a Connection ID.
pub const EARLY_RECORD_BYTES_MAX: usize = 128;
/// Finished messages that do not verify before a server gives the handshake up. Not one: anybody who can write
/// the peer's address on a datagram can send the first.
pub const FINISHED_FAILURES_MAX: u8 = 2;
/// Failed opens under one key before the association is closed, for tags of 8 bytes (RFC 9147 section 4.5.3: 2^7 keep
/// the chance of a forgery at 2^-57). The configuration may say up to [`FORGERIES_MAX_CCM_8_MOST`].
pub const FORGERIES_MAX_CCM_8: u16 = 1 << 7;
/// What can be configured in place of [`FORGERIES_MAX_CCM_8`]: the chance of a forgery stays at 2^-48.
pub const FORGERIES_MAX_CCM_8_MOST: u16 = u16::MAX;
/// The same for AES-CCM with tags of 16 bytes (RFC 9147 section 4.5.3: 2^23.5).
pub const FORGERIES_MAX_CCM: u64 = 1 << 23;
/// The same for AES-GCM and ChaCha20-Poly1305 (RFC 9147 section 4.5.3).
pub const FORGERIES_MAX: u64 = 1 << 36;
/// Smallest record size limit that a peer may ask for, and that can be configured (RFC 8449 section 4).
pub const RECORD_SIZE_LIMIT_MIN: u16 = 64;
/// Longest host name that a client may say (RFC 1035 section 2.3.4).
pub const SERVER_NAME_BYTES_MAX: usize = 255;
/// Sessions that a server remembers by session id.
pub const SESSION_CACHE_MAX: u32 = 1 << 20;
/// How long a session may be resumed (RFC 5246 section F.1.4: a day).
pub const RESUMPTION_MS_MAX: u64 = 24 * 3600 * 1000;
/// Longest ticket that a client keeps.
pub const TICKET_BYTES_MAX: usize = 1024;
/// First retransmission timeout (RFC 6347 section 4.2.4.1).
pub const RETRANSMIT_MS_INITIAL: u64 = 1_000;
/// Longest retransmission timeout (RFC 6347 section 4.2.4.1).
pub const RETRANSMIT_MS_MAX: u64 = 60_000;
/// How long a server keeps a handshake, in retransmission timeouts of the start.
pub const HANDSHAKE_TIMEOUTS_MAX: u64 = 60;
/// How often a client sends a flight before it gives up.
pub const CLIENT_TRANSMISSIONS_MAX: u32 = 7;
/// How long a server's handshake is safe from being displaced by a newer one when the table is full.
pub const HANDSHAKE_MS_PROTECTED: u64 = 2_000;
/// How long a cookie's secret is used to make cookies; it is accepted for as long again.
pub const COOKIE_SECRET_MS: u64 = 60_000;
/// How many HelloVerifyRequests a client answers in one handshake.
pub const VERIFY_REQUESTS_MAX: u8 = 4;
/// Events that wait to be polled; a datagram that finds the queue full is dropped.
pub const EVENTS_MAX: usize = 4096;
/// Smallest and largest MTU (UDP payload bytes) that can be configured: the largest holds the longest record, with its
/// header, a Connection ID and what a cipher may add (RFC 9147 section 4.4).
pub const MTU_MIN: usize = 128;
//= rfc9147#4.4-1
//= rfc6347#4.1.1.1-1
//= rfc9146#5-2
pub const MTU_MAX: usize = PLAINTEXT_BYTES_MAX + 256 + 13 + CONNECTION_ID_BYTES_MAX;
/// Last sequence number of an epoch (48 bit).
pub const SEQUENCE_MAX: u64 = (1 << 48) - 1;
//= rfc9147#4-1
/// Last record number of a hello that a server answers: its own records count on from there, far fewer than these.
pub const HELLO_SEQUENCE_MAX: u64 = SEQUENCE_MAX - (1 << 17);
/// Longest saved session of a client, which devices keep in flash or retention memory.
pub const SAVED_SESSION_BYTES_MAX: usize = 256;
/// Most sessions of one endpoint.
pub const SESSIONS_MAX: u32 = 1 << 24;
/// DTLS 1.3: longest handshake message, and most bytes of messages that wait for their turn in one handshake. A
/// ClientHello with a hybrid share takes 1.5 kB, a Certificate up to [`CHAIN_BYTES_MAX`] and its framing.
pub const REASSEMBLY_13_BYTES_MAX: usize = CHAIN_BYTES_MAX + 256;
/// DTLS 1.3: longest ClientHello.
pub const HELLO_13_BYTES_MAX: usize = 4096;
/// DTLS 1.3: bytes of all messages of one handshake: two chains and the hellos.
pub const TRANSCRIPT_13_BYTES_MAX: usize = 2 * REASSEMBLY_13_BYTES_MAX + 6144;
/// Separate parts of one message that may be there at a time.
pub const FRAGMENT_GAPS_MAX: usize = 32;
/// Records that one ACK names.
pub const ACKS_MAX: usize = 32;
/// Records of a flight that are remembered for their ACK.
pub const SENT_RECORDS_MAX: usize = 512;
/// Records that may wait until the handshake has their keys, and their bytes.
pub const EARLY_RECORDS_MAX: usize = 8;
pub const EARLY_RECORDS_BYTES_MAX: usize = 8192;
/// Records after which a side of DTLS 1.3 asks for new keys by itself, and after which it sends no more under the old
/// (RFC 9147 section 4.5.3, the smallest limit of all ciphers).
pub const RECORDS_PER_KEY: u64 = 1 << 22;
pub const RECORDS_PER_KEY_MAX: u64 = 1 << 23;
/// DTLS 1.3: how long a server answers repetitions of the client's last flight, at least (RFC 9147 section 5.8.1: twice
/// the maximum segment lifetime).
pub const LAST_FLIGHT_MS: u64 = 240_000;
/// Length of a cookie of DTLS 1.3 beside the hash that it carries: suite, group, MAC.
pub const COOKIE_13_BYTES: usize = 2 + 2 + 16;
/// Longest message after the handshake that is taken in.
pub const POST_HANDSHAKE_BYTES_MAX: usize = 1024;
/// Messages after the handshake that may wait for the one before them.
pub const POST_HANDSHAKE_QUEUE_MAX: usize = 4;
/// Connection IDs that one request may ask for.
pub const CONNECTION_IDS_REQUESTED_MAX: u8 = 8;
/// Connection IDs that a client keeps for later.
pub const CONNECTION_IDS_SPARE_MAX: usize = 4;
/// Addresses of peers that are checked at a time, or that data waits for.
pub const PATH_CHECKS_MAX: usize = 4096;
/// Challenges that go to a new address before a check is given up.
pub const PATH_CHALLENGES_MAX: u8 = 3;
/// Records that wait for one peer's address to be validated.
pub const PATH_HELD_RECORDS_MAX: usize = 4;
/// Bytes that wait for all peers' addresses to be validated.
pub const PATH_HELD_BYTES_MAX: usize = 1 << 20;
/// How long data waits for the next record of a peer whose address cannot be checked.
pub const PATH_HOLD_MS: u64 = 30_000;
/// Shards of one cluster.
pub const SHARDS_MAX: usize = 4096;
