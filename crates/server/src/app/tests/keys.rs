//! Keys that are handed out, used and replaced, cut short at every step: a device always comes in with one of its keys.

use bartizan_crypto::Secret;
use bartizan_platform::import::secret::to_hex;
use zeroize::Zeroizing;

use super::*;
use crate::app::keys::{KeyRequest, session_name};
use crate::store::{PendingKey, Place};

type Key = (Vec<u8>, Vec<u8>);

/// What a device keeps: its key, and one that it has not connected with yet.
#[derive(Clone)]
struct Keys {
    old: Key,
    new: Option<Key>,
}

impl Keys {
    async fn of(world: &World, name: &str) -> Self {
        let psk = world.app.credential(name.as_bytes()).await.unwrap().unwrap().psk.to_vec();
        Self { old: (name.as_bytes().to_vec(), psk), new: None }
    }

    /// A handshake: the number of the key, if the server has the same one.
    async fn number(world: &World, key: &Key) -> Option<u32> {
        let found = world.app.credential(&key.0).await.unwrap()?;
        (found.psk.as_slice() == key.1).then_some(found.number)
    }

    /// With the new key or else the old one, as the SDK does. False if neither opens the door.
    async fn connect(&mut self, world: &World, device: &Arc<Device>) -> bool {
        let Some(new) = self.new.clone() else { return self.connect_with_old(world, device).await };
        match Self::number(world, &new).await {
            Some(number) if world.app.use_key(device, number).await.unwrap() => {
                (self.old, self.new) = (new, None);
                world.app.key_used(device);
                true
            }
            _ => self.connect_with_old(world, device).await,
        }
    }

    async fn connect_with_old(&self, world: &World, device: &Arc<Device>) -> bool {
        match Self::number(world, &self.old).await {
            Some(number) => world.app.use_key(device, number).await.unwrap(),
            None => false,
        }
    }
}

async fn ask(world: &World, device: &Arc<Device>, session: u8) -> Result<Key, KeyRefusal> {
    let exporter = Secret::new([session; 32]);
    let request = KeyRequest { exporter: &exporter, forward_secret: true, contribution: &[] };
    world.app.hand_out_key(device, &request).await.map(|key| (key.identity, key.psk.to_vec()))
}

async fn opens(world: &World, key: &Key) -> bool {
    Keys::number(world, key).await.is_some()
}

#[tokio::test]
async fn both_keys_are_good_until_the_new_one_is_used_and_then_only_that() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    let mut keys = Keys::of(&world, "lock-1").await;
    let old = keys.old.clone();
    let new = ask(&world, &lock, 1).await.unwrap();
    assert_ne!((&new.0, &new.1), (&old.0, &old.1));
    assert!(std::str::from_utf8(&new.0).is_ok() && new.1.len() == 32);
    assert_eq!(ask(&world, &lock, 1).await.unwrap(), new, "a lost answer is had again");
    assert!(opens(&world, &old).await && opens(&world, &new).await);
    let shown = world.show(&lock).await.key;
    assert_eq!((shown.number, shown.pending_since.is_some()), (0, true));
    let world = world.restarted().await;
    let lock = world.device("lock-1").await;
    assert_eq!(ask(&world, &lock, 1).await.unwrap(), new, "over a restart too");
    keys.new = Some(new.clone());
    assert!(keys.connect(&world, &lock).await);
    assert!(!opens(&world, &old).await && opens(&world, &new).await);
    let shown = world.show(&lock).await;
    assert_eq!((shown.key.number, shown.key.pending_since), (1, None));
    assert_eq!(shown.identity.as_bytes(), new.0);
    assert!(lock.is_key_replaced());
    world.app.forget_replaced_key(&lock).await.unwrap();
    let world = world.restarted().await;
    assert!(!opens(&world, &old).await && opens(&world, &new).await);
    assert!(!world.device("lock-1").await.is_key_replaced());
    assert_eq!(world.app.summary(world.tenant).await.unwrap().devices, 1);
    // Its first identity is free again.
    world.add("lock-2").await;
}

#[tokio::test]
async fn another_association_is_given_another_key_and_the_first_is_void() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    let keys = Keys::of(&world, "lock-1").await;
    let first = ask(&world, &lock, 1).await.unwrap();
    let second = ask(&world, &lock, 2).await.unwrap();
    assert_ne!(first, second);
    assert!(!opens(&world, &first).await, "who listens in another association learns nothing");
    assert!(opens(&world, &second).await && opens(&world, &keys.old).await);
}

