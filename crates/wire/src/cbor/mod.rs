//! Events and findings as CBOR (RFC 8949): one array each, fixed order, the version first.
//!
//! ```text
//!  event   = [version, at, subject, kind]
//!  finding = [version, at, subject, engine, feature, observed, [low, high, basis], unit, score, severity, technique / null]
//!  subject = [0, tenant, device, type] / [1, address, [tenant, device] / null]
//!  kind    = [number, its fields …]
//! ```
//!
//! Enumerations travel as their stable numbers. A reader takes exactly this shape: no missing or further
//! elements, no indefinite lengths, no bytes behind the end, no NaN. A new field is a new version.

mod event;
mod finding;

use core::net::{IpAddr, SocketAddr};

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};

use crate::error::{Error, Malformed, Misuse, Unsupported};
use crate::event::Subject;
use crate::id::{DeviceId, DeviceKey, Source, TenantId, TypeId};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

const SUBJECT_DEVICE: u8 = 0;
const SUBJECT_SOURCE: u8 = 1;

/// Writes through `fill` into `out` and returns what was written.
fn write(out: &mut [u8], fill: impl FnOnce(&mut Encoder<Output<'_>>) -> Written) -> Result<&[u8], Error> {
    let mut encoder = Encoder::new(Output { place: out, length: 0 });
    fill(&mut encoder)?;
    let Output { place, length } = encoder.into_writer();
    place.get(..length).ok_or(Error::Misuse(Misuse::NoRoom))
}

/// Reads through `take` and checks that nothing is left.
fn read<T>(bytes: &[u8], take: impl FnOnce(&mut Input<'_>) -> Result<T, Error>) -> Result<T, Error> {
    let mut input = Input(Decoder::new(bytes));
    let value = take(&mut input)?;
    if input.0.position() != bytes.len() {
        return Err(Error::Malformed(Malformed::Trailing));
    }
    Ok(value)
}

type Written = Result<(), Error>;

/// A slice that is filled from its start.
struct Output<'a> {
    place: &'a mut [u8],
    length: usize,
}

impl Write for Output<'_> {
    type Error = Error;

    fn write_all(&mut self, bytes: &[u8]) -> Written {
        let end = self.length.saturating_add(bytes.len());
        let place = self.place.get_mut(self.length..end).ok_or(Error::Misuse(Misuse::NoRoom))?;
        for (place, byte) in place.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.length = end;
        Ok(())
    }
}

impl From<minicbor::encode::Error<Error>> for Error {
    fn from(error: minicbor::encode::Error<Error>) -> Self {
        // The only other cause would be a message of ours, and we write none.
        error.into_write().unwrap_or(Self::Misuse(Misuse::NoRoom))
    }
}

fn write_subject(to: &mut Encoder<Output<'_>>, subject: &Subject) -> Written {
    match subject {
        Subject::Device { key, device_type } => {
            to.array(4)?.u8(SUBJECT_DEVICE)?;
            to.u32(key.tenant.0)?.u64(key.device.0)?.u32(device_type.0)?;
        }
        Subject::Source { source, claimed } => {
            to.array(3)?.u8(SUBJECT_SOURCE)?;
            match source.ip() {
                IpAddr::V4(ip) => to.bytes(&ip.octets())?,
                IpAddr::V6(ip) => to.bytes(&ip.octets())?,
            };
            match claimed {
                Some(key) => to.array(2)?.u32(key.tenant.0)?.u64(key.device.0)?,
                None => to.null()?,
            };
        }
    }
    Ok(())
}

fn read_subject(from: &mut Input<'_>) -> Result<Subject, Error> {
    match from.tagged()? {
        (SUBJECT_DEVICE, 4) => Ok(Subject::Device { key: read_key(from)?, device_type: TypeId(from.u32()?) }),
        (SUBJECT_SOURCE, 3) => Ok(Subject::Source { source: read_source(from)?, claimed: from.optional(read_claim)? }),
        (SUBJECT_DEVICE | SUBJECT_SOURCE, _) => Err(CBOR),
        _ => Err(Error::Unsupported(Unsupported::Code)),
    }
}

fn read_claim(from: &mut Input<'_>) -> Result<DeviceKey, Error> {
    from.array(2)?;
    read_key(from)
}

fn read_key(from: &mut Input<'_>) -> Result<DeviceKey, Error> {
    Ok(DeviceKey { tenant: TenantId(from.u32()?), device: DeviceId(from.u64()?) })
}

/// An address as [`Source`] keeps it: anything more specific was not written by us.
fn read_source(from: &mut Input<'_>) -> Result<Source, Error> {
    let bytes = from.bytes()?;
    let ip = if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        IpAddr::from(octets)
    } else if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
        IpAddr::from(octets)
    } else {
        return Err(CBOR);
    };
    let source = Source::of(SocketAddr::new(ip, 0));
    if source.ip() == ip { Ok(source) } else { Err(CBOR) }
}

/// What is not of the written shape.
const CBOR: Error = Error::Malformed(Malformed::Cbor);

/// A reader whose every fault is [`CBOR`].
struct Input<'a>(Decoder<'a>);

impl<'a> Input<'a> {
    fn array(&mut self, length: u64) -> Written {
        if self.0.array().map_err(|_| CBOR)? == Some(length) { Ok(()) } else { Err(CBOR) }
    }

    /// An array that begins with a number: the number, and the array's length.
    fn tagged(&mut self) -> Result<(u8, u64), Error> {
        let length = self.0.array().map_err(|_| CBOR)?.ok_or(CBOR)?;
        Ok((self.u8()?, length))
    }

    fn u8(&mut self) -> Result<u8, Error> {
        self.0.u8().map_err(|_| CBOR)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        self.0.u16().map_err(|_| CBOR)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.0.u32().map_err(|_| CBOR)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.0.u64().map_err(|_| CBOR)
    }

    fn bool(&mut self) -> Result<bool, Error> {
        self.0.bool().map_err(|_| CBOR)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        self.0.bytes().map_err(|_| CBOR)
    }

    fn f64(&mut self) -> Result<f64, Error> {
        self.0.f64().ok().filter(|number| !number.is_nan()).ok_or(CBOR)
    }

    fn f32(&mut self) -> Result<f32, Error> {
        self.0.f32().ok().filter(|number| !number.is_nan()).ok_or(CBOR)
    }

    fn version(&mut self) -> Written {
        if self.u8()? == VERSION { Ok(()) } else { Err(Error::Unsupported(Unsupported::Version)) }
    }

    /// A number of an enumeration.
    fn code<T>(&mut self, from_code: impl FnOnce(u8) -> Option<T>) -> Result<T, Error> {
        from_code(self.u8()?).ok_or(Error::Unsupported(Unsupported::Code))
    }

    /// A value or null.
    fn optional<T>(&mut self, take: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<Option<T>, Error> {
        if self.0.datatype().map_err(|_| CBOR)? == Type::Null {
            self.0.null().map_err(|_| CBOR)?;
            return Ok(None);
        }
        take(self).map(Some)
    }
}

/// A number that can be told apart from every other one.
fn comparable(number: f64) -> Result<f64, Error> {
    if number.is_nan() { Err(Error::Misuse(Misuse::Range)) } else { Ok(number) }
}
