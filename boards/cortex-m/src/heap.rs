//! The heap: one buffer that the firmware hands over, and a count of what was taken from it.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};

use linked_list_allocator::Heap;

#[global_allocator]
static HEAP: Counted = Counted(UnsafeCell::new(State { heap: Heap::empty(), start: 0, usage: Usage::NONE }));

/// What the heap has given so far.
#[derive(Clone, Copy)]
pub struct Usage {
    /// How often.
    pub allocations: usize,
    /// Most bytes at any one time, the allocator's rounding included.
    pub peak: usize,
    /// End of the farthest piece: a buffer of this length would have done.
    pub extent: usize,
}

impl Usage {
    const NONE: Self = Self { allocations: 0, peak: 0, extent: 0 };
}

struct State {
    heap: Heap,
    start: usize,
    usage: Usage,
}

struct Counted(UnsafeCell<State>);

// SAFETY: one processor, and no interrupt handler that allocates.
unsafe impl Sync for Counted {}

/// Gives the heap its memory; before this there is none.
pub fn supply(buffer: &'static mut [u8]) {
    // SAFETY: the buffer is handed over for ever; one processor.
    unsafe {
        let state = &mut *HEAP.0.get();
        state.start = buffer.as_ptr() as usize;
        state.heap.init(buffer.as_mut_ptr(), buffer.len());
    }
}

pub fn usage() -> Usage {
    // SAFETY: one processor.
    unsafe { (*HEAP.0.get()).usage }
}

// SAFETY: the list allocator keeps the contract; one processor.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one processor.
        let state = unsafe { &mut *self.0.get() };
        let Ok(piece) = state.heap.allocate_first_fit(layout) else {
            return null_mut();
        };
        let usage = &mut state.usage;
        usage.allocations += 1;
        usage.peak = usage.peak.max(state.heap.used());
        usage.extent = usage.extent.max(piece.as_ptr() as usize + layout.size() - state.start);
        piece.as_ptr()
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if let Some(piece) = NonNull::new(piece) {
            // SAFETY: the piece came from `alloc` with this layout; one processor.
            unsafe { (*self.0.get()).heap.deallocate(piece, layout) };
        }
    }
}
