//! Those without a key: who repeats what he overheard, and who knocks in another's name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bartizan_device::{Client, ClientEvent, Version};

use crate::device::config;
use crate::radio::{Radio, Tap};
use crate::random::Seeded;

/// Where the eavesdropper sits.
pub(crate) const REPLAYS_FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 201, 0, 66));
/// Where the impostor sits.
pub(crate) const KNOCKS_FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 202, 0, 66));

/// How long an impostor waits for one handshake, in real time.
const KNOCK_PATIENCE: Duration = Duration::from_millis(600);

/// Sends captured records again, one after another, until aborted.
///
/// # Errors
/// No socket could be had.
pub(crate) async fn replay(gateway: SocketAddr, tap: Tap, every: Duration, random: Seeded) -> std::io::Result<()> {
    let radio = Radio::open(REPLAYS_FROM, gateway, random).await?;
    for index in 0.. {
        let record = {
            let captured = tap.lock().expect("invariant: no panic while the tap is held");
            let records = captured.len().max(1);
            captured.get(index % records).cloned()
        };
        if let Some(record) = record {
            radio.send_raw(&record).await;
        }
        tokio::time::sleep(every).await;
    }
    Ok(())
}

/// Tries handshakes with `identity` and a key of its own, until aborted.
///
/// # Errors
/// No socket could be had.
pub(crate) async fn knock(
    gateway: SocketAddr,
    identity: String,
    every: Duration,
    random: Seeded,
) -> std::io::Result<()> {
    let mut radio = Radio::open(KNOCKS_FROM, gateway, random.fork(1)).await?;
    let mut guesses = random.fork(2);
    loop {
        let mut guess = [0; 16];
        guesses.bytes(&mut guess);
        let now = radio.now();
        let client = Client::new(config(&identity, &guess, Version::Dtls12), now, &mut radio.random());
        if let Ok(mut client) = client {
            let turned_away = |event: &ClientEvent| matches!(event, ClientEvent::Disconnected { .. }).then_some(());
            radio.drive(&mut client, KNOCK_PATIENCE, turned_away).await;
        }
        // From a new port: the gateway need not finish with the last attempt first.
        radio.move_away().await?;
        tokio::time::sleep(every).await;
    }
}
