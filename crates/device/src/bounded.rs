//! Queues and copies that stop at a limit instead of at the end of memory.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// A first-in, first-out queue of at most `max` things.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    items: VecDeque<T>,
    max: usize,
}

impl<T> Queue<T> {
    pub(crate) const fn new(max: usize) -> Self {
        Self { items: VecDeque::new(), max }
    }

    /// Adds at the end; gives the thing back if the queue is full or memory is short.
    pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
        if self.is_full() || self.items.try_reserve(1).is_err() {
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    /// Adds at the end; the oldest makes room.
    pub(crate) fn push_over(&mut self, item: T) {
        if self.is_full() {
            self.items.pop_front();
        }
        let _dropped_for_lack_of_memory = self.push(item);
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= self.max
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.items.iter()
    }

    pub(crate) fn find(&self, wanted: impl Fn(&T) -> bool) -> Option<&T> {
        self.items.iter().find(|item| wanted(item))
    }

    pub(crate) fn find_mut(&mut self, wanted: impl Fn(&T) -> bool) -> Option<&mut T> {
        self.items.iter_mut().find(|item| wanted(item))
    }

    pub(crate) fn take(&mut self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.items.iter().position(wanted)?;
        self.items.remove(index)
    }
}

/// A copy, unless memory is short.
pub(crate) fn copy(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut copied = Vec::new();
    extend(&mut copied, bytes, bytes.len()).then_some(copied)
}

/// A copy of text, unless memory is short.
pub(crate) fn copy_text(text: &str) -> Option<String> {
    let mut copied = String::new();
    copied.try_reserve_exact(text.len()).ok()?;
    copied.push_str(text);
    Some(copied)
}

/// Appends unless that passes `max` or memory is short.
pub(crate) fn extend(body: &mut Vec<u8>, bytes: &[u8], max: usize) -> bool {
    let fits = body.len().saturating_add(bytes.len()) <= max;
    if !fits || body.try_reserve(bytes.len()).is_err() {
        return false;
    }
    body.extend_from_slice(bytes);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_its_limit_and_no_more() {
        let mut queue = Queue::new(2);
        assert_eq!((queue.push(1), queue.push(2), queue.push(3)), (Ok(()), Ok(()), Err(3)));
        queue.push_over(4);
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(2), Some(4), None));
    }

    #[test]
    fn a_body_ends_at_its_limit() {
        let mut body = Vec::new();
        assert!(extend(&mut body, &[1; 8], 8));
        assert!(!extend(&mut body, &[1], 8));
        assert_eq!(body.len(), 8);
    }
}