#[tokio::test]
async fn a_key_costs_an_ephemeral_exchange_and_there_are_few_in_a_minute() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    let exporter = Secret::new([1; 32]);
    let plain = KeyRequest { exporter: &exporter, forward_secret: false, contribution: &[] };
    let refused = world.app.hand_out_key(&lock, &plain).await.err().unwrap();
    assert_eq!(refused, KeyRefusal::NotEphemeral);
    assert!(refused.to_string().contains("TLS_ECDHE_PSK"));
    for (length, good) in [(1, false), (15, false), (16, true), (64, true), (65, false)] {
        let contribution = vec![7; length];
        let request = KeyRequest { exporter: &exporter, forward_secret: true, contribution: &contribution };
        let answer = world.app.hand_out_key(&lock, &request).await.map(drop);
        assert_eq!(answer, if good { Ok(()) } else { Err(KeyRefusal::Contribution) }, "{length}");
    }
    for session in 2..=3 {
        ask(&world, &lock, session).await.unwrap();
    }
    assert_eq!(ask(&world, &lock, 4).await.err(), Some(KeyRefusal::TooMuch));
    ask(&world, &lock, 3).await.expect("the same one again is free");
    world.clock.advance(MINUTE);
    ask(&world, &lock, 4).await.unwrap();
}

#[tokio::test]
async fn an_isolated_device_is_given_no_key() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    world.app.isolate(&ada(), lock.key, "tampered with", false).await.unwrap();
    assert_eq!(ask(&world, &lock, 1).await.err(), Some(KeyRefusal::Isolated));
    world.app.release(&ada(), lock.key, "replaced").await.unwrap();
    ask(&world, &lock, 1).await.unwrap();
}

#[tokio::test]
async fn a_person_s_wish_shows_until_a_later_key_is_used() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    let mut keys = Keys::of(&world, "lock-1").await;
    let early = ask(&world, &lock, 1).await.unwrap();
    world.clock.advance(1_000);
    for hours in [0, 8_761] {
        assert!(world.app.ask_for_key(&ada(), lock.key, hours).await.is_err(), "{hours}");
    }
    let view = world.app.ask_for_key(&ada(), lock.key, 24).await.unwrap();
    assert!(view.key.wanted && view.key.due.is_some() && lock.wants_key());
    let world = world.restarted().await;
    let lock = world.device("lock-1").await;
    assert!(lock.wants_key());
    let new = ask(&world, &lock, 1).await.unwrap();
    assert_ne!(new, early, "that one is from before the wish");
    keys.new = Some(new);
    assert!(keys.connect(&world, &lock).await);
    assert!(!lock.wants_key());
    let world = world.restarted().await;
    let shown = world.show(&*world.device("lock-1").await).await.key;
    assert_eq!((shown.number, shown.wanted, shown.due), (2, false, None));
}

#[tokio::test]
async fn a_person_s_key_drops_the_pending_one() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    let pending = ask(&world, &lock, 1).await.unwrap();
    let psk = world.app.rotate_key(&ada(), lock.key).await.unwrap();
    assert!(!opens(&world, &pending).await);
    let found = world.app.credential(b"lock-1").await.unwrap().unwrap();
    assert_eq!((to_hex(&found.psk), found.number), (psk, 2), "no number is used twice");
    let world = world.reopened().await;
    assert!(!opens(&world, &pending).await);
    assert!(world.device("lock-1").await.is_key_replaced(), "until its associations are known to have ended");
}

/// A key under way, cut off after so many of its durable steps, on an installation that is opened again.
async fn cut_after(steps: u32) -> (World, Keys) {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    let mut keys = Keys::of(&world, "lock-1").await;
    let tenant = world.app.open_tenant(world.tenant).await.unwrap();
    let sealer = &world.app.store.sealer;
    let new: Key = (b"0123456789abcdef01234567".to_vec(), vec![9; 32]);
    let pending = PendingKey {
        number: 1,
        identity: new.0.clone(),
        sealed: sealer.seal(Place::PendingPsk(tenant.id, lock.key.device), &new.1),
        made: world.clock.now(),
        session: session_name(&Secret::new([1; 32])),
    };
    if steps >= 1 {
        tenant.store.keep_pending_key(lock.key.device, &pending).await.unwrap();
    }
    if steps >= 2 {
        world.app.store.operator.set_identities(lock.key, &keys.old.0, Some(&new.0)).await.unwrap();
        keys.new = Some(new.clone()); // it was answered
    }
    if steps >= 3 {
        let sealed = sealer.seal(Place::Psk(tenant.id, lock.key.device), &new.1);
        tenant.store.use_pending_key(lock.key.device, &pending, &sealed).await.unwrap();
    }
    if steps >= 4 {
        world.app.store.operator.set_identities(lock.key, &new.0, None).await.unwrap();
    }
    if steps >= 5 {
        tenant.store.forget_replaced_key(lock.key.device).await.unwrap();
    }
    drop(tenant);
    (world.reopened().await, keys)
}

