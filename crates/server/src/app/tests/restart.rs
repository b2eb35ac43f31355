//! What survives: orderly stops, crashes, wrong keys, newer databases, backups.

use super::*;

#[tokio::test]
async fn a_restart_keeps_holds_access_and_history() {
    let world = World::new().await;
    let (flooder, held) = (world.add("meter-1").await, world.add("meter-2").await);
    world.connect(&flooder);
    world.flood(&flooder);
    world.app.isolate(&ada(), held.key, "seen opened on site", true).await.unwrap();
    let before = (world.show(&flooder).await, world.show(&held).await, world.timeline(&held).await);
    drop((flooder, held));
    let world = world.restarted().await;
    let (flooder, held) = (world.device("meter-1").await, world.device("meter-2").await);
    assert_eq!((flooder.access(), held.access()), (Access::Quarantined, Access::Blocked));
    assert_eq!((world.show(&flooder).await, world.show(&held).await, world.timeline(&held).await), before);
    assert_eq!(world.send(&flooder).await, Outcome::Forbidden(Access::Quarantined));
    let summary = world.app.summary(world.tenant).await.unwrap();
    assert_eq!((summary.isolated, summary.abnormal, summary.active), (2, 1, 1));
    pass(&world, 24);
    assert_eq!((flooder.access(), held.access()), (Access::Full, Access::Blocked), "each hold goes on where it was");
}

#[tokio::test]
async fn a_crash_loses_no_decision_that_was_acknowledged() {
    let world = World::new().await;
    let (held, freed) = (world.add("meter-1").await, world.add("meter-2").await);
    world.app.isolate(&ada(), held.key, "", true).await.unwrap();
    world.app.isolate(&ada(), freed.key, "", false).await.unwrap();
    world.app.release(&ada(), freed.key, "").await.unwrap();
    drop((held, freed));
    let world = world.reopened().await;
    assert_eq!(world.device("meter-1").await.access(), Access::Blocked);
    assert_eq!(world.device("meter-2").await.access(), Access::Full);
}

#[tokio::test]
async fn grades_outlive_a_crash_that_lost_what_was_learnt() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    world.flood(&meter);
    world.app.durable().await.unwrap();
    drop(meter);
    let world = world.reopened().await;
    let meter = world.device("meter-1").await;
    assert_eq!((world.show(&meter).await.grade.as_str(), meter.access()), ("abnormal", Access::Quarantined));
    pass(&world, 24);
    assert_eq!((world.show(&meter).await.grade.as_str(), meter.access()), ("normal", Access::Full));
}

#[tokio::test]
async fn another_key_file_is_refused_with_one_sentence() {
    let world = World::new().await;
    world.app.shutdown().await;
    let mut options = options(world.dir.path(), &world.clock);
    options.key = MasterKey::from_bytes([8; 32]);
    let error = App::open(options).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("key file does not belong") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_with_one_sentence() {
    let world = World::new().await;
    world.app.store.operator.db.close().await;
    let file = world.dir.path().join("data/operator.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(insert).execute(&pool).await.unwrap();
    pool.close().await;
    let error = App::open(options(world.dir.path(), &world.clock)).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("newer version") && error.contains("9999") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn no_key_lies_readable_on_the_disk_and_a_moved_row_does_not_open() {
    let world = World::new().await;
    let psk = b"very secret key!very secret key!".to_vec();
    for name in ["a", "b"] {
        let device =
            NewDevice { name: name.into(), device_type: "t".into(), psk: Some(psk.clone()), ..NewDevice::default() };
        world.app.add_device(&ada(), world.tenant, device).await.unwrap();
    }
    let tenant = world.app.open_tenant(world.tenant).await.unwrap();
    sqlx::query("UPDATE devices SET psk = (SELECT psk FROM devices WHERE name = 'a') WHERE name = 'b'")
        .execute(tenant.store.db.write())
        .await
        .unwrap();
    drop(tenant);
    let world = world.restarted().await;
    assert_eq!(world.app.credential(b"a").await.unwrap().unwrap().psk.as_slice(), psk);
    assert!(matches!(world.app.credential(b"b").await, Err(Error::Unavailable(_))));
    for file in ["data/operator.db", "data/tenants/1.db", "data/tenants/1.db-wal"] {
        let bytes = std::fs::read(world.dir.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(16).any(|part| part == &psk[..16]), "{file}");
    }
}

#[tokio::test]
async fn a_backup_opens_and_holds_what_was_there() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.app.isolate(&ada(), meter.key, "", false).await.unwrap();
    world.app.backup(&world.dir.path().join("copy")).await.unwrap();
    world.add("meter-2").await;
    let mut options = options(world.dir.path(), &world.clock);
    options.data_dir = world.dir.path().join("copy");
    let copy = App::open(options).await.unwrap();
    assert_eq!(copy.credential(b"meter-1").await.unwrap().unwrap().device.access(), Access::Quarantined);
    assert!(copy.credential(b"meter-2").await.unwrap().is_none());
    assert!(world.app.backup(&world.dir.path().join("copy")).await.is_err(), "an existing copy is not overwritten");
}

#[tokio::test]
async fn histories_keep_to_their_bounds() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    for line in 0..3_000 {
        world.app.note(&meter, "session", format!("{line}"));
    }
    world.app.durable().await.unwrap();
    let tenant = world.app.open_tenant(world.tenant).await.unwrap();
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM timeline").fetch_one(tenant.store.db.read()).await.unwrap();
    let bound = i64::from(crate::limits::TIMELINE_PER_DEVICE_MAX);
    assert!((bound..bound + 64).contains(&kept), "{kept}");
    assert_eq!(world.timeline(&meter).await[0].text, "2999", "the newest are kept");
}

#[tokio::test]
async fn counters_are_written_at_the_end() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    world.send(&meter).await;
    let seen = world.clock.now();
    drop(meter);
    let world = world.restarted().await;
    let meter = world.device("meter-1").await;
    assert_eq!((meter.messages(), meter.last_seen()), (1, Some(seen)));
}

