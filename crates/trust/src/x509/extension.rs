//! Certificate extensions by their names, and those that bound what a key may do.

use crate::Error;
use crate::der::{self, Reader};

/// RFC 5280 section 4.2.1.
const SUBJECT_KEY_ID: &[u8] = b"\x55\x1D\x0E";
pub const SUBJECT_ALTERNATIVE_NAME: &[u8] = b"\x55\x1D\x11";
pub const KEY_USAGE: &[u8] = b"\x55\x1D\x0F";
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1D\x13";
const POLICIES: &[u8] = b"\x55\x1D\x20";
const AUTHORITY_KEY_ID: &[u8] = b"\x55\x1D\x23";
pub const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1D\x25";
/// 1.3.6.1.5.5.7.1.35, a conceptual message wrapper (RFC 9999).
pub const CMW: &[u8] = b"\x2B\x06\x01\x05\x05\x07\x01\x23";
/// 1.3.6.1.4.1.11129.2.1.24, the inputs of the Open Profile for DICE.
pub const OPEN_DICE: &[u8] = b"\x2B\x06\x01\x04\x01\xD6\x79\x02\x01\x18";
/// 2.23.133.5.4.1, DiceTcbInfo. RIoT wrote its CompositeDeviceID under this name before.
pub const TCB_INFO: &[u8] = b"\x67\x81\x05\x05\x04\x01";
/// 2.23.133.5.4.4, the device's UEID.
pub const UEID: &[u8] = b"\x67\x81\x05\x05\x04\x04";
/// 2.23.133.5.4.5, DiceMultiTcbInfo.
pub const MULTI_TCB_INFO: &[u8] = b"\x67\x81\x05\x05\x04\x05";
/// 2.23.133.5.4.100, DICE's key purposes.
const DICE_PURPOSE: &[u8] = b"\x67\x81\x05\x05\x04\x64";

/// KeyUsage (RFC 5280 section 4.2.1.3): bits 0 and 5.
const DIGITAL_SIGNATURE: u32 = 1 << 31;
const CERTIFICATE_SIGNING: u32 = 1 << (31 - 5);

/// One extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The object identifier's value.
    pub name: &'a [u8],
    /// Whoever does not understand it must refuse the certificate.
    pub critical: bool,
    pub value: &'a [u8],
}

impl<'a> Extension<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut parts = Reader::new(reader.take(der::SEQUENCE)?);
        let name = parts.take(der::OBJECT)?;
        let critical = der::stated(parts.optional(der::BOOLEAN)?)?;
        let value = parts.take(der::OCTET_STRING)?;
        parts.end()?;
        Ok(Self { name, critical, value })
    }
}

/// What a certificate lets its key do, and how it names the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constraints<'a> {
    /// Whether it may certify others, and through how many certificates more.
    pub authority: bool,
    pub path_length: Option<u64>,
    usage: u32,
    /// Purposes by DICE's numbers, one bit each; bit 0 stands for any that is not DICE's.
    purposes: u32,
    pub subject_key: Option<&'a [u8]>,
    pub authority_key: Option<&'a [u8]>,
}

