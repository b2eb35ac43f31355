//! Commands on their way to sleeping devices.

use bartizan_wire::CommandId;
use bartizan_wire::event::CommandState;

use super::*;

#[derive(Debug)]
struct Careful;

impl CommandGate for Careful {
    fn judge(&self, _device: &Device, command: &PendingCommand) -> GateVerdict {
        match command.path.as_str() {
            "/open" => GateVerdict::Hold("opens a valve".into()),
            "/explode" => GateVerdict::Refuse("nobody may do that".into()),
            _ => GateVerdict::Allow,
        }
    }
}

fn post(path: &str) -> NewCommand {
    NewCommand {
        method: 2,
        path: path.into(),
        content_format: None,
        payload: Bytes::from_static(b"1"),
        coap: None,
        expires_in_ms: HOUR,
    }
}

fn due(world: &World, device: &Device) -> Vec<String> {
    world.app.next_commands(device.key, world.clock.now()).into_iter().map(|command| command.path).collect()
}

async fn states(world: &World, device: &Device) -> Vec<String> {
    let page = world.app.commands(device.key, &Paging::default()).await.unwrap();
    page.items.into_iter().map(|command| command.state).collect()
}

#[tokio::test]
async fn a_command_is_queued_sent_and_acknowledged() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    world.connect(&lock);
    let command = world.app.send_command(&ada(), lock.key, post("/blink")).await.unwrap();
    assert_eq!((command.state.as_str(), command.issuer.as_str(), command.method.as_str()), ("queued", "ada", "POST"));
    assert_eq!((due(&world, &lock), lock.has_commands()), (vec!["/blink".to_owned()], true));
    let id = world.app.next_commands(lock.key, world.clock.now())[0].id;
    world.app.command_state(lock.key, id, CommandState::Sent, None).await.unwrap();
    assert!(due(&world, &lock).is_empty(), "it is sent once");
    world.app.command_state(lock.key, id, CommandState::Acknowledged, Some("2.04")).await.unwrap();
    assert_eq!(states(&world, &lock).await, ["acknowledged"]);
    let back = world.app.command_state(lock.key, id, CommandState::Queued, None).await;
    assert!(matches!(back, Err(Error::Misuse(Misuse::Conflict(_)))));
    let kinds = world.timeline(&lock).await.into_iter().filter(|line| line.kind == "command").count();
    assert_eq!(kinds, 3);
}

#[tokio::test]
async fn the_queue_is_bounded_and_frees_itself() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    for _ in 0..crate::limits::COMMANDS_PER_DEVICE_MAX {
        world.app.offer_command(lock.key, Issuer::Upstream, post("/blink")).await.unwrap();
    }
    let full = world.app.offer_command(lock.key, Issuer::Upstream, post("/blink")).await;
    assert!(matches!(full, Err(Error::Misuse(Misuse::Full(_)))));
    assert_eq!(world.app.counters().commands_shed, 1);
    world.clock.advance(HOUR);
    world.app.beat(world.clock.now());
    assert!(due(&world, &lock).is_empty());
    assert!(world.app.offer_command(lock.key, Issuer::Upstream, post("/blink")).await.is_ok());
}

#[tokio::test]
async fn a_command_expires_when_its_device_does_not_call() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    world.app.send_command(&ada(), lock.key, post("/blink")).await.unwrap();
    drop(lock);
    let world = world.restarted().await;
    let lock = world.device("lock-1").await;
    assert_eq!(due(&world, &lock), ["/blink"], "it outlives a restart");
    world.clock.advance(HOUR - 1);
    assert_eq!(due(&world, &lock), ["/blink"]);
    world.clock.advance(1);
    world.app.beat(world.clock.now());
    assert!(due(&world, &lock).is_empty());
    for _ in 0..100 {
        if states(&world, &lock).await == ["expired"] {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it never expired");
}

#[tokio::test]
async fn the_gate_holds_until_a_person_decides() {
    let world = World::with(|options| options.gate = Arc::new(Careful)).await;
    let valve = world.add("valve-1").await;
    let held = world.app.send_command(&ada(), valve.key, post("/open")).await.unwrap();
    assert_eq!((held.state.as_str(), held.detail.as_deref()), ("held", Some("opens a valve")));
    let refused = world.app.send_command(&ada(), valve.key, post("/explode")).await.unwrap();
    assert_eq!(refused.state, "refused");
    assert!(due(&world, &valve).is_empty());
    let bob = Actor("bob".into());
    let decided = world.app.decide_command(&bob, valve.key, CommandId(held.id), true, "planned work").await.unwrap();
    assert_eq!(decided.state, "queued");
    assert_eq!(due(&world, &valve), ["/open"]);
    assert!(
        world.app.decide_command(&bob, valve.key, CommandId(held.id), false, "").await.is_err(),
        "it is decided once"
    );
    assert_eq!(world.timeline(&valve).await[0].actor.as_deref(), Some("bob"));
}

#[tokio::test]
async fn an_isolated_device_gets_no_downlink() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    world.app.send_command(&ada(), lock.key, post("/before")).await.unwrap();
    world.app.isolate(&ada(), lock.key, "", false).await.unwrap();
    assert!(due(&world, &lock).is_empty() && !lock.has_commands());
    let refused = world.app.send_command(&ada(), lock.key, post("/during")).await;
    assert!(matches!(refused, Err(Error::Misuse(Misuse::Conflict(_)))));
    world.app.release(&ada(), lock.key, "").await.unwrap();
    assert_eq!(due(&world, &lock), ["/before"]);
}

#[tokio::test]
async fn bad_commands_are_refused() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    for command in [
        post("no-slash"),
        NewCommand { payload: Bytes::from(vec![0; 4097]), ..post("/a") },
        NewCommand { expires_in_ms: 0, ..post("/a") },
        NewCommand { expires_in_ms: 31 * 24 * HOUR, ..post("/a") },
    ] {
        assert!(matches!(world.app.send_command(&ada(), lock.key, command).await, Err(Error::Malformed(_))));
    }
    let largest = NewCommand { payload: Bytes::from(vec![0; 4096]), expires_in_ms: 30 * 24 * HOUR, ..post("/a") };
    assert!(world.app.send_command(&ada(), lock.key, largest).await.is_ok());
}
