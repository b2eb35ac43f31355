//! Vouchers (RFC 8366): a manufacturer's signed word that one device of its make belongs to one owner's domain.
//!
//! Two forms are read, and nothing else:
//!
//! - COSE_Sign1 (tagged or bare) over CBOR in the numbers of draft-ietf-anima-constrained-voucher: a map with the one
//!   key 2451, under it a map with the numbers of the leaves less 2451. Weak devices take this one; reading and
//!   verifying it needs no heap.
//! - a JSON Web Signature over JSON `{"ietf-voucher:voucher": {…}}`, in the compact form or as a JSON object with exactly
//!   one signature ([`json`], not on devices).
//!
//! The algorithms are ES256, ES384 and EdDSA; the key decides. Keys that come with a voucher are not looked at: the
//! manufacturer's key is known beforehand.

#[cfg(feature = "verifier")]
pub mod json;

use bartizan_crypto::{Provider, Random};
use bartizan_wire::UnixMillis;
use minicbor::Encoder;
use minicbor::encode::write::Cursor;

use crate::cbor::Strict;
use crate::cose::{self, Envelope, Shape, SigningKey};
use crate::x509::{days_before, days_of, number};
use crate::{Error, PublicKey, limits};

const SHAPE: Error = Error::Malformed("no voucher of RFC 8366");
const NO_ROOM: Error = Error::Unavailable("the buffer is too small for the voucher");

/// The SID of `ietf-voucher:voucher`, and those of its leaves less that one.
const VOUCHER: i64 = 2451;
const ASSERTION: i64 = 1;
const CREATED_ON: i64 = 2;
const REVOCATION_CHECKS: i64 = 3;
const EXPIRES_ON: i64 = 4;
const IDEVID_ISSUER: i64 = 5;
const LAST_RENEWAL: i64 = 6;
const NONCE: i64 = 7;
const PINNED_DOMAIN_CERT: i64 = 8;
const SERIAL_NUMBER: i64 = 11;

/// How the manufacturer came to its word (RFC 8366 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// The ownership was verified, by a sale for example.
    Verified,
    /// It was only written down.
    Logged,
    /// Device and owner were seen beside each other.
    Proximity,
}

/// The names in JSON; the places are the numbers in CBOR.
const ASSERTIONS: [(&str, Assertion); 3] =
    [("verified", Assertion::Verified), ("logged", Assertion::Logged), ("proximity", Assertion::Proximity)];

impl Assertion {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Logged => "logged",
            Self::Proximity => "proximity",
        }
    }
}

/// What a voucher says. It is for one device, and for one time: until `expires`, or in answer to `nonce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher<'a> {
    /// Of the device, as its IDevID has it; for devices without one as the manufacturer counts them.
    pub serial_number: &'a str,
    pub assertion: Assertion,
    pub created: UnixMillis,
    /// Exactly one of `expires` and `nonce` is there.
    pub expires: Option<UnixMillis>,
    /// 8 to 32 bytes that the device has chosen.
    pub nonce: Option<&'a [u8]>,
    /// A certificate in DER: the owner's own, or one that the owner's certificates hang on.
    pub pinned_domain_cert: &'a [u8],
    /// The key identifier of who issued the device's IDevID.
    pub idevid_issuer: Option<&'a [u8]>,
}

impl<'a> Voucher<'a> {
    /// Reads and verifies the COSE form. `room` is for what was signed: as long as `bytes` is enough.
    ///
    /// # Errors
    /// `Untrusted` if another key signed it, `Misbehaved` if it breaks RFC 8366's rules, `Unsupported` if it says what is
    /// not known here, `Malformed` if it is none.
    pub fn open(provider: &Provider, bytes: &'a [u8], key: &PublicKey, room: &mut [u8]) -> Result<Self, Error> {
        if bytes.len() > limits::VOUCHER_BYTES_MAX {
            return Err(Error::Unavailable("a voucher that is longer than is taken"));
        }
        let envelope = Envelope::read(Shape::Sign1, Strict::new(bytes)?)?;
        let voucher = Self::read(envelope.payload)?;
        envelope.verify_within(provider, key, b"", room)?;
        Ok(voucher)
    }

