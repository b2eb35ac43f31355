//! The claims of an Entity Attestation Token (EAT, RFC 9711) that a device of ours makes: written without a heap, read
//! strictly. Who signed them is another question: see [`crate::cose`], and `evidence::open` for both at once.
//!
//! Claims that are not known here are passed over (RFC 9711 section 7.2.4): nothing is believed because of them.

use minicbor::encode::{Encoder, Write};

use crate::cbor::Strict;
use crate::{Error, limits};

/// The profile (RFC 9711 section 4.3.2) of an EAT under a DICE chain: the chain proves who and what, the token only when.
pub const DICE_PROFILE: &str = "tag:bartizan.io,2026:eat-dice";
/// CoAP Content-Format of `application/eat+cwt` (RFC 9782).
pub const CONTENT_FORMAT: u16 = 263;

/// Claim keys: of CWT (RFC 8392), of EAT, and our private ones.
mod key {
    pub const EXPIRES: i64 = 4;
    pub const NOT_BEFORE: i64 = 5;
    pub const NONCE: i64 = 10;
    pub const UEID: i64 = 256;
    pub const DEBUG_STATUS: i64 = 263;
    pub const PROFILE: i64 = 265;
    pub const BOOT_COUNT: i64 = 267;
    pub const BOOT_SEED: i64 = 268;
    pub const SOFTWARE_NAME: i64 = 270;
    pub const SOFTWARE_VERSION: i64 = 271;
    pub const SECURITY_VERSION: i64 = -70010;
    pub const SECURITY_FLOOR: i64 = -70011;
}

/// The claims. All of them may be missing: which must be there is for a profile to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims<'a> {
    /// No longer to be accepted from then on, and not before: seconds since 1970 (RFC 8392 sections 3.1.4, 3.1.5). For
    /// devices with a clock.
    pub expires_s: Option<u64>,
    pub not_before_s: Option<u64>,
    pub nonce: Option<Nonce<'a>>,
    /// Opaque (RFC 9711 section 4.2.1): compare it, never look into it.
    pub ueid: Option<&'a [u8]>,
    pub debug_status: Option<DebugStatus>,
    pub profile: Option<&'a str>,
    pub boot_count: Option<u64>,
    pub boot_seed: Option<&'a [u8]>,
    pub software_name: Option<&'a str>,
    pub software_version: Option<SoftwareVersion<'a>>,
    /// Private claims: the active security version, and the floor below which the boot loader starts nothing.
    pub security_version: Option<u64>,
    pub security_floor: Option<u64>,
}

/// What makes a token fresh (RFC 9711 section 4.1): one nonce, or an array of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce<'a> {
    /// What the verifier asked with.
    pub challenge: &'a [u8],
    /// What ties the token to the session that carries it.
    pub binding: Option<&'a [u8; 32]>,
}

/// Whether debug facilities are open (RFC 9711 section 4.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DebugStatus {
    Enabled = 0,
    Disabled = 1,
    DisabledSinceBoot = 2,
    DisabledPermanently = 3,
    DisabledFullyAndPermanently = 4,
}

/// RFC 9711 section 4.2.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftwareVersion<'a> {
    pub version: &'a str,
    /// A registered version scheme of CoSWID (RFC 9393 section 4.1), such as 16384 for semantic versions.
    pub scheme: Option<u16>,
}

impl<'a> Claims<'a> {
    /// Reads a claims set.
    ///
    /// # Errors
    /// `Malformed` if a claim is not of its type, `Misbehaved` if it is longer or shorter than it may be, `Unsupported`
    /// if it has a form that no profile of ours makes.
    pub fn read(item: Strict<'a>) -> Result<Self, Error> {
        let mut claims = Self::default();
        for (key, value) in item.map().ok_or(Error::Malformed("EAT claims that are no map"))? {
            if let Some(key) = key.int() {
                claims.take(key, value)?;
            }
        }
        claims.check()?;
        Ok(claims)
    }

