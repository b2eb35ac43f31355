//! DTLS 1.2 with certificates and raw public keys: who is believed, who is asked, and who is not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO};
use bartizan_dtls::SignatureScheme::Ed25519;
use bartizan_dtls::*;
use bartizan_wire::event::HandshakeFailure;
use support::people::*;
use support::*;

#[test]
fn every_suite_scheme_and_kind_with_and_without_connection_ids() {
    let cids = [None, Some(ConnectionId::EMPTY), ConnectionId::new(b"device-7")];
    let mut round = 0;
    for suite in ECDSA_SUITES {
        for scheme in SignatureScheme::ALL {
            for (shown, judged) in
                [(X509, X509), (RawPublicKey, RawPublicKey), (X509, RawPublicKey), (RawPublicKey, X509)]
            {
                round += 1;
                let other = SignatureScheme::ALL[round % 2];
                let provider = if round % 3 == 0 { &AWS_LC } else { &RUSTCRYPTO };
                let server = certified_server(SERVER.of(scheme).credential(shown), judged);
                let client = certified_client(Some(METER.of(other).credential(judged)), shown);
                let own_cid = cids[round % 3];
                let world = connected(server, ClientConfig { suites: vec![suite], own_cid, provider, ..client });
                let info = world.server.session(world.session()).unwrap();
                let expected = match judged {
                    X509 => Authentication::Certificate,
                    RawPublicKey => Authentication::RawPublicKey,
                };
                assert_eq!((info.suite, info.principal, info.authentication), (suite, 1, expected));
                assert_eq!(info.connection_id, own_cid.is_some());
                let connection = &world.clients[0].connection;
                assert_eq!(connection.exporter(), Some(&info.exporter));
                let shown_as = match shown {
                    X509 => Authentication::Certificate,
                    RawPublicKey => Authentication::RawPublicKey,
                };
                assert_eq!(connection.peer(), Some((shown_as, 100)));
            }
        }
    }
}

#[test]
fn any_weather_at_any_mtu_with_long_chains() {
    let mut together = 0;
    for seed in 0..40 {
        let mtu = [200, 512, 1200][seed as usize % 3];
        let own_cid = [None, Some(ConnectionId::EMPTY), ConnectionId::new(b"device-7")][seed as usize / 3 % 3];
        let chain: &[usize] = [&[400][..], &[900, 700]][seed as usize % 2];
        let server = certified_server(SERVER.with_chain(X509, chain), X509);
        let client = certified_client(Some(METER.with_chain(X509, chain)), X509);
        let mut world = World::new(seed, ROUGH, EndpointConfig { mtu, ..server });
        let client =
            world.connect(ClientConfig { own_cid, mtu, suites: vec![ECDSA_SUITES[seed as usize % 5]], ..client });
        world.run(600_000);
        let state = &world.clients[client];
        if !state.connection.is_connected() {
            assert_eq!(state.closed(), Some(CloseReason::TimedOut), "seed {seed}");
            continue;
        }
        together += 1;
        world.weather = CALM;
        world.exchange(client, b"hello");
        assert_eq!(world.received(), [b"hello"], "seed {seed}");
    }
    assert!(together >= 30, "{together} of 40");
}

#[test]
fn whether_clients_are_asked() {
    use ClientAuthentication::{None as Never, Optional, Required};
    let refused = Some(CloseReason::Alert(AlertDescription::HANDSHAKE_FAILURE));
    for (policy, shows, expected) in [
        (Never, true, Ok(Authentication::Anonymous)),
        (Never, false, Ok(Authentication::Anonymous)),
        (Optional, true, Ok(Authentication::Certificate)),
        (Optional, false, Ok(Authentication::Anonymous)),
        (Required, true, Ok(Authentication::Certificate)),
        (Required, false, Err(HandshakeFailure::NoCommonGround)),
    ] {
        let (server, client) = usual();
        let credential = client.credential.clone().filter(|_| shows);
        let server = EndpointConfig { client_authentication: policy, ..server };
        let client = ClientConfig { credential, ..client };
        match expected {
            Ok(authentication) => {
                let world = connected(server, client);
                let info = world.server.session(world.session()).unwrap();
                let principal = if authentication == Authentication::Anonymous { Authentication::NOBODY } else { 1 };
                assert_eq!((info.authentication, info.principal), (authentication, principal), "{policy:?}");
            }
            Err(failure) => {
                let (_, closed, failures) = outcome(server, client);
                assert_eq!((closed, failures), (refused, vec![failure]));
            }
        }
    }
}

