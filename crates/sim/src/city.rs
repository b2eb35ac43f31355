//! Who lives in the city: everything about its devices that a seed decides before the first packet.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use bartizan_device::Version;

use crate::flash::Flash;
use crate::limits::DEVICES_MAX;
use crate::random::Seeded;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A bicycle lock: sleeps long, then a ride's worth of events, from wherever the network put it.
    Lock,
    /// A water meter: once an hour.
    Meter,
    /// A street light: every quarter of an hour, and when it is switched.
    Light,
}

impl Kind {
    /// The type's name in the registry.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Lock => "bicycle lock",
            Self::Meter => "water meter",
            Self::Light => "street light",
        }
    }

    const fn stem(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Meter => "meter",
            Self::Light => "light",
        }
    }
}

/// One device before it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSpec {
    /// Position in the city; the seed's fork.
    pub number: usize,
    pub kind: Kind,
    /// Also its PSK identity.
    pub name: String,
    pub psk: [u8; 16],
    /// The unique device secret of those that attest: water meters.
    pub secret: Option<[u8; 32]>,
    /// What it speaks.
    pub version: Version,
    /// Its own loopback address, so that limits on sources see devices, not one machine.
    pub address: IpAddr,
}

/// What every third device has learnt, whatever it is.
const NEWER: u64 = 3;

/// A city of `devices`: of ten, four are water meters, three locks, three lights. Some third of them speak DTLS 1.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct City {
    pub seed: u64,
    pub devices: Vec<DeviceSpec>,
}

impl City {
    /// The city of this seed and size.
    #[must_use]
    pub fn plan(seed: u64, devices: usize) -> Self {
        let root = Seeded::new(seed);
        let mut counts = [0_usize; 3];
        let devices = (0..devices.min(DEVICES_MAX)).map(|number| {
            let kind = match number % 10 {
                0 | 3 | 6 | 9 => Kind::Meter,
                1 | 4 | 7 => Kind::Light,
                _ => Kind::Lock,
            };
            counts[kind as usize] += 1;
            let mut psk = [0; 16];
            root.fork(number as u64).bytes(&mut psk);
            DeviceSpec {
                number,
                kind,
                name: format!("{}-{:04}", kind.stem(), counts[kind as usize]),
                psk,
                secret: (kind == Kind::Meter).then(|| secret(&root, number)),
                version: version(&root, number),
                address: address(number),
            }
        });
        Self { seed, devices: devices.collect() }
    }

    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &DeviceSpec> {
        self.devices.iter().filter(move |device| device.kind == kind)
    }

    /// How many of them speak this version.
    #[must_use]
    pub fn speaking(&self, version: Version) -> usize {
        self.devices.iter().filter(|device| device.version == version).count()
    }

    /// The spreadsheet that an operator would import.
    #[must_use]
    pub fn spreadsheet(&self) -> String {
        let mut csv = String::from("name,type,identity,psk,attestation_identity\n");
        for device in &self.devices {
            let DeviceSpec { name, kind, .. } = device;
            let attester = device.secret.map(|secret| Flash::identity(secret).to_string()).unwrap_or_default();
            let psk = device.psk.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("invariant: writing to a String succeeds");
                hex
            });
            writeln!(csv, "{name},{},{name},{psk},{attester}", kind.type_name())
                .expect("invariant: writing to a String succeeds");
        }
        csv
    }
}

/// As [`version`].
fn secret(root: &Seeded, number: usize) -> [u8; 32] {
    let mut secret = [0; 32];
    root.fork(u64::from(u32::MAX) * 2 + number as u64).bytes(&mut secret);
    secret
}

/// Decided by a draw of its own, so that keys and habits stay as they are.
fn version(root: &Seeded, number: usize) -> Version {
    match root.fork(u64::from(u32::MAX) + number as u64).below(NEWER) {
        0 => Version::Dtls13,
        _ => Version::Dtls12,
    }
}

/// 127.16.0.1 and on, 250 to a network.
fn address(number: usize) -> IpAddr {
    let (network, host) = (number / 250, number % 250);
    IpAddr::V4(Ipv4Addr::new(127, 16 + (network / 256) as u8, (network % 256) as u8, host as u8 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_seed_makes_one_city() {
        assert_eq!(City::plan(7, 100), City::plan(7, 100));
        assert_ne!(City::plan(7, 100).devices[3].psk, City::plan(8, 100).devices[3].psk);
    }

    #[test]
    fn nobody_shares_a_name_a_key_or_an_address() {
        let city = City::plan(1, 2_000);
        let names: HashSet<_> = city.devices.iter().map(|device| &device.name).collect();
        let keys: HashSet<_> = city.devices.iter().map(|device| device.psk).collect();
        let addresses: HashSet<_> = city.devices.iter().map(|device| device.address).collect();
        assert_eq!((names.len(), keys.len(), addresses.len()), (2_000, 2_000, 2_000));
        assert!(addresses.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn some_third_of_every_kind_speaks_dtls_1_3() {
        let city = City::plan(1, 2_000);
        for kind in [Kind::Lock, Kind::Meter, Kind::Light] {
            let all = city.of_kind(kind).count();
            let newer = city.of_kind(kind).filter(|device| device.version == Version::Dtls13).count();
            assert!((all / 4..all / 2).contains(&newer), "{newer} of {all}");
        }
    }

    #[test]
    fn the_largest_city_fits_on_loopback() {
        assert_eq!(City::plan(1, DEVICES_MAX + 1).devices.len(), DEVICES_MAX);
        assert!(address(DEVICES_MAX - 1).is_loopback());
    }

    #[test]
    fn the_spreadsheet_has_a_line_a_device() {
        let csv = City::plan(1, 10).spreadsheet();
        assert_eq!(csv.lines().count(), 11);
        assert!(csv.lines().nth(1).unwrap().starts_with("meter-0001,water meter,meter-0001,"));
    }
}
