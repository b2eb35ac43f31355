//! The chip: where it begins, its serial line and its clock.

use core::arch::asm;
use core::panic::PanicInfo;
use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};

unsafe extern "C" {
    static mut data_start: u32;
    static mut data_end: u32;
    static data_load: u32;
    static mut bss_start: u32;
    static mut bss_end: u32;
    static stack_top: u32;
}

/// What stands behind the initial stack pointer: reset, then the fourteen exceptions of ARMv7-M.
#[used]
#[unsafe(link_section = ".vectors")]
static VECTORS: [unsafe extern "C" fn() -> !; 15] = {
    let mut vectors = [halt as unsafe extern "C" fn() -> !; 15];
    vectors[0] = reset;
    vectors
};

/// # Safety
/// Called by the chip alone, once, with nothing in memory yet.
#[unsafe(no_mangle)]
unsafe extern "C" fn reset() -> ! {
    // SAFETY: the linker script says where these lie; nothing refers to them before.
    unsafe {
        let mut from = addr_of!(data_load);
        let mut to = addr_of_mut!(data_start);
        while to < addr_of_mut!(data_end) {
            write_volatile(to, read_volatile(from));
            (to, from) = (to.add(1), from.add(1));
        }
        let mut to = addr_of_mut!(bss_start);
        while to < addr_of_mut!(bss_end) {
            write_volatile(to, 0);
            to = to.add(1);
        }
    }
    start_clock();
    crate::main()
}

unsafe extern "C" fn halt() -> ! {
    loop {
        // SAFETY: waits.
        unsafe { asm!("wfi") };
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: nothing goes on from here; the other end notices the silence.
    unsafe { halt() }
}

/// The memory between the last static and the top of the stack.
pub fn stack() -> (*mut u32, *mut u32) {
    (addr_of_mut!(bss_end), addr_of!(stack_top).cast_mut())
}

/// Bytes of all statics.
pub fn static_bytes() -> usize {
    addr_of!(bss_end) as usize - 0x2000_0000
}

/// The PL011 of UART0.
mod uart {
    pub const DATA: *mut u32 = 0x4000_C000 as *mut u32;
    pub const FLAGS: *const u32 = 0x4000_C018 as *const u32;
    pub const RECEIVE_EMPTY: u32 = 1 << 4;
    pub const TRANSMIT_FULL: u32 = 1 << 5;
}

/// The next byte, if one has come.
pub fn read() -> Option<u8> {
    // SAFETY: registers of this chip, used by nobody else.
    unsafe {
        let empty = read_volatile(uart::FLAGS) & uart::RECEIVE_EMPTY != 0;
        (!empty).then(|| read_volatile(uart::DATA) as u8)
    }
}

pub fn write(byte: u8) {
    // SAFETY: registers of this chip, used by nobody else.
    unsafe {
        while read_volatile(uart::FLAGS) & uart::TRANSMIT_FULL != 0 {}
        write_volatile(uart::DATA, u32::from(byte));
    }
}

/// ARMv7-M's own timer.
mod systick {
    pub const CONTROL: *mut u32 = 0xE000_E010 as *mut u32;
    pub const RELOAD: *mut u32 = 0xE000_E014 as *mut u32;
    pub const CURRENT: *mut u32 = 0xE000_E018 as *mut u32;
    /// Counts the processor's cycles.
    pub const ON: u32 = 0b101;
    pub const WRAPPED: u32 = 1 << 16;
    pub const CYCLES_PER_MS: u32 = 12_000;
}

fn start_clock() {
    // SAFETY: registers of every ARMv7-M, used by nobody else.
    unsafe {
        write_volatile(systick::RELOAD, systick::CYCLES_PER_MS - 1);
        write_volatile(systick::CURRENT, 0);
        write_volatile(systick::CONTROL, systick::ON);
    }
}

/// Whether a millisecond has begun since the last call. Milliseconds in which nobody asks are lost: the clock of
/// this example stands while it computes.
pub fn tick() -> bool {
    // SAFETY: registers of every ARMv7-M, used by nobody else.
    unsafe { read_volatile(systick::CONTROL) & systick::WRAPPED != 0 }
}

/// What [`spend_instructions`] is called with before anything else is counted: an emulator says how its clock and its
/// instructions belong together.
#[cfg(feature = "attest")]
pub const CALIBRATION_INSTRUCTIONS: u32 = 8_000_000;

/// Lets the clock count as far as it can; milliseconds stop.
#[cfg(feature = "attest")]
pub fn start_counting() {
    // SAFETY: registers of every ARMv7-M, used by nobody else.
    unsafe {
        write_volatile(systick::RELOAD, 0x00FF_FFFF);
        write_volatile(systick::CURRENT, 0);
        write_volatile(systick::CONTROL, systick::ON);
    }
}

/// Ticks since [`start_counting`], up to some 16 million.
#[cfg(feature = "attest")]
pub fn counted() -> usize {
    // SAFETY: a register of every ARMv7-M.
    let left = unsafe { read_volatile(systick::CURRENT) };
    (0x00FF_FFFF - (left & 0x00FF_FFFF)) as usize
}

/// A loop of two instructions, this many in all.
#[cfg(feature = "attest")]
#[inline(never)]
pub fn spend_instructions(count: u32) {
    // SAFETY: counts a register down.
    unsafe { asm!("2:", "subs {0}, {0}, #1", "bne 2b", inout(reg) count / 2 => _, options(nomem, nostack)) };
}