    fn read(payload: &'a [u8]) -> Result<Self, Error> {
        let mut outer = Strict::new(payload)?.map().ok_or(SHAPE)?;
        let (Some((name, leaves)), None) = (outer.next(), outer.next()) else { return Err(SHAPE) };
        if name.int() != Some(VOUCHER) {
            return Err(SHAPE);
        }
        let mut draft = Draft::default();
        for (name, value) in leaves.map().ok_or(SHAPE)? {
            let time = || value.text().ok_or(SHAPE).and_then(time);
            match name.int().ok_or(SHAPE)? {
                ASSERTION => {
                    let place = value.uint().and_then(|place| usize::try_from(place).ok()).ok_or(SHAPE)?;
                    draft.assertion = Some(ASSERTIONS.get(place).ok_or(SHAPE)?.1);
                }
                CREATED_ON => draft.created = Some(time()?),
                EXPIRES_ON => draft.expires = Some(time()?),
                LAST_RENEWAL => drop(time()?),
                REVOCATION_CHECKS => no_revocation_checks(value.boolean().ok_or(SHAPE)?)?,
                IDEVID_ISSUER => draft.idevid_issuer = Some(value.byte_string().ok_or(SHAPE)?),
                NONCE => draft.nonce = Some(value.byte_string().ok_or(SHAPE)?),
                PINNED_DOMAIN_CERT => draft.pinned_domain_cert = Some(value.byte_string().ok_or(SHAPE)?),
                SERIAL_NUMBER => draft.serial_number = Some(value.text().ok_or(SHAPE)?),
                _ => return Err(Error::Unsupported("a member of a voucher")),
            }
        }
        draft.finish()
    }

    /// Whether it counts at `now`: nobody's clock is so wrong that it was made tomorrow.
    ///
    /// # Errors
    /// `Untrusted` if it has expired or is from the future.
    pub fn check_time(&self, now: UnixMillis) -> Result<(), Error> {
        const DAY_MS: u64 = 86_400_000;
        if self.created.0 > now.0.saturating_add(DAY_MS) {
            return Err(Error::Untrusted("a voucher from the future"));
        }
        match self.expires {
            Some(end) if end < now => Err(Error::Untrusted("a voucher that has expired")),
            _ => Ok(()),
        }
    }

    /// Signs it, in the COSE form; returns its length in `out`. This is the manufacturer's side.
    ///
    /// # Errors
    /// `Unavailable` if `out` or `room` is too small, `Misuse` if the key does not sign.
    pub fn sign(
        &self,
        provider: &Provider,
        random: &mut dyn Random,
        key: &SigningKey<'_>,
        room: &mut [u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let protected = [0xA1, 0x01, (-1 - key.algorithm()) as u8 | 0x20];
        let (payload_room, signed_room) = room.split_at_mut_checked(room.len() / 2).ok_or(NO_ROOM)?;
        let mut payload = Encoder::new(Cursor::new(payload_room));
        self.put(&mut payload).map_err(|_| NO_ROOM)?;
        let length = payload.writer().position();
        let payload_room = payload.into_writer().into_inner();
        let payload = payload_room.get(..length).ok_or(NO_ROOM)?;
        let mut signed = Encoder::new(Cursor::new(signed_room));
        cose::put_signed(&mut signed, Shape::Sign1, &protected, b"", payload).map_err(|_| NO_ROOM)?;
        let length = signed.writer().position();
        let signed_room = signed.into_writer().into_inner();
        let proof = key.sign(provider, random, signed_room.get(..length).ok_or(NO_ROOM)?)?;
        let mut whole = Encoder::new(Cursor::new(out));
        let put = |to: &mut Encoder<Cursor<&mut [u8]>>| {
            to.array(4)?.bytes(&protected)?.map(0)?.bytes(payload)?.bytes(&proof)?;
            Ok::<_, minicbor::encode::Error<_>>(())
        };
        put(&mut whole).map_err(|_| NO_ROOM)?;
        Ok(whole.writer().position())
    }

    fn put<W: minicbor::encode::Write>(&self, to: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        let some = [self.expires.is_some(), self.nonce.is_some(), self.idevid_issuer.is_some()];
        let count = 4 + some.into_iter().filter(|some| *some).count() as u64;
        to.map(1)?.i64(VOUCHER)?.map(count)?;
        let place = ASSERTIONS.iter().position(|(_, assertion)| *assertion == self.assertion).unwrap_or_default();
        to.i64(ASSERTION)?.u64(place as u64)?;
        to.i64(CREATED_ON)?.str(Text::of(self.created).as_str())?;
        if let Some(end) = self.expires {
            to.i64(EXPIRES_ON)?.str(Text::of(end).as_str())?;
        }
        if let Some(issuer) = self.idevid_issuer {
            to.i64(IDEVID_ISSUER)?.bytes(issuer)?;
        }
        if let Some(nonce) = self.nonce {
            to.i64(NONCE)?.bytes(nonce)?;
        }
        to.i64(PINNED_DOMAIN_CERT)?.bytes(self.pinned_domain_cert)?;
        to.i64(SERIAL_NUMBER)?.str(self.serial_number)?;
        Ok(())
    }
}

/// A device that was told to ask for revocations could not: it has not joined anything yet.
const fn no_revocation_checks(wanted: bool) -> Result<(), Error> {
    if wanted { Err(Error::Unsupported("a voucher that asks for revocation checks")) } else { Ok(()) }
}

/// A voucher of which not everything was read yet.
#[derive(Default)]
struct Draft<'a> {
    serial_number: Option<&'a str>,
    assertion: Option<Assertion>,
    created: Option<UnixMillis>,
    expires: Option<UnixMillis>,
    nonce: Option<&'a [u8]>,
    pinned_domain_cert: Option<&'a [u8]>,
    idevid_issuer: Option<&'a [u8]>,
}