impl<'a> Constraints<'a> {
    /// Takes the extension in. `false` if it is none of those that bound a key.
    ///
    /// # Errors
    /// `Malformed` if it is one and broken.
    pub fn take(&mut self, extension: &Extension<'a>) -> Result<bool, Error> {
        let value = extension.value;
        match extension.name {
            BASIC_CONSTRAINTS => (self.authority, self.path_length) = basic_constraints(value)?,
            KEY_USAGE => self.usage = der::named_bits(Reader::only(value, der::BIT_STRING)?)?,
            EXTENDED_KEY_USAGE => self.purposes |= extended_purposes(value)?,
            POLICIES => self.purposes |= policies(value)?,
            SUBJECT_KEY_ID => self.subject_key = Some(Reader::only(value, der::OCTET_STRING)?),
            AUTHORITY_KEY_ID => {
                self.authority_key = Reader::new(Reader::only(value, der::SEQUENCE)?).optional(0x80)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// May this key certify the next?
    #[must_use]
    pub const fn certifies(&self) -> bool {
        self.authority && self.usage & CERTIFICATE_SIGNING != 0 && self.has_purpose(1 << 12)
    }

    /// May this key prove who holds it? Whoever states no usage is not held to one.
    #[must_use]
    pub const fn authenticates(&self) -> bool {
        self.usage == 0 || self.usage & DIGITAL_SIGNATURE != 0
    }

    /// May this key sign evidence? Layers of the Open Profile have only keyCertSign, so that bit serves too.
    #[must_use]
    pub const fn attests(&self) -> bool {
        self.usage & (DIGITAL_SIGNATURE | CERTIFICATE_SIGNING) != 0 && self.has_purpose(1 << 8 | 1 << 9)
    }

    /// May this key sign what it is asked to, as a client of TLS does?
    #[must_use]
    pub const fn signs(&self) -> bool {
        self.usage & DIGITAL_SIGNATURE != 0
    }

    /// Whoever names purposes is held to them; whoever names none is not.
    const fn has_purpose(&self, wanted: u32) -> bool {
        self.purposes == 0 || self.purposes & wanted != 0
    }
}

fn basic_constraints(value: &[u8]) -> Result<(bool, Option<u64>), Error> {
    let mut parts = Reader::new(Reader::only(value, der::SEQUENCE)?);
    let authority = der::stated(parts.optional(der::BOOLEAN)?)?;
    let path_length = parts.optional(der::INTEGER)?.map(der::unsigned).transpose()?;
    parts.end()?;
    if path_length.is_some() && !authority {
        return Err(Error::Malformed("a path length where no path may be"));
    }
    Ok((authority, path_length))
}

/// One bit for each of DICE's purposes (2.23.133.5.4.100.n): 6 and 7 identity, 8 and 9 attestation, 10 and 11
/// assertion, each initial or local; 12 certifies layers.
fn purpose(name: &[u8]) -> u32 {
    match name.strip_prefix(DICE_PURPOSE) {
        Some([number @ 6..=12]) => 1 << number,
        _ => 1,
    }
}

fn extended_purposes(value: &[u8]) -> Result<u32, Error> {
    /// 2.5.29.37.0
    const ANY: &[u8] = b"\x55\x1D\x25\x00";
    let mut names = Reader::new(Reader::only(value, der::SEQUENCE)?);
    let mut purposes = 0;
    while !names.is_empty() {
        let name = names.take(der::OBJECT)?;
        purposes |= if name == ANY { u32::MAX } else { purpose(name) };
    }
    if purposes == 0 { Err(Error::Malformed("a list of key purposes with none")) } else { Ok(purposes) }
}

/// Whether the purpose stands in an extended key usage, by its own name.
///
/// # Errors
/// `Malformed` if the extension is.
pub fn names_purpose(value: &[u8], purpose: &[u8]) -> Result<bool, Error> {
    let mut names = Reader::new(Reader::only(value, der::SEQUENCE)?);
    let mut found = false;
    while !names.is_empty() {
        found |= names.take(der::OBJECT)? == purpose;
    }
    Ok(found)
}

/// The alternative names among extensions, encoded.
///
/// # Errors
/// `Malformed` if an extension is, or they stand there twice.
pub fn alternative_names<'a>(
    extensions: impl Iterator<Item = Result<Extension<'a>, Error>>,
) -> Result<Option<&'a [u8]>, Error> {
    let mut found = None;
    for extension in extensions {
        let extension = extension?;
        if extension.name == SUBJECT_ALTERNATIVE_NAME && found.replace(extension.value).is_some() {
            return Err(Error::Malformed("alternative names that stand there twice"));
        }
    }
    Ok(found)
}

/// Some write DICE's purposes as policies. Others' policies ask nothing of us.
fn policies(value: &[u8]) -> Result<u32, Error> {
    let mut list = Reader::new(Reader::only(value, der::SEQUENCE)?);
    let mut purposes = 0;
    while !list.is_empty() {
        let mut policy = Reader::new(list.take(der::SEQUENCE)?);
        purposes |= purpose(policy.take(der::OBJECT)?);
        policy.optional(der::SEQUENCE)?;
        policy.end()?;
    }
    Ok(purposes & !1)
}

/// A conceptual message wrapper (RFC 9999 section 6): JSON or CBOR, not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmw<'a> {
    Json(&'a str),
    Cbor(&'a [u8]),
}

impl<'a> Cmw<'a> {
    /// # Errors
    /// `Malformed` if it is neither.
    pub fn read(value: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(value);
        let element = reader.element()?;
        reader.end()?;
        match element.tag {
            der::UTF8_STRING => Ok(Self::Json(der::text(element.value)?)),
            der::OCTET_STRING => Ok(Self::Cbor(element.value)),
            _ => Err(Error::Malformed("a conceptual message that is neither JSON nor CBOR")),
        }
    }
}

/// The UEID in its extension: SEQUENCE { OCTET STRING }, of RFC 9711's length.
///
/// # Errors
/// `Malformed` if it is another.
pub fn ueid(value: &[u8]) -> Result<&[u8], Error> {
    let ueid = Reader::only(Reader::only(value, der::SEQUENCE)?, der::OCTET_STRING)?;
    if (7..=33).contains(&ueid.len()) { Ok(ueid) } else { Err(Error::Malformed("a UEID of another length")) }
}
