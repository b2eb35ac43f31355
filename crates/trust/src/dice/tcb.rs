//! TCG's DiceTcbInfo and DiceMultiTcbInfo (DICE Attestation Architecture 1.1 section 6.1): a layer in an extension.

use alloc::vec::Vec;

use super::open;
use crate::der::{self, Reader};
use crate::evidence::{Digest, HashAlgorithm, Mode};
use crate::{Error, Layer, limits};

/// 2.16.840.1.101.3.4.2, NIST's hash algorithms.
const HASHES: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02";

/// OperationalFlags, bits 0 to 3.
const NOT_CONFIGURED: u32 = 1 << 31;
const NOT_SECURE: u32 = 1 << 30;
const RECOVERY: u32 = 1 << 29;
const DEBUG: u32 = 1 << 28;

/// What one DiceTcbInfo says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcbInfo {
    pub layer: Layer,
    /// The layer's number, if it has one.
    pub number: Option<u64>,
}

/// The extension with one.
///
/// # Errors
/// `Unsupported` if it is RIoT's CompositeDeviceID, which went under the same name, or has integrity registers;
/// otherwise by fault.
pub fn read(extension: &[u8]) -> Result<TcbInfo, Error> {
    info(Reader::only(extension, der::SEQUENCE)?)
}

/// The extension with several, in their order.
///
/// # Errors
/// As [`read`]; `Unavailable` if there are too many.
pub fn read_several(extension: &[u8]) -> Result<Vec<TcbInfo>, Error> {
    let mut reader = Reader::new(Reader::only(extension, der::SEQUENCE)?);
    let mut several = Vec::new();
    while !reader.is_empty() {
        if several.len() == limits::LAYERS_MAX {
            return Err(Error::Unavailable("more layers than are taken"));
        }
        several.push(info(reader.take(der::SEQUENCE)?)?);
    }
    if several.is_empty() { Err(Error::Malformed("a list of measurements with none")) } else { Ok(several) }
}

fn info(value: &[u8]) -> Result<TcbInfo, Error> {
    // { version INTEGER, deviceID SubjectPublicKeyInfo, fwid }: every member of DiceTcbInfo has a tag of its own.
    if value.first().is_some_and(|tag| *tag == der::INTEGER) {
        return Err(Error::Unsupported("RIoT's CompositeDeviceID under the name of DiceTcbInfo"));
    }
    if value.is_empty() {
        return Err(Error::Malformed("a DiceTcbInfo that says nothing"));
    }
    let mut reader = Reader::new(value);
    let mut text = |tag| reader.optional(tag)?.map(|value| open::short(der::text(value)?)).transpose();
    let (vendor, model, version) = (text(0x80)?, text(0x81)?, text(0x82)?);
    let mut number = |tag| reader.optional(tag)?.map(der::unsigned).transpose();
    let (security_version, layer_number, _index) = (number(0x83)?, number(0x84)?, number(0x85)?);
    let digests = reader.optional(0xA6)?.map(fwids).transpose()?.unwrap_or_default();
    let flags = reader.optional(0x87)?.map(der::named_bits).transpose()?.unwrap_or(0);
    let vendor_info = reader.optional(0x88)?;
    let component = reader.optional(0x89)?.and_then(|bytes| der::text(bytes).ok()).map(open::short).transpose()?;
    let mask = reader.optional(0x8A)?.map(der::named_bits).transpose()?;
    if reader.optional(0xAB)?.is_some() {
        return Err(Error::Unsupported("integrity registers in a DiceTcbInfo"));
    }
    reader.end()?;
    let layer = Layer {
        vendor,
        model,
        component,
        version,
        security_version,
        digests,
        // Its meaning is the vendor's. What has a digest's length is taken for the configuration's measurement.
        config: vendor_info.and_then(|bytes| open::digest(bytes).ok()),
        authority: None,
        mode: mode(flags, mask),
        ..Layer::default()
    };
    Ok(TcbInfo { layer, number: layer_number })
}