impl<'a> Draft<'a> {
    /// RFC 8366 section 5.3, and that a voucher must end: one with neither an end nor a nonce would count for ever.
    fn finish(self) -> Result<Voucher<'a>, Error> {
        let serial_number = self.serial_number.filter(|serial| {
            (1..=limits::NAME_BYTES_MAX).contains(&serial.len()) && !serial.chars().any(char::is_control)
        });
        match (self.expires, self.nonce) {
            (Some(_), Some(_)) => return Err(Error::Misbehaved("a voucher with an end and a nonce")),
            (None, None) => return Err(Error::Misbehaved("a voucher with neither an end nor a nonce")),
            (_, Some(nonce)) if !(8..=32).contains(&nonce.len()) => return Err(SHAPE),
            _ => {}
        }
        Ok(Voucher {
            serial_number: serial_number.ok_or(SHAPE)?,
            assertion: self.assertion.ok_or(SHAPE)?,
            created: self.created.ok_or(SHAPE)?,
            expires: self.expires,
            nonce: self.nonce,
            pinned_domain_cert: self.pinned_domain_cert.filter(|der| !der.is_empty()).ok_or(SHAPE)?,
            idevid_issuer: self.idevid_issuer,
        })
    }
}

/// A date-and-time of YANG (RFC 6991 section 3) in UTC, to the millisecond.
fn time(text: &str) -> Result<UnixMillis, Error> {
    const NO_TIME: Error = Error::Malformed("a time that is none, or not in UTC");
    let text = ["Z", "+00:00", "-00:00"].into_iter().find_map(|zone| text.strip_suffix(zone)).ok_or(NO_TIME)?;
    let (date, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let bytes: &[u8; 19] = date.as_bytes().try_into().map_err(|_| NO_TIME)?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] = *bytes else {
        return Err(NO_TIME);
    };
    let part = |digits: &[u8], range: core::ops::RangeInclusive<i64>| {
        number(digits).filter(|part| range.contains(part)).ok_or(NO_TIME)
    };
    let (year, month) = (part(&[y0, y1, y2, y3], 1970..=9999)?, part(&[m0, m1], 1..=12)?);
    let day = part(&[d0, d1], 1..=days_of(year, month))?;
    let (hour, minute, second) = (part(&[h0, h1], 0..=23)?, part(&[n0, n1], 0..=59)?, part(&[s0, s1], 0..=59)?);
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(NO_TIME);
    }
    let thousandths =
        fraction.bytes().chain([b'0'; 3]).take(3).fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let seconds = days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let millis = u64::try_from(seconds).map_err(|_| NO_TIME)?.saturating_mul(1000);
    Ok(UnixMillis(millis.saturating_add(thousandths)))
}

/// A time as [`time`] reads it, in whole seconds.
struct Text([u8; 20]);

impl Text {
    fn of(at: UnixMillis) -> Self {
        let seconds = at.0 / 1000;
        let (mut day, within) = (seconds / 86_400, seconds % 86_400);
        let (mut year, mut month) = (1970_i64, 1_i64);
        let year_days = |year: i64| (days_before(year + 1, 1, 1) - days_before(year, 1, 1)) as u64;
        while year < 9999 && day >= year_days(year) {
            day -= year_days(year);
            year += 1;
        }
        while month < 12 && day >= days_of(year, month) as u64 {
            day -= days_of(year, month) as u64;
            month += 1;
        }
        let mut out = *b"0000-00-00T00:00:00Z";
        let mut put = |at: usize, width: usize, mut value: u64| {
            for place in out.iter_mut().skip(at).take(width).rev() {
                *place = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, year as u64);
        put(5, 2, month as u64);
        put(8, 2, day.min(30) + 1);
        put(11, 2, within / 3600);
        put(14, 2, within / 60 % 60);
        put(17, 2, within % 60);
        Self(out)
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};

    pub(super) const CREATED: UnixMillis = UnixMillis(1_795_000_000_000);

    pub(super) fn example() -> Voucher<'static> {
        Voucher {
            serial_number: "MX-0815",
            assertion: Assertion::Verified,
            created: CREATED,
            expires: Some(CREATED.plus(86_400_000)),
            nonce: None,
            pinned_domain_cert: &[0x30, 3, 2, 1, 7],
            idevid_issuer: None,
        }
    }

