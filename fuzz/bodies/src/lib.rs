//! What each fuzz target does with its bytes. One place, two callers: libFuzzer (`fuzz/fuzz_targets`) and
//! the seeded test of this package, which runs every body on thousands of random and mutated inputs.
//!
//! A body takes any bytes and must return. It asserts what holds for all of them: what was read can be
//! written back, a limit is kept, a secret stays where it is. [`TARGETS`] lists them with seeds to start from.

pub mod cbor;
pub mod coap;
pub mod device;
pub mod dtls;
pub mod evidence;
pub mod import;
pub mod judge;
pub mod record;
mod script;
pub mod trust;

use bartizan_dtls::{fuzzing, fuzzing13};

/// One fuzz target.
pub struct Target {
    /// As in `fuzz/fuzz_targets`.
    pub name: &'static str,
    pub body: fn(&[u8]),
    /// Inputs worth mutating.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many inputs the seeded test gives it: more where an input is cheap.
    pub rounds: u32,
}

pub const TARGETS: &[Target] = &[
    Target { name: "coap_message", body: coap::message, seeds: coap::seeds, rounds: 40_000 },
    Target { name: "record_header", body: record::header, seeds: record::seeds, rounds: 40_000 },
    Target { name: "cbor_event", body: cbor::event_and_finding, seeds: cbor::seeds, rounds: 40_000 },
    Target { name: "dtls_client", body: dtls::client, seeds: dtls::seeds, rounds: 2_000 },
    Target { name: "dtls_server", body: dtls::server, seeds: dtls::seeds, rounds: 2_000 },
    Target { name: "dtls_messages", body: fuzzing::messages, seeds: dtls::message_seeds, rounds: 20_000 },
    Target { name: "dtls_stored", body: fuzzing::stored, seeds: dtls::stored_seeds, rounds: 20_000 },
    Target { name: "dtls_associations", body: fuzzing::associations, seeds: dtls::association_seeds, rounds: 2_000 },
    Target { name: "dtls13_client", body: dtls::client_13, seeds: dtls::seeds, rounds: 2_000 },
    Target { name: "dtls13_server", body: dtls::server_13, seeds: dtls::seeds, rounds: 2_000 },
    Target { name: "dtls13_records", body: fuzzing13::records, seeds: dtls::record_13_seeds, rounds: 20_000 },
    Target { name: "dtls13_messages", body: fuzzing13::messages, seeds: dtls::message_13_seeds, rounds: 20_000 },
    Target {
        name: "dtls13_associations",
        body: fuzzing13::associations,
        seeds: dtls::association_seeds,
        rounds: 2_000,
    },
    Target { name: "device_client", body: device::client, seeds: device::seeds, rounds: 10_000 },
    Target { name: "device_saved", body: device::saved, seeds: device::saved_seeds, rounds: 4_000 },
    Target { name: "judge_events", body: judge::events, seeds: judge::seeds, rounds: 3_000 },
    Target { name: "judge_state", body: judge::state, seeds: judge::state_seeds, rounds: 5_000 },
    Target { name: "csv_import", body: import::csv, seeds: import::seeds, rounds: 5_000 },
    Target { name: "trust_cbor_chain", body: trust::cbor_chain, seeds: trust::cbor_seeds, rounds: 20_000 },
    Target { name: "trust_x509_chain", body: trust::x509_chain, seeds: trust::x509_seeds, rounds: 20_000 },
    Target { name: "trust_evidence", body: evidence::carried, seeds: evidence::carried_seeds, rounds: 20_000 },
    Target { name: "trust_psa_token", body: evidence::psa_token, seeds: evidence::psa_seeds, rounds: 20_000 },
];
