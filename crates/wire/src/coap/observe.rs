//! Observe (RFC 7641): the option's two meanings in requests, and the order of notifications.

/// Observe value of a GET that registers an observation.
pub const OBSERVE_REGISTER: u32 = 0;
/// Observe value of a GET that ends it.
pub const OBSERVE_DEREGISTER: u32 = 1;

/// Whether a notification `new` is fresher than the last taken one `old`, received `elapsed_ms` before it
/// (RFC 7641 section 3.4).
#[must_use]
pub const fn is_newer(old: u32, new: u32, elapsed_ms: u64) -> bool {
    const HALF: u32 = 1 << 23;
    (old < new && new - old < HALF) || (old > new && old - new > HALF) || elapsed_ms > 128_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_wraps_around_and_forgets_after_128_seconds() {
        assert!(is_newer(1, 2, 0));
        assert!(!is_newer(2, 1, 0) && !is_newer(2, 2, 0));
        assert!(is_newer(0xff_ffff, 0, 0));
        assert!(!is_newer(0, 0xff_ffff, 0));
        assert!(is_newer(2, 1, 128_001) && !is_newer(2, 1, 128_000));
    }
}
