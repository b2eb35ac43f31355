//! When what is to be looked at.

use alloc::collections::BTreeSet;

use crate::Instant;

/// Keys by their time.
pub(super) struct Timers<K>(BTreeSet<(Instant, K)>);

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Copy + Ord> Timers<K> {
    /// Moves a key from the time that it has, if any, to another, if any.
    pub fn change(&mut self, key: K, before: Option<Instant>, after: Option<Instant>) {
        if let Some(at) = before {
            self.0.remove(&(at, key));
        }
        if let Some(at) = after {
            self.0.insert((at, key));
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// One whose time has come. It stays until its time is changed.
    pub fn due(&self, now: Instant) -> Option<K> {
        let (at, key) = self.0.first()?;
        (*at <= now).then_some(*key)
    }

    /// The same, taken out.
    pub fn take_due(&mut self, now: Instant) -> Option<K> {
        self.due(now)?;
        self.0.pop_first().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_at_their_time_and_in_its_order() {
        let at = |millis| Some(Instant::from_millis(millis));
        let now = Instant::from_millis;
        let mut timers = Timers::default();
        timers.change('a', None, at(30));
        timers.change('b', None, at(20));
        assert_eq!((timers.next_timeout(), timers.due(now(19)), timers.due(now(20))), (at(20), None, Some('b')));
        timers.change('b', at(20), at(40));
        assert_eq!((timers.take_due(now(29)), timers.take_due(now(30))), (None, Some('a')));
        assert_eq!(timers.next_timeout(), at(40));
        timers.change('b', at(40), None);
        assert_eq!((timers.next_timeout(), timers.due(now(99))), (None, None));
    }
}
