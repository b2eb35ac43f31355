//! People's use cases.

use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff";

fn new_device(name: &str) -> NewDevice {
    NewDevice { name: name.into(), device_type: "lock".into(), ..NewDevice::default() }
}

async fn import(world: &World, text: String) -> Result<u64, Error> {
    world.app.import_devices(&ada(), world.tenant, std::io::Cursor::new(text)).await
}

#[tokio::test]
async fn a_device_is_found_by_its_identity_and_its_key_opens() {
    let world = World::new().await;
    let made = world.app.add_device(&ada(), world.tenant, new_device("lock-1")).await.unwrap();
    assert_eq!(
        (made.psk.len(), made.device.lifecycle.as_str(), made.device.endpoint.as_str()),
        (64, "pending", "lock-1")
    );
    let found = world.app.credential(b"lock-1").await.unwrap().unwrap();
    assert_eq!(found.device.name, "lock-1");
    assert_eq!(bartizan_platform::import::secret::to_hex(&found.psk), made.psk);
    assert!(world.app.credential(b"lock-2").await.unwrap().is_none());
}

#[tokio::test]
async fn names_identities_and_endpoints_are_taken_once() {
    let world = World::new().await;
    world.app.add_device(&ada(), world.tenant, new_device("lock-1")).await.unwrap();
    let mut other = new_device("lock-2");
    for (identity, endpoint, part) in
        [(Some("lock-1"), None, "identity lock-1 is taken"), (None, Some("lock-1"), "endpoint \"lock-1\"")]
    {
        other.identity = identity.map(|text| text.as_bytes().to_vec());
        other.endpoint = endpoint.map(str::to_owned);
        let error = world.app.add_device(&ada(), world.tenant, other.clone()).await.unwrap_err();
        assert!(matches!(&error, Error::Misuse(Misuse::Exists(text)) if text.contains(part)), "{error}");
    }
    let error = world.app.add_device(&ada(), world.tenant, new_device("lock-1")).await.unwrap_err();
    assert!(error.to_string().contains("a device named \"lock-1\" exists already"), "{error}");
    assert_eq!(
        world.app.devices(world.tenant, &DeviceFilter::default(), &Paging::default()).await.unwrap().items.len(),
        1
    );
}

#[tokio::test]
async fn an_identity_of_another_tenant_is_taken_and_nothing_is_said_of_that_tenant() {
    let world = World::new().await;
    world.app.add_device(&ada(), world.tenant, new_device("lock-1")).await.unwrap();
    let upstream = format!("log:{}", world.dir.path().join("gas.ndjson").display()).parse().unwrap();
    world.app.add_tenant(&ada(), "gas", upstream).await.unwrap();
    let gas = world.app.tenant_id("gas").await.unwrap();
    let error = world.app.add_device(&ada(), gas, new_device("lock-1")).await.unwrap_err().to_string();
    assert!(error.contains("is taken") && !error.contains("water"), "{error}");
    assert!(matches!(world.app.device_key(gas, "lock-1").await, Err(Error::Misuse(Misuse::Unknown(_)))));
}

