//! Connection IDs as routes: keys that rotate, datagrams at the wrong node, nodes that die.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use bartizan_crypto::{AWS_LC, Secret};
use bartizan_dtls::route::{Direction, Envelope, Fence, Forwarder, NodeId, ShardMap};
use bartizan_dtls::*;
use bartizan_wire::event::RecordRejection;
use support::*;

fn route_key(id: u8) -> RouteConfig {
    RouteConfig::new(id, Secret::new([id; 16]))
}

fn sealed_config() -> EndpointConfig {
    EndpointConfig { routes: Routes::sealed(&route_key(1)).unwrap(), ..server_config() }
}

/// The Connection ID that a client put into its last datagram.
fn last_cid(world: &World, length: usize) -> Vec<u8> {
    let (_, _, data) = world.tape.iter().rev().find(|(up, _, data)| *up && data[0] == 25).unwrap();
    data[11..11 + length].to_vec()
}

#[test]
fn a_session_is_found_through_a_sealed_connection_id_of_any_length() {
    for nonce_bytes in [1, 3, 8] {
        let key = RouteConfig { nonce_bytes, ..route_key(2) };
        let config = EndpointConfig { routes: Routes::sealed(&key).unwrap(), ..server_config() };
        let suites = vec![CipherSuite::Aes128GcmSha256];
        let v13 = ClientConfig { versions: Versions::DTLS_1_3, suites, ..client_config("meter-1", 1) };
        let mut world = World::calm(config.clone());
        let client = world.connected(v13);
        world.rebind(client, 4_242);
        world.exchange(client, b"hello");
        assert_eq!(world.clients[client].data(), [b"hello"]);

        let mut world = World::calm(config);
        let client = world.connected(client_config("meter-1", 1));
        world.rebind(client, 4_242);
        world.exchange(client, b"hello");
        assert_eq!(world.clients[client].data(), [b"hello"]);
        let cid = last_cid(&world, 9 + nonce_bytes);
        let route = world.config.routes.decode(&cid).unwrap();
        assert_eq!(route.session, world.session());
        world.restart();
        world.exchange(client, b"again");
        assert_eq!(world.clients[client].data().len(), 2);
    }
}

#[test]
fn keys_rotate_and_sessions_from_before_there_was_one_go_on() {
    let mut world = World::calm(server_config());
    let old = world.connected(client_config("meter-1", 1));
    let first = Routes::sealed(&route_key(1)).unwrap().accepting_plain();
    world.config.routes = first.clone();
    world.restart();
    let middle = world.connected(client_config("meter-2", 2));
    let second = Routes::sealed(&route_key(2)).unwrap().accepting(&route_key(1)).unwrap().accepting_plain();
    world.server.set_routes(second).unwrap();
    let new = world.connected(client_config("meter-3", 3));
    for client in [old, middle, new] {
        world.rebind(client, 5_000 + client as u16);
        world.exchange(client, b"hello");
        assert_eq!(world.clients[client].data(), [b"hello"]);
    }
    world.server.set_routes(Routes::sealed(&route_key(2)).unwrap()).unwrap();
    for client in [old, middle, new] {
        world.exchange(client, b"again");
    }
    let heard: Vec<_> = world.clients.iter().map(|client| client.data().len()).collect();
    assert_eq!(heard, [1, 1, 2], "the old keys are gone");
    assert!(world.server.set_routes(Routes::plain().for_shard(3)).is_err());
}

#[test]
fn a_stale_generation_is_refused_before_any_cipher_runs() {
    let mut world = World::calm(EndpointConfig { sessions_max: 1, ..sealed_config() });
    let client = world.connected(client_config("meter-1", 1));
    world.exchange(client, b"hello");
    let (_, from, old) = world.tape.iter().rev().find(|(up, ..)| *up).unwrap().clone();
    let session = world.session();
    let now = world.instant();
    world.server.close(now, session, AlertDescription::CLOSE_NOTIFY);
    world.pump();
    let other = world.connected(client_config("meter-2", 2));
    world.exchange(other, b"mine");
    assert_eq!(world.session().slot, session.slot, "the slot is in use again");
    world.inject(from, &old);
    let last = world.server_events.last().unwrap();
    let refused = EndpointEvent::Rejected { remote: from, claimed: None, reason: RecordRejection::UnknownConnectionId };
    assert_eq!(*last, refused, "not even held against the new owner");
}

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const LEASE_MS: u64 = 1_000;
const SHARD: u16 = 7;