#[tokio::test]
async fn wherever_it_is_cut_off_a_device_comes_in_and_can_change_its_key() {
    for steps in 0..=5 {
        let (world, mut keys) = cut_after(steps).await;
        let lock = world.device("lock-1").await;
        let old = keys.old.clone();
        assert!(keys.connect(&world, &lock).await, "after {steps} steps");
        assert_eq!(opens(&world, &old).await, steps < 2, "after {steps} steps");
        assert_eq!(lock.is_key_replaced(), (2..5).contains(&steps), "after {steps} steps");
        let again = ask(&world, &lock, 7).await.unwrap();
        keys.new = Some(again.clone());
        assert!(keys.connect(&world, &lock).await && keys.old == again, "after {steps} steps");
        world.app.forget_replaced_key(&lock).await.unwrap();
        assert_eq!(world.app.summary(world.tenant).await.unwrap().devices, 1);
        assert!(!opens(&world, &old).await);
    }
}

#[tokio::test]
async fn no_pending_key_lies_readable_on_the_disk() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    let new = ask(&world, &lock, 1).await.unwrap();
    let psk = Zeroizing::new(new.1);
    world.app.durable().await.unwrap();
    let mut files = vec![world.dir.path().join("data")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(psk.len()).any(|part| part == psk.as_slice()), "{}", path.display());
        }
    }
}

/// What happens to a device and its keys.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// It asks in this association; the answer comes or is lost; what comes is stored or lost in a crash of the device.
    Asks {
        session: u8,
        stored: bool,
    },
    /// It connects, and hears the last message of the handshake.
    Connects,
    /// A handshake with its new key of which it never hears the end.
    ConnectsUnheard,
    /// Somebody who knows its old key asks.
    ThiefAsks {
        session: u8,
    },
    Cleared,
    Wished,
    Crash,
    Minute,
}

/// The next of a sequence that its seed determines.
fn next(seed: &mut u64) -> Happens {
    let mut draw = |below: u64| {
        // xorshift64
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed % below
    };
    match draw(8) {
        0 => Happens::Asks { session: 1 + draw(3) as u8, stored: draw(2) == 0 },
        1 => Happens::Connects,
        2 => Happens::ConnectsUnheard,
        3 => Happens::ThiefAsks { session: 8 + draw(2) as u8 },
        4 => Happens::Cleared,
        5 => Happens::Wished,
        6 => Happens::Crash,
        _ => Happens::Minute,
    }
}

async fn let_happen(mut world: World, all: Vec<Happens>) {
    let mut lock = world.add("lock-1").await;
    let mut keys = Keys::of(&world, "lock-1").await;
    for what in &all {
        match *what {
            Happens::Asks { session, stored } => {
                // Only who is in can ask.
                if keys.connect(&world, &lock).await
                    && let Ok(new) = ask(&world, &lock, session).await
                    && stored
                {
                    keys.new = Some(new);
                }
            }
            Happens::Connects => assert!(keys.connect(&world, &lock).await, "{all:?}"),
            Happens::ConnectsUnheard => _ = keys.clone().connect(&world, &lock).await,
            Happens::ThiefAsks { session } => _ = ask(&world, &lock, session).await,
            Happens::Cleared => world.app.forget_replaced_key(&lock).await.unwrap(),
            Happens::Wished => _ = world.app.ask_for_key(&ada(), lock.key, 1).await.unwrap(),
            Happens::Minute => world.clock.advance(MINUTE),
            Happens::Crash => {
                world = world.reopened().await;
                lock = world.device("lock-1").await;
            }
        }
        let new = match &keys.new {
            Some(new) => opens(&world, new).await,
            None => false,
        };
        assert!(new || opens(&world, &keys.old).await, "locked out: {all:?}");
    }
}

#[tokio::test]
async fn no_sequence_of_events_leaves_a_device_without_a_key() {
    for seed in 1..=24_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let all = (0..12).map(|_| next(&mut state)).collect();
        let_happen(World::new().await, all).await;
    }
}
