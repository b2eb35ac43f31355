//! Whether the server as a whole is ready. What the storage and the upstreams say joins in the API.

use std::fmt;
use std::sync::Mutex;

use tokio::sync::watch;

/// Asks a part of the server why it is not ready; `None` when it is.
pub type Probe = Box<dyn Fn() -> Option<String> + Send>;

/// Shared by everything that can make the server unready.
pub struct Health {
    draining: watch::Sender<bool>,
    gateway: Mutex<Probe>,
}

impl Default for Health {
    /// Not draining, and the gateway not there yet.
    fn default() -> Self {
        Self {
            draining: watch::Sender::new(false),
            gateway: Mutex::new(Box::new(|| Some("the gateway has not bound its socket yet".into()))),
        }
    }
}

impl Health {
    /// Why the server is not ready, in sentences; empty when it is.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let draining = (*self.draining.borrow()).then(|| "the server is stopping".to_owned());
        let gateway = (self.lock())();
        draining.into_iter().chain(gateway).collect()
    }

    /// From now on `probe` speaks for the gateway.
    pub fn ask_gateway(&self, probe: Probe) {
        *self.lock() = probe;
    }

    /// From now on the server stops: streams end, nothing new begins.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Turns true when the server stops.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Probe> {
        self.gateway.lock().expect("invariant: no panic under this lock")
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_between_the_gateway_and_the_drain() {
        let health = Health::default();
        assert_eq!(health.reasons().len(), 1);
        health.ask_gateway(Box::new(|| None));
        assert!(health.reasons().is_empty());
        health.drain();
        assert_eq!(health.reasons(), ["the server is stopping"]);
        assert!(*health.draining().borrow());
    }
}