    fn rng(out: &mut [u8]) {
        out.fill(7);
    }

    fn signed(voucher: &Voucher<'_>, key: &SigningKey<'_>) -> Vec<u8> {
        let (mut room, mut out) = ([0; 2048], [0; 1024]);
        let length = voucher.sign(&RUSTCRYPTO, &mut rng, key, &mut room, &mut out).unwrap();
        out[..length].to_vec()
    }

    fn open<'a>(bytes: &'a [u8], key: &PublicKey) -> Result<Voucher<'a>, Error> {
        Voucher::open(&AWS_LC, bytes, key, &mut [0; 1024])
    }

    #[test]
    fn what_a_manufacturer_signs_is_read_and_no_bit_of_it_may_change() {
        let secret = Secret::new([9; 32]);
        for key in [SigningKey::P256(&secret), SigningKey::Ed25519(&secret)] {
            let public = key.public(&RUSTCRYPTO).unwrap();
            let nonce = Voucher { expires: None, nonce: Some(&[5; 8]), idevid_issuer: Some(&[1]), ..example() };
            for voucher in [example(), nonce] {
                let bytes = signed(&voucher, &key);
                assert_eq!(open(&bytes, &public), Ok(voucher));
                for bit in 0..bytes.len() * 8 {
                    let mut changed = bytes.clone();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    assert!(open(&changed, &public).is_err(), "bit {bit}");
                }
                for length in 0..bytes.len() {
                    assert!(open(&bytes[..length], &public).is_err());
                }
            }
        }
    }

    #[test]
    fn another_key_and_another_algorithm_are_not_believed() {
        let (secret, other) = (Secret::new([9; 32]), Secret::new([8; 32]));
        let bytes = signed(&example(), &SigningKey::P256(&secret));
        for key in [SigningKey::P256(&other), SigningKey::Ed25519(&secret)] {
            let refused = open(&bytes, &key.public(&RUSTCRYPTO).unwrap());
            assert!(matches!(refused, Err(Error::Untrusted(_))));
        }
    }

    #[test]
    fn a_voucher_ends_and_ends_in_one_way() {
        let secret = Secret::new([9; 32]);
        let key = SigningKey::Ed25519(&secret);
        let public = key.public(&RUSTCRYPTO).unwrap();
        let never = Voucher { expires: None, ..example() };
        let both = Voucher { nonce: Some(&[1; 8]), ..example() };
        for bad in [never, both] {
            assert!(matches!(open(&signed(&bad, &key), &public), Err(Error::Misbehaved(_))));
        }
        for bad in [&[1; 7][..], &[1; 33]] {
            let bad = Voucher { nonce: Some(bad), expires: None, ..example() };
            assert!(open(&signed(&bad, &key), &public).is_err());
        }
        let end = example().expires.unwrap();
        assert_eq!(example().check_time(end), Ok(()));
        assert!(example().check_time(end.plus(1)).is_err());
        assert!(example().check_time(UnixMillis(0)).is_err());
    }

    /// What `date -u -d … +%s` says.
    #[test]
    fn times_in_utc_alone() {
        assert_eq!(time("2016-10-07T19:31:42Z"), Ok(UnixMillis(1_475_868_702_000)));
        assert_eq!(time("2016-10-07T19:31:42.5-00:00"), Ok(UnixMillis(1_475_868_702_500)));
        assert_eq!(time("2024-02-29T00:00:00+00:00"), Ok(UnixMillis(1_709_164_800_000)));
        for bad in [
            "2016-10-07T19:31:42",
            "2016-10-07T19:31:42+01:00",
            "2023-02-29T00:00:00Z",
            "2016-10-07 19:31:42Z",
            "2016-10-07T24:00:00Z",
            "2016-10-07T19:31:42.Z",
            "1969-12-31T23:59:59Z",
            "2016-1-07T19:31:42Z",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
        for seconds in [0, 951_782_399, 951_782_400, 1_709_164_800, 4_102_444_799] {
            let at = UnixMillis(seconds * 1000);
            assert_eq!(time(Text::of(at).as_str()), Ok(at));
        }
    }
}