#[test]
fn anonymous_clients_do_not_take_each_others_place() {
    let (server, client) = usual();
    let server = EndpointConfig { client_authentication: ClientAuthentication::Optional, ..server };
    let client = ClientConfig { credential: None, ..client };
    nobody_takes_anothers_place(server, client);
}

#[test]
fn a_client_that_is_not_believed_is_told_so() {
    let untrusted = AlertDescription::UNKNOWN_CA;
    for kind in [X509, RawPublicKey] {
        for policy in [ClientAuthentication::Optional, ClientAuthentication::Required] {
            let server = certified_server(SERVER.credential(kind), kind);
            let server = EndpointConfig { client_authentication: policy, ..server };
            let client = certified_client(Some(STRANGER.credential(kind)), kind);
            let (world, closed, failures) = outcome(server, client);
            assert_eq!(closed, Some(CloseReason::Alert(untrusted)));
            assert_eq!(failures, [HandshakeFailure::UnknownIdentity]);
            assert_eq!((world.server.sessions().count(), world.server.handshakes()), (0, 0));
        }
    }
}

#[test]
fn a_certificate_without_its_private_key_is_worth_nothing() {
    for kind in [X509, RawPublicKey] {
        let server = certified_server(SERVER.credential(kind), kind);
        let thief = certified_client(Some(METER.with_the_key_of(STRANGER, kind)), kind);
        let (world, closed, failures) = outcome(server, thief);
        assert_eq!(closed, Some(CloseReason::Alert(AlertDescription::DECRYPT_ERROR)));
        assert_eq!(failures, [HandshakeFailure::WrongKey]);
        assert_eq!(world.server.sessions().count(), 0);

        let impostor = certified_server(SERVER.with_the_key_of(STRANGER, kind), kind);
        let client = certified_client(Some(METER.credential(kind)), kind);
        let (_, closed, _) = outcome(impostor, client);
        assert_eq!(closed, Some(CloseReason::Failed(Error::Untrusted(AlertDescription::DECRYPT_ERROR))));
    }
}

#[test]
fn a_server_that_is_not_believed_gets_nothing() {
    for kind in [X509, RawPublicKey] {
        let server = certified_server(STRANGER.credential(kind), kind);
        let client = certified_client(Some(METER.credential(kind)), kind);
        let (world, closed, _) = outcome(server, client);
        assert_eq!(closed, Some(CloseReason::Failed(Error::Untrusted(AlertDescription::UNKNOWN_CA))));
        let shown = METER.public().to_spki();
        assert!(!world.tape.iter().any(|(_, _, data)| data.windows(shown.len()).any(|window| window == shown)));
    }
}

#[test]
fn kinds_and_schemes_without_common_ground_are_refused() {
    let none = Some(CloseReason::Alert(AlertDescription::HANDSHAKE_FAILURE));
    // The server has another kind than the client can judge.
    let server = certified_server(SERVER.credential(RawPublicKey), X509);
    let (_, closed, failures) = outcome(server, certified_client(Some(METER.credential(X509)), X509));
    assert_eq!((closed, failures), (none, vec![HandshakeFailure::NoCommonGround]));
    // The client has another kind than the server can judge.
    let server = || certified_server(SERVER.credential(X509), RawPublicKey);
    let client = || certified_client(Some(METER.credential(X509)), X509);
    let (_, closed, failures) = outcome(server(), client());
    assert_eq!((closed, failures), (none, vec![HandshakeFailure::NoCommonGround]));
    // Where it need not show anything, it is not asked.
    let world =
        connected(EndpointConfig { client_authentication: ClientAuthentication::Optional, ..server() }, client());
    assert_eq!(world.server.session(world.session()).unwrap().authentication, Authentication::Anonymous);
    // RFC 8422 section 5.1: a P-256 certificate for a client that does not name the curve.
    let (server, client) = usual();
    let (_, closed, failures) = outcome(server.clone(), ClientConfig { groups: vec![Group::X25519], ..client.clone() });
    assert_eq!((closed, failures), (none, vec![HandshakeFailure::NoCommonGround]));
    let server = EndpointConfig { credential: Some(SERVER.of(Ed25519).credential(X509)), ..server };
    connected(server, ClientConfig { groups: vec![Group::X25519], ..client });
}

