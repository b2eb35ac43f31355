//! Messages on their way up, and the addresses that proxied devices keep.

use bartizan_wire::DeviceId;

use super::*;
use crate::store::Ports;
use crate::upstream::{Pool, PortBook, UpstreamConfig};

fn pool(ports: std::ops::RangeInclusive<u16>) -> Pool {
    let text = format!("coap://127.0.0.1:5683?pool=127.0.1.1/32&ports={}-{}", ports.start(), ports.end());
    match text.parse().unwrap() {
        UpstreamConfig::Proxy(proxy) => proxy.pool,
        other => panic!("{other} is no proxy"),
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_after_the_upstream_accepted_it() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    world.connect(&meter);
    for sent in 1..=5 {
        assert!(matches!(world.send(&meter).await, Outcome::Replied(_)));
        assert_eq!((world.delivered(), meter.messages()), (sent, sent as u64));
    }
    assert_eq!(world.app.summary(world.tenant).await.unwrap().messages_total, 5);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_opened_refuses_and_is_counted() {
    let world = World::new().await;
    let meter = world.add("meter-1").await;
    let change = TenantChange { upstream: Some(format!("log:{}", world.dir.path().display()).parse().unwrap()) };
    world.app.change_tenant(&ada(), world.tenant, change, None).await.unwrap();
    assert_eq!(world.send(&meter).await, Outcome::Unavailable);
    assert_eq!((world.app.counters().upstream_failed, meter.messages()), (1, 0));
}

#[tokio::test]
async fn every_device_keeps_its_own_address_over_restarts() {
    let world = World::new().await;
    let key = |device| DeviceKey { tenant: world.tenant, device: DeviceId(device) };
    let rows: String = (1..=4).map(|row| format!("n{row},t,id{row},00112233445566778899aabbccddeeff\n")).collect();
    world
        .app
        .import_devices(&ada(), world.tenant, std::io::Cursor::new(format!("name,type,identity,psk\n{rows}")))
        .await
        .unwrap();
    let keys = [key(1), key(2), key(3)];
    let book = Ports::new(world.app.open_tenant(world.tenant).await.unwrap().store.clone());
    let mut first = Vec::new();
    for key in keys {
        first.push(book.assign(key, &pool(20_000..=20_002)).await.unwrap());
    }
    let distinct: std::collections::HashSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), 3);
    let exhausted = book.assign(key(4), &pool(20_000..=20_002)).await;
    assert!(matches!(exhausted, Err(path::UpstreamError::Exhausted(_))), "{exhausted:?}");
    drop(book);
    let world = world.restarted().await;
    let book = Ports::new(world.app.open_tenant(world.tenant).await.unwrap().store.clone());
    for (key, address) in keys.into_iter().zip(first) {
        assert_eq!(book.assign(key, &pool(20_000..=20_002)).await.unwrap(), address);
    }
    let moved = book.assign(keys[0], &pool(30_000..=30_002)).await.unwrap();
    assert!(moved.port() >= 30_000, "an address outside the pool is given up");
}

/// A tenant behind a proxy with one address; nothing listens at the origin.
async fn behind_proxy() -> World {
    let world = World::new().await;
    let upstream = "coap://127.0.0.1:9?pool=127.0.1.1/32&ports=20000-20000".parse().unwrap();
    let change = TenantChange { upstream: Some(upstream) };
    world.app.change_tenant(&ada(), world.tenant, change, None).await.unwrap();
    world
}

async fn register(world: &World, device: &Arc<Device>, endpoint: &str) -> Outcome {
    let path = format!("/rd?lwm2m=1.1&ep={endpoint}&lt=300");
    let message = Message {
        code: 2,
        path,
        content_format: Some(40),
        payload: Bytes::from_static(b"</1/0>"),
        coap: None,
        trusted: None,
    };
    submit(&world.app, device, message).await
}

#[tokio::test]
async fn another_device_s_endpoint_name_is_refused_and_is_a_finding() {
    let world = behind_proxy().await;
    let lock = world.add("lock-1").await;
    world.connect(&lock);
    assert_eq!(register(&world, &lock, "lock-2").await, Outcome::Forbidden(Access::Full));
    let timeline = world.timeline(&lock).await;
    assert!(timeline.iter().any(|line| line.text.contains("\"lock-2\"")), "{timeline:?}");
    let findings = world.app.findings(world.tenant, &Paging::default()).await.unwrap().items;
    assert_eq!((findings[0].feature.as_str(), findings[0].device.as_deref()), ("endpoint_name", Some("lock-1")));
    assert_eq!(world.app.summary(world.tenant).await.unwrap().refused_total, 1);
}

#[tokio::test]
async fn a_pool_that_is_used_up_refuses_visibly() {
    let world = behind_proxy().await;
    let (first, second) = (world.add("lock-1").await, world.add("lock-2").await);
    let book = Ports::new(world.app.open_tenant(world.tenant).await.unwrap().store.clone());
    book.assign(first.key, &pool(20_000..=20_000)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(world.send(&second).await, Outcome::Unavailable);
    }
    assert_eq!(world.app.counters().ports_exhausted, 3);
    let told = world.timeline(&second).await.into_iter().filter(|line| line.text.contains("are refused")).count();
    assert_eq!(told, 1, "once, not for every message");
}

#[tokio::test]
async fn what_an_upstream_sends_becomes_a_command() {
    use bartizan_wire::coap::{Builder, Code, Type};

    let world = World::new().await;
    let lock = world.add("lock-1").await;
    let mut buffer = [0; 64];
    let request = Builder::new(&mut buffer, Type::Confirmable, Code::PUT, 7, b"tk")
        .target("/3/0/14")
        .payload(b"+2")
        .finish()
        .unwrap();
    let coap = Bytes::copy_from_slice(request);
    world.app.take_downlink(path::Downlink { device: lock.key, coap: coap.clone() }).await;
    world.app.take_downlink(path::Downlink { device: lock.key, coap: Bytes::from_static(b"\xffnonsense") }).await;
    let due = world.app.next_commands(lock.key, world.clock.now());
    assert_eq!(due.len(), 1);
    assert_eq!(
        (due[0].path.as_str(), &due[0].issuer, due[0].coap.as_ref()),
        ("/3/0/14", &Issuer::Upstream, Some(&coap))
    );
    let shown = world.app.commands(lock.key, &Paging::default()).await.unwrap().items;
    assert_eq!((shown[0].issuer.as_str(), shown[0].method.as_str()), ("upstream", "PUT"));
}
