//! Wrong credentials, counted per address and minute.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bartizan_wire::Source;

use crate::limits::AUTH_CLIENTS_MAX;

const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that showed wrong credentials lately. When the table is full, further addresses share one entry.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<IpAddr, Window>>);

#[derive(Clone, Copy)]
struct Window {
    began: Instant,
    failures: u64,
}

impl Failures {
    /// Notes a wrong credential of `client`; answers for how many seconds it should stay away, once it
    /// showed more than `most` in a minute. Requests made in-process are counted together.
    pub fn note(&self, client: Option<IpAddr>, most: u64, now: Instant) -> Option<u64> {
        let mut clients = self.0.lock().expect("invariant: no panic under this lock");
        let mut key = group(client);
        if !clients.contains_key(&key) && clients.len() >= AUTH_CLIENTS_MAX {
            clients.retain(|_, window| now.duration_since(window.began) < WINDOW);
            if clients.len() >= AUTH_CLIENTS_MAX {
                key = group(None);
            }
        }
        let fresh = Window { began: now, failures: 0 };
        let window = clients.entry(key).or_insert(fresh);
        if now.duration_since(window.began) >= WINDOW {
            *window = fresh;
        }
        window.failures += 1;
        let left = WINDOW.saturating_sub(now.duration_since(window.began));
        (window.failures > most).then(|| left.as_secs().max(1))
    }
}

/// A host owns a whole /64 of IPv6.
fn group(client: Option<IpAddr>) -> IpAddr {
    client.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |ip| Source::of(SocketAddr::new(ip, 0)).ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_minute_and_the_number_have_two_sides() {
        let (failures, start) = (Failures::default(), Instant::now());
        let client = address("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(failures.note(client, 3, start), None);
        }
        assert_eq!(failures.note(client, 3, start), Some(60));
        assert_eq!(failures.note(address("192.0.2.2"), 3, start), None);
        let late = start + WINDOW - Duration::from_secs(1);
        assert_eq!(failures.note(client, 3, late), Some(1));
        assert_eq!(failures.note(client, 3, start + WINDOW), None);
    }

    #[test]
    fn addresses_of_one_network_count_together_and_the_table_is_bounded() {
        let (failures, now) = (Failures::default(), Instant::now());
        assert_eq!(failures.note(address("2001:db8::1"), 1, now), None);
        assert!(failures.note(address("2001:db8::2"), 1, now).is_some());
        for n in 0..2 * AUTH_CLIENTS_MAX as u32 {
            failures.note(Some(IpAddr::V4(n.into())), 1, now);
        }
        assert!(failures.0.lock().unwrap().len() <= AUTH_CLIENTS_MAX + 1);
    }
}
