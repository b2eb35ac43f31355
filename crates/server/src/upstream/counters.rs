//! What an upstream did, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::app::path::{Reply, UpstreamError};

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident,)+) => {
        /// Running counters, shared by an upstream's tasks.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$meta])* pub $name: AtomicU64,)+ }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counted { $($(#[$meta])* pub $name: u64,)+ }

        impl Counters {
            #[must_use]
            pub fn counted(&self) -> Counted {
                Counted { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }

        impl Counted {
            /// Name and value of each counter, for metrics.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

counters! {
    /// Messages the upstream accepted.
    delivered,
    /// Messages it did not accept, or not in time.
    unavailable,
    /// LwM2M registrations under a foreign name, and uses of another device's registration.
    refused,
    /// Messages refused for want of an address, a port or a socket.
    exhausted,
    /// Requests and notifications of the origin handed on.
    downlinks,
    /// The same, left unacknowledged because the queue to the device was full.
    downlinks_shed,
    /// Datagrams of the origin that were no CoAP or belonged to nothing.
    strays,
    /// Connections made to a broker, or sockets opened to an origin.
    connections,
    /// Connections lost, sockets closed to make room or for idleness.
    disconnections,
}

impl Counters {
    pub(super) fn count(&self, outcome: &Result<Reply, UpstreamError>) {
        add(match outcome {
            Ok(_) => &self.delivered,
            Err(UpstreamError::Unavailable(_)) => &self.unavailable,
            Err(UpstreamError::Refused(_)) => &self.refused,
            Err(UpstreamError::Exhausted(_)) => &self.exhausted,
        });
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