/// One node's endpoint of a shard, what it keeps on disk, and everything that it sent.
struct Node {
    endpoint: Endpoint,
    states: BTreeMap<SessionId, Vec<u8>>,
    windows: BTreeMap<SessionId, ReplayWindow>,
    leases: BTreeMap<SessionId, u64>,
    misrouted: Vec<(std::net::SocketAddr, u16, Vec<u8>)>,
    received: Vec<Vec<u8>>,
    sent: Vec<Transmit>,
}

impl Node {
    fn new(shard: u16, seed: u64) -> Self {
        let routes = Routes::sealed(&route_key(1)).unwrap().for_shard(shard);
        let endpoint = Endpoint::server(EndpointConfig { routes, ..server_config() }, Box::new(Rng(seed))).unwrap();
        Self {
            endpoint,
            states: BTreeMap::new(),
            windows: BTreeMap::new(),
            leases: BTreeMap::new(),
            misrouted: Vec::new(),
            received: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// A node that takes a shard over, with what the other one had on disk.
    fn after(dead: &Self, shard: u16, seed: u64) -> Self {
        let mut node = Self::new(shard, seed);
        for (session, state) in &dead.states {
            let state = SessionState::from_bytes(state).unwrap();
            let lease = dead.leases[session];
            node.endpoint.restore(state, dead.windows[session], lease, address(1)).unwrap();
            node.leases.insert(*session, lease + 1_024);
            node.endpoint.extend_lease(*session, lease + 1_024);
        }
        node
    }

    fn handle(&mut self, now: u64, from: std::net::SocketAddr, datagram: &[u8]) -> Vec<Transmit> {
        let now = Instant::from_millis(now);
        self.endpoint.handle(now, from, &mut datagram.to_vec());
        while let Some(event) = self.endpoint.poll() {
            match event {
                EndpointEvent::PskRequested { handshake, .. } => {
                    self.endpoint.provide_psk(now, handshake, Some(PskEntry { key: key(1), principal: 1, tag: 0 }));
                }
                EndpointEvent::Establishing { session, .. } => {
                    self.states.insert(session, self.endpoint.state(session).unwrap().to_bytes());
                    self.leases.insert(session, self.endpoint.lease(session).unwrap());
                    self.windows.insert(session, self.endpoint.window(session).unwrap());
                    self.endpoint.confirm_durable(now, session);
                }
                EndpointEvent::Data { session, data, .. } => {
                    self.windows.insert(session, self.endpoint.window(session).unwrap());
                    self.endpoint.send(now, session, &data).unwrap();
                    self.received.push(data);
                }
                EndpointEvent::Misrouted { remote, shard, datagram } => self.misrouted.push((remote, shard, datagram)),
                _ => {}
            }
        }
        let sent: Vec<_> = std::iter::from_fn(|| self.endpoint.poll_transmit()).collect();
        self.sent.extend(sent.iter().cloned());
        sent
    }
}

fn connect(node: &mut Node, now: u64) -> Connection {
    let mut rng = Rng(5);
    let at = Instant::from_millis(now);
    let mut device = Connection::connect(client_config("meter-1", 1), at, &mut rng).unwrap();
    while let Some(datagram) = device.poll_transmit(at) {
        for answer in node.handle(now, address(1), &datagram) {
            device.handle(at, &mut answer.data.clone());
        }
    }
    assert!(device.is_connected());
    device
}

fn upload(device: &mut Connection, data: &[u8]) -> Vec<u8> {
    device.send(Instant::default(), data).unwrap();
    device.poll_transmit(Instant::default()).unwrap()
}

fn download(device: &mut Connection, answers: Vec<Transmit>) -> Vec<u8> {
    while device.poll().is_some() {}
    answers.into_iter().for_each(|mut answer| device.handle(Instant::default(), &mut answer.data));
    match device.poll() {
        Some(ConnectionEvent::Data(data)) => data,
        other => panic!("no answer: {other:?}"),
    }
}

#[test]
fn a_datagram_at_the_wrong_node_is_forwarded_and_answered_through_it() {
    let map = ShardMap::new(1, LEASE_MS, &[(1, A), (SHARD, B)]).unwrap();
    let forwarder = Forwarder::new(&AWS_LC, Secret::new([9; 32]));
    let (mut wrong, mut owner) = (Node::new(1, 1), Node::new(SHARD, 2));
    let mut device = connect(&mut owner, 0);

    let (moved, service) = (address(4_242), address(5_684));
    let datagram = upload(&mut device, b"hello");
    assert!(wrong.handle(10, moved, &datagram).is_empty());
    let (remote, shard, misrouted) = wrong.misrouted.pop().unwrap();
    assert_eq!((map.owner(shard), remote), (Some(B), moved));
    let there = Envelope { direction: Direction::ToOwner, shard, map_version: 1, device: remote, service };
    let mut wrapped = forwarder.wrap(&there, &misrouted).unwrap();

    let (envelope, inner) = forwarder.unwrap(&mut wrapped).unwrap();
    assert_eq!(envelope, there);
    let answers = owner.handle(20, envelope.device, inner);
    assert_eq!(answers[0].to, moved, "the session has its new address");
    let back = Envelope { direction: Direction::ToDevice, ..envelope };
    let mut wrapped = forwarder.wrap(&back, &answers[0].data).unwrap();

    let (envelope, inner) = forwarder.unwrap(&mut wrapped).unwrap();
    assert_eq!((envelope.device, envelope.service), (moved, service));
    let answer = Transmit { to: envelope.device, data: inner.to_vec() };
    assert_eq!(download(&mut device, vec![answer]), b"hello");

    assert!(wrong.handle(30, moved, &datagram).is_empty());
    let (remote, _, replay) = wrong.misrouted.pop().unwrap();
    owner.handle(40, remote, &replay);
    assert_eq!(owner.received.len(), 1, "a replay is one through a forwarder, too");
}

#[test]
fn a_shard_is_taken_over_without_two_owners_a_nonce_twice_or_a_replay() {
    let map = |version, owner| ShardMap::new(version, LEASE_MS, &[(SHARD, owner)]).unwrap();
    let at = Instant::from_millis;
    let mut fences = [Fence::new(A, map(1, A), at(0)), Fence::new(B, map(1, A), at(0))];
    assert!(fences[0].renew(at(2_000), 1));
    let mut first = Node::new(SHARD, 1);
    first.endpoint.serve_until(fences[0].serves_until(at(2_000), SHARD));
    let mut device = connect(&mut first, 2_000);
    let datagram = upload(&mut device, b"one");
    let answers = first.handle(2_100, address(1), &datagram);
    assert_eq!(download(&mut device, answers), b"one");

    // A is cut off from the coordinator, which makes B the owner. A's lease ends; B waits until it must have.
    fences[1].adopt(at(2_200), map(2, B)).unwrap();
    assert!(fences[1].renew(at(3_000), 2));
    assert_eq!(fences[1].serves_until(at(3_000), SHARD), None);
    let lost = upload(&mut device, b"two");
    assert!(first.handle(3_000, address(1), &lost).is_empty(), "A may not answer any more");
    assert_eq!(first.misrouted.pop().unwrap().1, SHARD);
    let session = first.endpoint.sessions().next().unwrap();
    assert!(matches!(first.endpoint.send(at(3_000), session, b"late"), Err(Error::Unavailable(_))));

    let until = fences[1].serves_until(at(3_500), SHARD);
    assert_eq!(until, Some(at(4_000)));
    let mut second = Node::after(&first, SHARD, 2);
    second.endpoint.serve_until(until);
    assert!(second.handle(3_500, address(1), &datagram).is_empty(), "a replay over the takeover");
    let answers = second.handle(3_600, address(2), &lost);
    assert_eq!(download(&mut device, answers), b"two");
    assert_eq!(second.received, [b"two"]);

    let sent = first.sent.iter().chain(&second.sent).map(|transmit| (false, transmit.to, transmit.data.clone()));
    let nonces: Vec<_> = sent.flat_map(|transmit| nonces_of(&transmit)).collect();
    assert!(nonces.len() >= 3);
    assert_eq!(nonces.iter().collect::<BTreeSet<_>>().len(), nonces.len(), "a nonce was used twice");
}