#[tokio::test]
async fn findings_keep_to_their_bound() {
    let world = World::new().await;
    let tenant = world.app.open_tenant(world.tenant).await.unwrap();
    // Every 256th finding thins out the older ones; the next but two is such a one.
    let soon = (u64::from(crate::limits::FINDINGS_PER_TENANT_MAX) + 100).next_multiple_of(256);
    tenant.next_finding.store(soon - 2, std::sync::atomic::Ordering::Relaxed);
    let first = world.add("meter-1").await;
    let count = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM findings").fetch_one(tenant.store.db.read()).await.unwrap()
    };
    let insert = "INSERT INTO findings (id, at, engine, feature, observed, low, high, basis, unit, score, severity, text, source) \
                  SELECT value, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, '', '192.0.2.1' FROM json_each(?)";
    let old: Vec<u64> = (1..=300).collect();
    sqlx::query(insert).bind(serde_json::to_string(&old).unwrap()).execute(tenant.store.db.write()).await.unwrap();
    assert_eq!(count().await, 300);
    world.connect(&first);
    for endpoint in 0..12 {
        world.clock.advance(HOUR);
        world.event(&first, EventKind::EndpointMismatch { endpoint });
    }
    world.app.durable().await.unwrap();
    assert!(count().await < 200, "the oldest have gone");
}

#[tokio::test]
async fn a_full_table_drops_only_devices_that_nobody_needs() {
    let world = World::new().await;
    let rows: String = (0..20).map(|row| format!("n{row},t,id{row},00112233445566778899aabbccddeeff\n")).collect();
    world
        .app
        .import_devices(&ada(), world.tenant, std::io::Cursor::new(format!("name,type,identity,psk\n{rows}")))
        .await
        .unwrap();
    for row in 0..20 {
        world.device(&format!("n{row}")).await;
    }
    let used = world.device("n3").await;
    let held = world.device("n4").await.key;
    world.app.isolate(&ada(), held, "", false).await.unwrap();
    let mut devices = world.app.devices.write().unwrap();
    live::make_room(&mut devices, 21);
    assert_eq!(devices.len(), 20, "there is room");
    live::make_room(&mut devices, 20);
    assert_eq!(devices.len(), 18);
    (0..20).for_each(|_| live::make_room(&mut devices, 1));
    let mut left: Vec<DeviceKey> = devices.keys().copied().collect();
    left.sort_unstable();
    assert_eq!(left, [used.key, held]);
}

#[tokio::test]
async fn what_cannot_be_written_is_in_force_but_not_acknowledged() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    let tenant = world.app.open_tenant(world.tenant).await.unwrap();
    let forbid = "CREATE TRIGGER full_disk BEFORE INSERT ON holds BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    sqlx::query(forbid).execute(tenant.store.db.write()).await.unwrap();
    let refused = world.app.isolate(&ada(), meter.key, "", true).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert_eq!(meter.access(), Access::Blocked, "it fails closed");
    assert!(!world.app.unready().await.is_empty());
    sqlx::query("DROP TRIGGER full_disk").execute(tenant.store.db.write()).await.unwrap();
    for _ in 0..100 {
        if world.app.unready().await.is_empty() {
            drop((meter, tenant));
            let world = world.reopened().await;
            assert_eq!(world.device("meter-1").await.access(), Access::Blocked, "it was tried again");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it was never tried again");
}