    fn take(&mut self, key: i64, value: Strict<'a>) -> Result<(), Error> {
        match key {
            key::EXPIRES => self.expires_s = Some(uint(value)?),
            key::NOT_BEFORE => self.not_before_s = Some(uint(value)?),
            key::NONCE => self.nonce = Some(Nonce::read(value)?),
            key::UEID => self.ueid = Some(bytes(value)?),
            key::DEBUG_STATUS => self.debug_status = Some(DebugStatus::read(value)?),
            key::PROFILE if value.byte_string().is_some() => {
                return Err(Error::Unsupported("an EAT profile named by its OID"));
            }
            key::PROFILE => self.profile = Some(text(value)?),
            key::BOOT_COUNT => self.boot_count = Some(uint(value)?),
            key::BOOT_SEED => self.boot_seed = Some(bytes(value)?),
            key::SOFTWARE_NAME => self.software_name = Some(text(value)?),
            key::SOFTWARE_VERSION => self.software_version = Some(SoftwareVersion::read(value)?),
            key::SECURITY_VERSION => self.security_version = Some(uint(value)?),
            key::SECURITY_FLOOR => self.security_floor = Some(uint(value)?),
            _ => {}
        }
        Ok(())
    }

    /// Writes them as one map in deterministic encoding (RFC 8949 section 4.2.1).
    ///
    /// # Errors
    /// A message if a claim is longer or shorter than it may be, and those of the place that it is written to.
    pub fn write<W: Write>(&self, to: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.check().map_err(|_| minicbor::encode::Error::message("an EAT claim that no verifier would take"))?;
        to.map(self.count())?;
        put_uint(to, key::EXPIRES, self.expires_s)?;
        put_uint(to, key::NOT_BEFORE, self.not_before_s)?;
        if let Some(nonce) = self.nonce {
            to.i64(key::NONCE)?;
            nonce.write(to)?;
        }
        put_bytes(to, key::UEID, self.ueid)?;
        put_uint(to, key::DEBUG_STATUS, self.debug_status.map(|status| status as u64))?;
        put_text(to, key::PROFILE, self.profile)?;
        put_uint(to, key::BOOT_COUNT, self.boot_count)?;
        put_bytes(to, key::BOOT_SEED, self.boot_seed)?;
        put_text(to, key::SOFTWARE_NAME, self.software_name)?;
        if let Some(version) = self.software_version {
            to.i64(key::SOFTWARE_VERSION)?;
            version.write(to)?;
        }
        put_uint(to, key::SECURITY_VERSION, self.security_version)?;
        put_uint(to, key::SECURITY_FLOOR, self.security_floor)
    }

    fn count(&self) -> u64 {
        let there = [
            self.expires_s.is_some(),
            self.not_before_s.is_some(),
            self.nonce.is_some(),
            self.ueid.is_some(),
            self.debug_status.is_some(),
            self.profile.is_some(),
            self.boot_count.is_some(),
            self.boot_seed.is_some(),
            self.software_name.is_some(),
            self.software_version.is_some(),
            self.security_version.is_some(),
            self.security_floor.is_some(),
        ];
        there.into_iter().map(u64::from).sum()
    }

    /// Lengths, for reader and writer alike: what is written is readable.
    fn check(&self) -> Result<(), Error> {
        let fits = |what: Option<&[u8]>, bounds: &core::ops::RangeInclusive<usize>| {
            what.is_none_or(|what| bounds.contains(&what.len()))
        };
        let name = 1..=limits::NAME_BYTES_MAX;
        let names = [self.profile, self.software_name, self.software_version.map(|version| version.version)];
        if !fits(self.nonce.map(|nonce| nonce.challenge), &limits::NONCE_BYTES) {
            return Err(Error::Misbehaved("an EAT nonce shorter or longer than it may be"));
        }
        if !fits(self.ueid, &limits::UEID_BYTES) {
            return Err(Error::Misbehaved("a UEID shorter or longer than it may be"));
        }
        if !fits(self.boot_seed, &limits::BOOT_SEED_BYTES) {
            return Err(Error::Misbehaved("a boot seed shorter or longer than it may be"));
        }
        if !names.into_iter().all(|text| fits(text.map(str::as_bytes), &name)) {
            return Err(Error::Misbehaved("an EAT text that is empty or longer than it may be"));
        }
        Ok(())
    }
}

impl<'a> Nonce<'a> {
    fn read(value: Strict<'a>) -> Result<Self, Error> {
        let Some(mut nonces) = value.array() else {
            return Ok(Self { challenge: bytes(value)?, binding: None });
        };
        match (nonces.next(), nonces.next(), nonces.next()) {
            (Some(challenge), Some(binding), None) => {
                let binding = bytes(binding)?.try_into();
                let binding =
                    binding.map_err(|_| Error::Unsupported("a second EAT nonce that is no session binding"))?;
                Ok(Self { challenge: bytes(challenge)?, binding: Some(binding) })
            }
            (.., Some(_)) => Err(Error::Unsupported("more than two EAT nonces")),
            _ => Err(Error::Malformed("an array of fewer than two EAT nonces")),
        }
    }

