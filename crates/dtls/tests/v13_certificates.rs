//! DTLS 1.3 with certificates and raw public keys: who is asked, who is believed, and who stays nobody.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use ClientAuthentication::{None as Never, Optional, Required};
use bartizan_dtls::*;
use bartizan_wire::event::HandshakeFailure;
use support::people::*;
use support::*;

fn server(kind: CertificateType, policy: ClientAuthentication) -> EndpointConfig {
    EndpointConfig { client_authentication: policy, ..certified_server(SERVER.credential(kind), kind) }
}

fn client(kind: CertificateType, own: Option<Credential>) -> ClientConfig {
    let suites = vec![CipherSuite::Aes128GcmSha256, CipherSuite::Aes128Ccm8Sha256];
    let groups = vec![Group::X25519];
    ClientConfig { versions: Versions::DTLS_1_3, suites, groups, ..certified_client(own, kind) }
}

/// Who the server says that its one client is.
fn known_as(world: &World) -> (Authentication, u64) {
    let info = world.server.session(world.session()).unwrap();
    assert_eq!(info.suite.version(), Version::Dtls13);
    (info.authentication, info.principal)
}

#[test]
fn whether_clients_are_asked() {
    let nobody = Ok((Authentication::Anonymous, Authentication::NOBODY));
    for kind in [X509, RawPublicKey] {
        let shown_as = match kind {
            X509 => Authentication::Certificate,
            RawPublicKey => Authentication::RawPublicKey,
        };
        let somebody = Ok((shown_as, 1));
        for (policy, shows, expected) in [
            (Never, true, nobody),
            (Never, false, nobody),
            (Optional, true, somebody),
            (Optional, false, nobody),
            (Required, true, somebody),
        ] {
            let own = Some(METER.credential(kind)).filter(|_| shows);
            let world = connected(server(kind, policy), client(kind, own));
            assert_eq!(Ok::<_, ()>(known_as(&world)), expected, "{kind:?} {policy:?} {shows}");
            assert_eq!(world.clients[0].connection.peer(), Some((shown_as, 100)));
        }
    }
}

/// RFC 8446 section 4.4.2.4: an empty Certificate is refused with certificate_required; a client without the kind that
/// is asked for does not get that far.
#[test]
fn a_client_that_must_show_itself_and_cannot_is_refused() {
    let required = AlertDescription::CERTIFICATE_REQUIRED;
    for (kind, alert) in [(X509, required), (RawPublicKey, AlertDescription::HANDSHAKE_FAILURE)] {
        let (world, closed, failures) = outcome(server(kind, Required), client(kind, None));
        assert_eq!((closed, failures), (Some(CloseReason::Alert(alert)), vec![HandshakeFailure::NoCommonGround]));
        assert_eq!((world.server.sessions().count(), world.server.handshakes()), (0, 0));
    }
}

/// Without a verifier there is nothing to ask for, and no kind in common is no reason to refuse who may be nobody.
#[test]
fn servers_without_a_judge_or_a_kind_in_common() {
    let nobody = (Authentication::Anonymous, Authentication::NOBODY);
    let own = Some(METER.credential(X509));
    let blind = EndpointConfig { verifier: None, ..server(X509, Never) };
    assert_eq!(known_as(&connected(blind, client(X509, own.clone()))), nobody);
    let other = |policy| EndpointConfig {
        client_authentication: policy,
        ..certified_server(SERVER.credential(X509), RawPublicKey)
    };
    assert_eq!(known_as(&connected(other(Optional), client(X509, own.clone()))), nobody);
    let (_, closed, failures) = outcome(other(Required), client(X509, own));
    assert_eq!(closed, Some(CloseReason::Alert(AlertDescription::HANDSHAKE_FAILURE)));
    assert_eq!(failures, [HandshakeFailure::NoCommonGround]);
}

#[test]
fn what_is_shown_must_be_in_order() {
    for kind in [X509, RawPublicKey] {
        for policy in [Optional, Required] {
            let stranger = client(kind, Some(STRANGER.credential(kind)));
            let (world, closed, failures) = outcome(server(kind, policy), stranger);
            assert_eq!(closed, Some(CloseReason::Alert(AlertDescription::UNKNOWN_CA)));
            assert_eq!(failures, [HandshakeFailure::UnknownIdentity]);
            assert_eq!((world.server.sessions().count(), world.server.handshakes()), (0, 0));

            let thief = client(kind, Some(METER.with_the_key_of(STRANGER, kind)));
            let (world, closed, failures) = outcome(server(kind, policy), thief);
            assert_eq!(closed, Some(CloseReason::Alert(AlertDescription::DECRYPT_ERROR)));
            assert_eq!(failures, [HandshakeFailure::WrongKey]);
            assert_eq!(world.server.sessions().count(), 0);
            // RFC 8446 section 4.4.4: our Finished is out, so the alert has the application's keys, and epoch 3.
            let (_, _, alert) = world.tape.iter().rfind(|(up, ..)| !up).unwrap();
            assert_eq!(alert[0] & 0xE3, 0x23);
        }
    }
}

#[test]
fn a_server_that_is_not_believed_gets_nothing() {
    for kind in [X509, RawPublicKey] {
        let stranger = certified_server(STRANGER.credential(kind), kind);
        let (world, closed, _) = outcome(stranger, client(kind, Some(METER.credential(kind))));
        assert_eq!(closed, Some(CloseReason::Failed(Error::Untrusted(AlertDescription::UNKNOWN_CA))));
        assert_eq!(world.server.sessions().count(), 0);
    }
}

#[test]
fn anonymous_clients_do_not_take_each_others_place() {
    for policy in [Never, Optional] {
        nobody_takes_anothers_place(server(X509, policy), client(X509, None));
    }
}

#[test]
fn anonymous_in_any_weather() {
    let mut together = 0;
    for seed in 0..40 {
        let mtu = [300, 512, 1200][seed as usize % 3];
        let policy = [Never, Optional][seed as usize % 2];
        let own_cid = [None, Some(ConnectionId::EMPTY), ConnectionId::new(b"device-7")][seed as usize / 3 % 3];
        let mut world = World::new(seed, ROUGH, EndpointConfig { mtu, ..server(X509, policy) });
        let client = world.connect(ClientConfig { own_cid, mtu, ..client(X509, None) });
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
    assert!(together >= 35, "{together} of 40");
}