#[test]
fn a_client_that_judges_both_kinds_gets_the_servers() {
    for kind in [X509, RawPublicKey] {
        let server = certified_server(SERVER.credential(kind), X509);
        let client = certified_client(Some(METER.credential(X509)), X509);
        connected(server, ClientConfig { verifier: Some(known(&[RawPublicKey, X509])), ..client });
    }
}

#[test]
fn keys_and_certificates_live_side_by_side() {
    let (server, certified) = usual();
    let mut world = World::calm(server);
    let one = world.connected(certified);
    let two = world.connected(client_config("meter-2", 2));
    world.exchange(one, b"one");
    world.exchange(two, b"two");
    let kinds: Vec<_> = world
        .server
        .sessions()
        .map(|session| world.server.session(session).unwrap())
        .map(|info| (info.principal, info.authentication))
        .collect();
    assert_eq!(kinds, [(1, Authentication::Certificate), (2, Authentication::PreSharedKey)]);
}

#[test]
fn authentication_survives_a_restart() {
    let (server, client) = usual();
    let mut world = World::calm(server);
    let client = world.connected(client);
    world.exchange(client, b"one");
    world.restart();
    world.exchange(client, b"two");
    let info = world.server.session(world.session()).unwrap();
    assert_eq!((info.principal, info.authentication), (1, Authentication::Certificate));
    assert_eq!(world.clients[client].data(), [b"one", b"two"]);
}

/// Certificates go out only to an address that has proved itself, whatever a hello says.
#[test]
fn the_long_flight_waits_for_the_cookie() {
    let own = SERVER.with_chain(X509, &[2000, 2000, 2000]);
    let mut world = World::calm(certified_server(own, X509));
    world.connected(certified_client(Some(METER.credential(X509)), X509));
    let sizes: Vec<_> = world.tape.iter().map(|(up, _, data)| (*up, data.len())).collect();
    assert!(sizes[0].0 && !sizes[1].0 && sizes[2].0, "hello, request, hello");
    assert!(sizes[1].1 <= sizes[0].1, "the answer to the first hello is smaller than the hello");
    let flight: usize = sizes.iter().filter(|(up, _)| !up).map(|(_, size)| size).sum();
    assert!(flight > 6000);
}

#[test]
fn chains_up_to_the_limit_and_no_longer() {
    let longest = [limits::CHAIN_BYTES_MAX - 7 * 200, 200, 200, 200, 200, 200, 200, 200];
    assert_eq!(longest.len(), limits::CERTIFICATES_MAX);
    let server = certified_server(SERVER.with_chain(X509, &longest), X509);
    connected(server, certified_client(Some(METER.with_chain(X509, &longest)), X509));
    let chain = |count: usize, bytes: usize| Credential::x509(vec![vec![1; bytes]; count], Arc::new(METER.key()));
    assert!(chain(1, limits::CHAIN_BYTES_MAX).is_ok() && chain(1, limits::CHAIN_BYTES_MAX + 1).is_err());
    assert!(chain(limits::CERTIFICATES_MAX, 1).is_ok() && chain(limits::CERTIFICATES_MAX + 1, 1).is_err());
    assert!(chain(0, 1).is_err() && chain(1, 0).is_err());
}

#[test]
fn a_server_name_is_said_and_changes_nothing() {
    let (server, client) = usual();
    let name = Some("gateway.example".to_string());
    let world = connected(server, ClientConfig { server_name: name, ..client });
    assert!(world.tape[0].2.windows(15).any(|window| window == b"gateway.example"));
}

/// Somebody on the path swaps one message's bits: the handshake never completes with anything but what both said.
#[test]
fn no_message_can_be_changed_on_the_way() {
    let (server, client) = usual();
    let flights = {
        let mut world = World::calm(server.clone());
        world.connected(client.clone());
        world.tape.len()
    };
    for target in 2..flights {
        for at in [14_usize, 30, 60, 90, 200, 500] {
            let mut world = World::calm(server.clone());
            world.connect(client.clone());
            let mut changed = false;
            world.meddle = Some(Box::new(move |number, data: &mut Vec<u8>| {
                if number == target && !changed && at < data.len() {
                    data[at] ^= 0x20;
                    changed = true;
                }
            }));
            world.run(400_000);
            let connected = world.clients[0].connection.is_connected();
            if connected {
                let info = world.server.session(world.session()).unwrap();
                assert_eq!((info.principal, info.suite), (1, CipherSuite::EcdheEcdsaAes128GcmSha256));
                assert_eq!(world.clients[0].connection.exporter(), Some(&info.exporter));
            }
        }
    }
}