#[tokio::test]
async fn weak_keys_and_bad_names_are_refused() {
    let world = World::new().await;
    for device in [
        NewDevice { psk: Some(vec![1; 15]), ..new_device("a") },
        NewDevice { psk: Some(vec![0; 32]), ..new_device("a") },
        NewDevice { identity: Some(vec![b'x'; 129]), ..new_device("a") },
        new_device(" a"),
        new_device(&"a".repeat(129)),
    ] {
        assert!(matches!(world.app.add_device(&ada(), world.tenant, device).await, Err(Error::Malformed(_))));
    }
    assert!(
        world
            .app
            .add_device(
                &ada(),
                world.tenant,
                NewDevice { identity: Some(vec![0; 128]), ..new_device(&"a".repeat(128)) }
            )
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_import_is_all_or_nothing_and_names_every_bad_line() {
    let world = World::new().await;
    world.app.add_device(&ada(), world.tenant, new_device("lock-1")).await.unwrap();
    let text =
        format!("name,type,identity,psk\na,lock,a,{KEY}\nlock-1,lock,b,{KEY}\nc,lock,lock-1,{KEY}\nd,lock,d,short\n");
    let Err(Error::Import(bad)) = import(&world, text).await else { panic!("it was taken") };
    assert_eq!((bad.total, bad.lines.iter().map(|bad| bad.line).collect::<Vec<_>>()), (3, vec![3, 4, 5]));
    assert!(world.app.credential(b"a").await.unwrap().is_none());
    let summary = world.app.summary(world.tenant).await.unwrap();
    assert_eq!(summary.devices, 1);

    let rows: String = (0..1_750).map(|row| format!("n{row},type {},id{row},{KEY}\n", row % 3)).collect();
    assert_eq!(import(&world, format!("name,type,identity,psk\n{rows}")).await.unwrap(), 1_750);
    assert_eq!(world.app.summary(world.tenant).await.unwrap().devices, 1_751);
    assert_eq!(world.app.types(world.tenant).await.unwrap().items.len(), 4);
    let last = world.app.credential(b"id1749").await.unwrap().unwrap();
    assert_eq!((last.device.name.as_str(), last.psk.len()), ("n1749", 16));
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let world = World::new().await;
    let rows: String =
        (0..30).map(|row| format!("m_{row},{},id{row},{KEY}\n", if row % 2 == 0 { "meter" } else { "lock" })).collect();
    import(&world, format!("name,type,identity,psk\n{rows}")).await.unwrap();
    let meter = world.device("m_4").await;
    world.app.isolate(&ada(), meter.key, "", false).await.unwrap();
    let list = async |filter: DeviceFilter, cursor: Option<String>| {
        world.app.devices(world.tenant, &filter, &Paging { cursor, limit: 10 }).await.unwrap()
    };
    let first = list(DeviceFilter::default(), None).await;
    assert_eq!((first.items.len(), first.next_cursor.as_deref()), (10, Some("10")));
    let third = list(DeviceFilter::default(), Some("20".into())).await;
    assert_eq!((third.items.len(), third.next_cursor), (10, None));
    let names = |page: views::Page<DeviceView>| page.items.into_iter().map(|item| item.name).collect::<Vec<_>>();
    assert_eq!(
        names(list(DeviceFilter { access: Some(Access::Quarantined), ..DeviceFilter::default() }, None).await),
        ["m_4"]
    );
    assert_eq!(names(list(DeviceFilter { q: Some("_29".into()), ..DeviceFilter::default() }, None).await), ["m_29"]);
    assert!(names(list(DeviceFilter { q: Some("%".into()), ..DeviceFilter::default() }, None).await).is_empty());
    let locks = DeviceFilter { device_type: Some("lock".into()), ..DeviceFilter::default() };
    assert!(names(list(locks, None).await).iter().all(|name| name[2..].parse::<u32>().unwrap() % 2 == 1));
}

#[tokio::test]
async fn a_new_key_replaces_the_old_one_and_ends_the_association() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    let old = world.app.credential(b"lock-1").await.unwrap().unwrap().psk;
    let mut changes = world.app.access_changes();
    let new = world.app.rotate_key(&ada(), lock.key).await.unwrap();
    assert!(changes.try_recv().unwrap().close);
    let world = world.restarted().await;
    let stored = world.app.credential(b"lock-1").await.unwrap().unwrap().psk;
    assert_eq!(bartizan_platform::import::secret::to_hex(&stored), new);
    assert_ne!(stored, old);
}

#[tokio::test]
async fn retirement_is_final() {
    let world = World::new().await;
    let lock = world.add("lock-1").await;
    world.app.retire(&ada(), lock.key, "scrapped").await.unwrap();
    assert_eq!(lock.access(), Access::Blocked);
    world.connect(&lock);
    let world = world.restarted().await;
    let found = world.app.credential(b"lock-1").await.unwrap().unwrap();
    assert_eq!(found.device.access(), Access::Blocked);
    for refused in [world.app.release(&ada(), lock.key, "").await, world.app.isolate(&ada(), lock.key, "", true).await]
    {
        assert!(matches!(refused, Err(Error::Misuse(Misuse::Conflict(_)))));
    }
    assert!(world.app.rotate_key(&ada(), lock.key).await.is_err());
}

#[tokio::test]
async fn tenants_have_versions_and_one_name() {
    let world = World::new().await;
    let log = |name: &str| -> crate::upstream::UpstreamConfig {
        format!("log:{}", world.dir.path().join(name).display()).parse().unwrap()
    };
    assert!(matches!(world.app.add_tenant(&ada(), "water", log("x")).await, Err(Error::Misuse(Misuse::Exists(_)))));
    let change = TenantChange { upstream: Some(log("other.ndjson")) };
    let changed = world.app.change_tenant(&ada(), world.tenant, change.clone(), Some(1)).await.unwrap();
    assert_eq!(changed.version, 2);
    let stale = world.app.change_tenant(&ada(), world.tenant, change, Some(1)).await;
    assert!(matches!(stale, Err(Error::Misuse(Misuse::Stale))));
    let meter = world.add("meter-1").await;
    assert!(matches!(world.send(&meter).await, Outcome::Replied(_)));
    assert!(std::fs::read_to_string(world.dir.path().join("other.ndjson")).unwrap().contains("meter-1"));
}

#[tokio::test]
async fn listing_tenants_opens_no_tenant_s_file() {
    let world = World::new().await;
    world.add("meter-1").await;
    let world = world.restarted().await;
    let page = world.app.tenants(&Paging::default()).await.unwrap();
    assert_eq!((page.items.len(), page.items[0].devices), (1, 1));
    assert!(world.app.open_tenants().is_empty());
}

#[tokio::test]
async fn operators_are_known_by_their_tokens_only() {
    let world = World::new().await;
    world.app.add_operator("ada", "token-1").await.unwrap();
    assert_eq!(world.app.operator_of("token-1").await.unwrap(), Some(ada()));
    assert_eq!(world.app.operator_of("token-2").await.unwrap(), None);
    world.app.add_operator("ada", "token-2").await.unwrap();
    assert_eq!(world.app.operator_of("token-1").await.unwrap(), None, "a new token replaces the old one");
    let file = std::fs::read(world.dir.path().join("data/operator.db-wal")).unwrap();
    assert!(!file.windows(7).any(|bytes| bytes == b"token-2"));
}

#[tokio::test]
async fn kept_replies_are_told_apart_sealed_and_forgotten_after_a_day() {
    let world = World::new().await;
    let reply = KeptReply { status: 201, body: b"psk: 0011".to_vec() };
    assert_eq!(world.app.kept_reply(&ada(), "k", &[1; 32]).await.unwrap(), None);
    world.app.keep_reply(&ada(), "k", &[1; 32], &reply).await.unwrap();
    assert_eq!(world.app.kept_reply(&ada(), "k", &[1; 32]).await.unwrap(), Some(reply));
    assert_eq!(world.app.kept_reply(&Actor("bob".into()), "k", &[1; 32]).await.unwrap(), None);
    assert!(matches!(world.app.kept_reply(&ada(), "k", &[2; 32]).await, Err(Error::Misuse(Misuse::Conflict(_)))));
    let file = std::fs::read(world.dir.path().join("data/operator.db-wal")).unwrap();
    assert!(!file.windows(9).any(|bytes| bytes == b"psk: 0011"));
    world.clock.advance(25 * HOUR);
    assert_eq!(world.app.kept_reply(&ada(), "k", &[2; 32]).await.unwrap(), None);
}

#[tokio::test]
#[ignore = "takes a minute; run it by hand after changes to imports"]
async fn a_million_lines() {
    let world = World::new().await;
    let mut text = String::from("name,type,identity,psk\n");
    for row in 0..1_000_000 {
        use std::fmt::Write as _;
        writeln!(text, "meter-{row},type {},id-{row},{row:032x}", row % 5).unwrap();
    }
    // The first keys are nearly all zeros, but none is one byte repeated.
    let text = text.replacen(&"0".repeat(32), KEY, 1);
    let started = std::time::Instant::now();
    assert_eq!(import(&world, text).await.unwrap(), 1_000_000);
    println!("{:?} for a million lines", started.elapsed());
    assert_eq!(world.app.summary(world.tenant).await.unwrap().devices, 1_000_000);
}