/// FWIDLIST: digests of one thing, each of another algorithm.
fn fwids(list: &[u8]) -> Result<Vec<Digest>, Error> {
    let mut reader = Reader::new(list);
    let mut digests: Vec<Digest> = Vec::new();
    while !reader.is_empty() {
        let mut parts = Reader::new(reader.take(der::SEQUENCE)?);
        let (name, bytes) = (parts.take(der::OBJECT)?, parts.take(der::OCTET_STRING)?);
        parts.end()?;
        let (algorithm, length) = match name.strip_prefix(HASHES) {
            Some([1]) => (HashAlgorithm::Sha256, 32),
            Some([2]) => (HashAlgorithm::Sha384, 48),
            Some([3]) => (HashAlgorithm::Sha512, 64),
            Some([8]) => (HashAlgorithm::Sha3_256, 32),
            Some([9]) => (HashAlgorithm::Sha3_384, 48),
            Some([10]) => (HashAlgorithm::Sha3_512, 64),
            _ => return Err(Error::Unsupported("a hash algorithm in a DiceTcbInfo")),
        };
        if bytes.len() != length {
            return Err(Error::Malformed("a digest of another length than its algorithm's"));
        }
        if digests.iter().any(|earlier| earlier.algorithm == algorithm) {
            return Err(Error::Misbehaved("two digests of one algorithm for one layer"));
        }
        digests.push(Digest { algorithm, bytes: bytes.to_vec() });
    }
    if digests.is_empty() { Err(Error::Malformed("a list of digests with none")) } else { Ok(digests) }
}

/// The worst of the modes whose flags are up. Flags that are left out are down, as TCG says; but whoever states which
/// flags are meant (flagsMask) and leaves those out that tell a normal mode has not said that it is one.
const fn mode(flags: u32, mask: Option<u32>) -> Mode {
    const TELLING: u32 = NOT_CONFIGURED | NOT_SECURE | DEBUG;
    let told = match mask {
        Some(mask) => mask & TELLING == TELLING,
        None => true,
    };
    if flags & DEBUG != 0 {
        Mode::Debug
    } else if flags & RECOVERY != 0 {
        Mode::Recovery
    } else if flags & (NOT_CONFIGURED | NOT_SECURE) != 0 || !told {
        Mode::NotConfigured
    } else {
        Mode::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fwid(last: u8, length: u8) -> Vec<u8> {
        let mut bytes = alloc::vec![0x30, 13 + length, 6, 9];
        bytes.extend_from_slice(HASHES);
        bytes.extend_from_slice(&[last, 4, length]);
        bytes.resize(bytes.len() + usize::from(length), last);
        bytes
    }

    #[test]
    fn flags_tell_the_mode() {
        for (flags, mask, expected) in [
            (0, None, Mode::Normal),
            (1, Some(0xD000_0001), Mode::Normal),
            (0, Some(0x4000_0000), Mode::NotConfigured),
            (NOT_CONFIGURED, None, Mode::NotConfigured),
            (NOT_SECURE, None, Mode::NotConfigured),
            (RECOVERY | NOT_SECURE, None, Mode::Recovery),
            (DEBUG | RECOVERY, None, Mode::Debug),
            (DEBUG, Some(0), Mode::Debug),
        ] {
            assert_eq!(mode(flags, mask), expected, "{flags:08x} {mask:?}");
        }
    }

    #[test]
    fn one_digest_of_each_algorithm_with_its_length() {
        let all = [fwid(1, 32), fwid(2, 48), fwid(3, 64), fwid(8, 32), fwid(9, 48), fwid(10, 64)].concat();
        assert_eq!(fwids(&all).unwrap().len(), 6);
        assert!(matches!(fwids(&fwid(1, 48)), Err(Error::Malformed(_))));
        assert!(matches!(fwids(&fwid(4, 28)), Err(Error::Unsupported(_))));
        assert!(matches!(fwids(&[fwid(1, 32), fwid(1, 32)].concat()), Err(Error::Misbehaved(_))));
        assert!(fwids(&[]).is_err());
    }

    #[test]
    fn as_many_layers_as_the_limit_says() {
        let several = |count: usize| {
            let inner = [0x30, 3, 0x83, 1, 7].repeat(count);
            let mut bytes = alloc::vec![0x30, inner.len() as u8];
            bytes.extend(inner);
            read_several(&bytes)
        };
        assert_eq!(several(limits::LAYERS_MAX).unwrap().len(), limits::LAYERS_MAX);
        assert!(matches!(several(limits::LAYERS_MAX + 1), Err(Error::Unavailable(_))));
        assert!(several(0).is_err());
    }

    #[test]
    fn members_come_in_their_order_and_once() {
        assert_eq!(read(b"\x30\x06\x83\x01\x05\x84\x01\x02").unwrap().number, Some(2));
        for bad in [&b"\x30\x06\x84\x01\x02\x83\x01\x05"[..], b"\x30\x06\x83\x01\x05\x83\x01\x05", b"\x30\x00"] {
            assert!(read(bad).is_err(), "{bad:02x?}");
        }
        assert!(matches!(read(b"\x30\x02\xAB\x00"), Err(Error::Unsupported(_))));
        assert!(matches!(read(b"\x30\x03\x02\x01\x01"), Err(Error::Unsupported(_))));
    }
}
