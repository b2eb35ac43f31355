//! The city's time, which may run faster than ours.

use std::sync::Arc;
use std::time::Duration;

use bartizan_wire::UnixMillis;

/// Tells the city's time, as the server sees it, and turns its hours into real waiting.
#[derive(Clone)]
pub struct Pace {
    now: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    scale: u32,
}

impl Pace {
    /// `now` runs `scale` times as fast as real time.
    pub fn new(scale: u32, now: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), scale: scale.max(1) }
    }

    #[must_use]
    pub fn now(&self) -> UnixMillis {
        (self.now)()
    }

    #[must_use]
    pub const fn scale(&self) -> u32 {
        self.scale
    }

    /// How long the city's `ms` last in reality.
    #[must_use]
    pub fn real(&self, ms: u64) -> Duration {
        Duration::from_micros(ms.saturating_mul(1000) / u64::from(self.scale))
    }

    /// Waits for the city's `ms`.
    pub(crate) async fn sleep(&self, ms: u64) {
        tokio::time::sleep(self.real(ms)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_at_a_scale_of_360_takes_ten_seconds() {
        let pace = Pace::new(360, || UnixMillis(0));
        assert_eq!(pace.real(3_600_000), Duration::from_secs(10));
    }
}