    fn write<W: Write>(&self, to: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self.binding {
            None => to.bytes(self.challenge)?,
            Some(binding) => to.array(2)?.bytes(self.challenge)?.bytes(binding)?,
        };
        Ok(())
    }
}

impl DebugStatus {
    fn read(value: Strict<'_>) -> Result<Self, Error> {
        Ok(match uint(value)? {
            0 => Self::Enabled,
            1 => Self::Disabled,
            2 => Self::DisabledSinceBoot,
            3 => Self::DisabledPermanently,
            4 => Self::DisabledFullyAndPermanently,
            _ => return Err(Error::Malformed("a debug status beyond those of EAT")),
        })
    }
}

impl<'a> SoftwareVersion<'a> {
    fn read(value: Strict<'a>) -> Result<Self, Error> {
        const SHAPE: Error = Error::Malformed("a software version that is no array of one or two");
        let mut parts = value.array().filter(|parts| (1..=2).contains(&parts.len())).ok_or(SHAPE)?;
        let version = text(parts.next().ok_or(SHAPE)?)?;
        let scheme = parts.next().map(|scheme| scheme.uint().and_then(|scheme| u16::try_from(scheme).ok()));
        match scheme {
            Some(None) => Err(Error::Unsupported("a version scheme that is not registered")),
            known => Ok(Self { version, scheme: known.flatten() }),
        }
    }

    fn write<W: Write>(&self, to: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self.scheme {
            None => to.array(1)?.str(self.version)?,
            Some(scheme) => to.array(2)?.str(self.version)?.u16(scheme)?,
        };
        Ok(())
    }
}

fn uint(value: Strict<'_>) -> Result<u64, Error> {
    value.uint().ok_or(Error::Malformed("an EAT claim that is no unsigned integer"))
}

fn bytes(value: Strict<'_>) -> Result<&[u8], Error> {
    value.byte_string().ok_or(Error::Malformed("an EAT claim that is no byte string"))
}

fn text(value: Strict<'_>) -> Result<&str, Error> {
    value.text().ok_or(Error::Malformed("an EAT claim that is no text"))
}

type Written<W> = Result<(), minicbor::encode::Error<<W as Write>::Error>>;

fn put_uint<W: Write>(to: &mut Encoder<W>, key: i64, value: Option<u64>) -> Written<W> {
    value.map_or(Ok(()), |value| to.i64(key)?.u64(value).map(|_| ()))
}

fn put_bytes<W: Write>(to: &mut Encoder<W>, key: i64, value: Option<&[u8]>) -> Written<W> {
    value.map_or(Ok(()), |value| to.i64(key)?.bytes(value).map(|_| ()))
}

