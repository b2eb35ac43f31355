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
