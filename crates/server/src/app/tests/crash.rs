//! Additions over two files, cut short at every step.

use bartizan_wire::DeviceId;

use super::*;
use crate::store::{Addition, NewRow};

fn rows() -> Vec<NewRow> {
    let row = |number: u8| NewRow {
        line: u64::from(number),
        name: format!("new-{number}"),
        device_type: "lock".into(),
        identity: format!("new-{number}").into_bytes(),
        psk: vec![number; 16].into(),
        endpoint: format!("new-{number}"),
        attestation_identity: Some(bartizan_trust::Identity([number; 32])),
    };
    (1..=3).map(row).collect()
}

/// Cuts an addition off after `steps` of its steps, and opens the installation again.
async fn cut_after(steps: u32) -> World {
    let world = World::new().await;
    world.add("old").await;
    let tenant = world.app.open_tenant(world.tenant).await.unwrap();
    let store = &world.app.store;
    let mut addition = Addition::begin(&store.operator, &tenant.store, &store.sealer, START).await.unwrap();
    addition.add(rows()).await.unwrap();
    if steps >= 1 {
        addition.commit_tenant().await.unwrap();
    }
    if steps >= 2 {
        addition.commit_identities().await.unwrap();
    }
    drop(tenant);
    world.reopened().await
}

async fn names(world: &World) -> Vec<String> {
    let page = world.app.devices(world.tenant, &DeviceFilter::default(), &Paging::default()).await.unwrap();
    page.items.into_iter().map(|device| device.name).collect()
}

#[tokio::test]
async fn before_the_operator_s_commit_nothing_was_added() {
    for steps in [0, 1] {
        let world = cut_after(steps).await;
        assert_eq!(names(&world).await, ["old"], "after {steps} steps");
        assert!(world.app.credential(b"new-1").await.unwrap().is_none());
        assert_eq!(world.app.summary(world.tenant).await.unwrap().devices, 1);
        // The names are free again, and no number is used twice.
        let again = world.add("new-1").await;
        assert!(again.key.device >= DeviceId(2));
        assert!(world.app.credential(b"new-1").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn after_the_operator_s_commit_everything_was_added() {
    let world = cut_after(2).await;
    assert_eq!(names(&world).await, ["old", "new-1", "new-2", "new-3"]);
    let found = world.app.credential(b"new-3").await.unwrap().unwrap();
    assert_eq!(found.psk.as_slice(), [3; 16]);
    let world = world.restarted().await;
    assert_eq!(names(&world).await.len(), 4, "and stays");
}
