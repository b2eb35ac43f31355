//! A seeded city of sleeping devices and its attackers, on real sockets and the real device SDK.
//!
//! ```text
//!  City (who lives there) ──▶ World ── one task, one socket, one `bartizan_device::Client` per device ──▶ gateway
//!                               ▲  └── Ledger: what each device sent, and what was acknowledged
//!                            Attack
//! ```
//!
//! [`City::plan`] decides everything that a seed decides: names, keys, addresses, habits. [`World::start`] lets
//! the city live against a gateway; [`World::attack`] turns some of it bad. What a device says, and when, comes
//! from its [`Habit`]; the world only runs it. Time is a [`Pace`]: the city's hours may pass faster than ours,
//! while the protocols' timers keep real time.
//!
//! Nothing here knows the server. What the server noticed is asked of the server.
#![allow(clippy::disallowed_methods, reason = "a simulator owns clocks, sockets and tasks")]

mod attack;
mod city;
mod device;
mod flash;
mod habit;
mod ledger;
mod limits;
mod meter;
mod outsider;
mod pace;
mod radio;
mod random;
mod world;

pub use attack::{Attack, AttackKind};
pub use city::{City, DeviceSpec, Kind};
pub use flash::{CHAIN_BYTES, Flash, RELEASES, Release};
pub use habit::{Habit, Wake};
pub use ledger::{Ledger, Tally};
pub use limits::raise_open_files;
pub use pace::Pace;
pub use random::Seeded;
pub use world::World;