fn put_text<W: Write>(to: &mut Encoder<W>, key: i64, value: Option<&str>) -> Written<W> {
    value.map_or(Ok(()), |value| to.i64(key)?.str(value).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn full() -> Claims<'static> {
        Claims {
            expires_s: Some(2_000_000_000),
            not_before_s: Some(1),
            nonce: Some(Nonce { challenge: &[7; 8], binding: Some(&[9; 32]) }),
            ueid: Some(&[1; 33]),
            debug_status: Some(DebugStatus::DisabledSinceBoot),
            profile: Some(DICE_PROFILE),
            boot_count: Some(u64::MAX),
            boot_seed: Some(&[3; 16]),
            software_name: Some("meter"),
            software_version: Some(SoftwareVersion { version: "1.2.3", scheme: Some(16384) }),
            security_version: Some(4),
            security_floor: Some(0),
        }
    }

    fn written(claims: &Claims<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        claims.write(&mut Encoder::new(&mut out)).ok().map(|()| out)
    }

    fn read(bytes: &[u8]) -> Result<Claims<'_>, Error> {
        Claims::read(Strict::new(bytes)?)
    }

    #[test]
    fn what_is_written_is_read() {
        let one = Nonce { challenge: &[7; 64], binding: None };
        let version = SoftwareVersion { version: "1", scheme: None };
        let short = Claims { nonce: Some(one), software_version: Some(version), ..Claims::default() };
        for claims in [full(), Claims::default(), short] {
            assert_eq!(read(&written(&claims).unwrap()), Ok(claims));
        }
    }

    /// Worked out by hand from RFC 8949: the bytes that a device and any other reader agree on.
    #[test]
    fn the_bytes_of_a_heartbeat() {
        let claims = Claims {
            nonce: Some(Nonce { challenge: b"abcdefgh", binding: None }),
            boot_count: Some(300),
            security_version: Some(2),
            ..Claims::default()
        };
        assert_eq!(written(&claims).unwrap(), b"\xA3\x0A\x48abcdefgh\x19\x01\x0B\x19\x01\x2C\x3A\x00\x01\x11\x79\x02");
    }

    #[test]
    fn keys_come_in_the_order_of_deterministic_encoding() {
        let bytes = written(&full()).unwrap();
        let keys: Vec<&[u8]> = Strict::new(&bytes).unwrap().map().unwrap().map(|(key, _)| key.bytes()).collect();
        assert!(keys.is_sorted(), "{keys:02x?}");
        assert_eq!(keys.len(), 12);
    }

    #[test]
    fn limits_hold_on_both_sides() {
        let long = String::from_utf8(alloc::vec![b'a'; limits::NAME_BYTES_MAX + 1]).unwrap();
        let nonce = |challenge| Claims { nonce: Some(Nonce { challenge, binding: None }), ..full() };
        let seed = |seed| Claims { boot_seed: Some(seed), ..full() };
        let ueid = |ueid| Claims { ueid: Some(ueid), ..full() };
        let name = |name| Claims { software_name: Some(name), ..full() };
        let zeros = [0; 66];
        for (claims, good) in [
            (nonce(&zeros[..7]), false),
            (nonce(&zeros[..8]), true),
            (nonce(&zeros[..64]), true),
            (nonce(&zeros[..65]), false),
            (seed(&zeros[..0]), false),
            (seed(&zeros[..1]), true),
            (seed(&zeros[..64]), true),
            (seed(&zeros[..65]), false),
            (ueid(&zeros[..6]), false),
            (ueid(&zeros[..7]), true),
            (ueid(&zeros[..33]), true),
            (ueid(&zeros[..34]), false),
            (name(""), false),
            (name(&long[1..]), true),
            (name(&long), false),
        ] {
            assert_eq!(written(&claims).is_some(), good, "{claims:?}");
        }
        for (length, good) in [(7, false), (8, true), (64, true), (65, false)] {
            let mut bytes = Vec::new();
            Encoder::new(&mut bytes).map(1).unwrap().i64(10).unwrap().bytes(&zeros[..length]).unwrap();
            assert_eq!(read(&bytes).is_ok(), good, "{length}");
        }
    }

    #[test]
    fn forms_that_are_no_claims_are_refused() {
        let eight = *b"\x48abcdefgh";
        let with = |front: &[u8], nonces: usize| {
            let mut bytes = front.to_vec();
            (0..nonces).for_each(|_| bytes.extend(eight));
            bytes
        };
        assert_eq!(read(&with(&[0xA1, 10], 1)).unwrap().nonce.unwrap().challenge, b"abcdefgh");
        assert!(matches!(read(&with(&[0xA1, 10, 0x81], 1)), Err(Error::Malformed(_))));
        assert!(matches!(read(&with(&[0xA1, 10, 0x82], 2)), Err(Error::Unsupported(_))));
        assert!(matches!(read(&with(&[0xA1, 10, 0x83], 3)), Err(Error::Unsupported(_))));
        for bad in [
            &[0x80][..],                                    // no map
            &[0xA1, 10, 1],                                 // a nonce that is a number
            &[0xA1, 0x19, 1, 7, 5],                         // debug status 5
            &[0xA1, 0x19, 1, 11, 0x20],                     // boot count -1
            &[0xA1, 0x19, 1, 15, 0x80],                     // a version without a version
            &[0xA1, 0x19, 1, 15, 0x83, 0x61, b'1', 1, 1],   // and one with too much
            &[0xA1, 0x19, 1, 9, 0x42, 1, 2],                // a profile that is an OID
            &[0xA1, 4, 0xFB, 0x41, 0xD0, 0, 0, 0, 0, 0, 0], // a time with a fraction
            &[0xA2, 0x19, 1, 11, 1, 0x19, 1, 11, 1],        // twice
            &[0xA1, 0x3A, 0, 1, 0x11, 0x79, 0x41, 1],       // a security version that is bytes
        ] {
            assert!(read(bad).is_err(), "{bad:02x?}");
        }
        assert_eq!(read(&[0xA2, 0x61, b'x', 1, 0x39, 0x10, 0, 0xF6]), Ok(Claims::default()), "unknown claims");
    }
}
