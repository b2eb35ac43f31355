//! The seam: what a detection engine is to the judge.

use bartizan_wire::{DeviceKey, Event, Finding, Grade, UnixMillis};

/// One way of seeing that a device misbehaves.
///
/// An engine is handed authenticated events only, keeps bounded state, and says what it saw as findings.
/// It does not decide: evidence of all engines is weighed in one place ([`crate::grade`]).
pub trait Engine {
    /// Takes one event of a device. Events may arrive slightly out of order, and the clock may jump.
    ///
    /// A finding's `score` says how sure the engine is that this is not the device's or its type's habit;
    /// a repeated finding renews evidence, it does not add to it.
    fn observe(&mut self, event: &Event, out: &mut dyn FnMut(Finding));

    /// Lets time pass without an event, for engines that judge silence.
    fn tick(&mut self, now: UnixMillis, out: &mut dyn FnMut(Finding)) {
        let _ = (now, out);
    }

    /// Tells that a device's grade is now `grade`: an engine learns from normal devices only.
    fn graded(&mut self, device: DeviceKey, grade: Grade) {
        let _ = (device, grade);
    }

    /// A person has looked at the device and released it: what was counted against it so far no longer is.
    fn pardon(&mut self, device: DeviceKey) {
        let _ = device;
    }

    /// Drops everything kept about a device.
    fn forget(&mut self, device: DeviceKey) {
        let _ = device;
    }
}
