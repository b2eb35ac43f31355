//! The Conceptual Messages Wrapper (CMW, RFC 9999) in CBOR: what kind of message is this, and is it evidence?
//!
//! A wrapper protects nothing. Its labels and types are hints about where to look; what is inside has to prove itself.

use minicbor::encode::{Encoder, Write};

use crate::cbor::{Pairs, Strict};
use crate::{Error, limits};

/// The key of a collection that names the collection's own type.
const COLLECTION_TYPE: &str = "__cmwc_t";
/// The first CBOR tag that stands for a CoAP Content-Format (RFC 9277 appendix B).
const FIRST_TAG: u64 = 1_668_546_817;

/// One wrapper, checked down to its last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmw<'a> {
    Record(Record<'a>),
    Collection(Collection<'a>),
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub kind: Kind<'a>,
    pub value: &'a [u8],
    /// Absent where the kind says enough, and in every record written as a tag.
    pub messages: Option<Messages>,
}

/// What a message's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A Content-Type (RFC 9193 section 2).
    MediaType(&'a str),
    /// A CoAP Content-Format.
    Format(u16),
}

/// Which conceptual messages of RFC 9334 a record carries, as a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Messages(u8);

impl Messages {
    pub const REFERENCE_VALUES: Self = Self(1);
    pub const ENDORSEMENTS: Self = Self(2);
    pub const EVIDENCE: Self = Self(4);
    pub const ATTESTATION_RESULTS: Self = Self(8);
    pub const APPRAISAL_POLICY: Self = Self(16);

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn hold(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Messages under labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection<'a> {
    /// The collection's type: an absolute URI or an OID with dots.
    pub kind: Option<&'a str>,
    item: Strict<'a>,
}

/// The name of a collection's entry. Mixed kinds of labels are good CBOR; JSON has none but texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    Int(i64),
    Text(&'a str),
}

impl<'a> Cmw<'a> {
    /// Reads a wrapper of any form.
    ///
    /// # Errors
    /// `Malformed` if it is none, `Unsupported` if it says something that is not registered, `Unavailable` if its
    /// collections nest too deep.
    pub fn read(item: Strict<'a>) -> Result<Self, Error> {
        read(item, limits::COLLECTION_DEPTH_MAX)
    }
}

fn read(item: Strict<'_>, depth: usize) -> Result<Cmw<'_>, Error> {
    if item.map().is_none() {
        return Record::read(item).map(Cmw::Record);
    }
    let depth = depth.checked_sub(1).ok_or(Error::Unavailable("CMW collections that nest deeper than is taken"))?;
    Collection::read(item, depth).map(Cmw::Collection)
}

impl<'a> Record<'a> {
    /// A message of a CoAP Content-Format, such as evidence of [`crate::eat::CONTENT_FORMAT`].
    #[must_use]
    pub const fn new(format: u16, value: &'a [u8]) -> Self {
        Self { kind: Kind::Format(format), value, messages: None }
    }

    fn read(item: Strict<'a>) -> Result<Self, Error> {
        match item.array() {
            Some(parts) => Self::read_array(parts),
            None => Self::read_tag(item),
        }
    }

    fn read_array(mut parts: crate::cbor::Items<'a>) -> Result<Self, Error> {
        const SHAPE: Error = Error::Malformed("a CMW record that is no array of two or three");
        if !(2..=3).contains(&parts.len()) {
            return Err(SHAPE);
        }
        let kind = Kind::read(parts.next().ok_or(SHAPE)?)?;
        let value = parts.next().and_then(Strict::byte_string);
        let value = value.ok_or(Error::Malformed("a CMW record whose value is no byte string"))?;
        let messages = parts.next().map(Messages::read).transpose()?;
        Ok(Self { kind, value, messages })
    }

    fn read_tag(item: Strict<'a>) -> Result<Self, Error> {
        let tag = item.decoder().tag().map_err(|_| Error::Malformed("no CMW"))?.as_u64();
        let format = format_of(tag).ok_or(Error::Unsupported("a CBOR tag that stands for no content format"))?;
        let value = item.untagged(tag).and_then(Strict::byte_string);
        let value = value.ok_or(Error::Malformed("a CMW tag around something else than a byte string"))?;
        Ok(Self::new(format, value))
    }

    /// Writes the record as an array.
    ///
    /// # Errors
    /// A message if its media type is none, and those of the place that it is written to.
    pub fn write<W: Write>(&self, to: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        to.array(if self.messages.is_some() { 3 } else { 2 })?;
        match self.kind {
            Kind::Format(format) => to.u16(format)?,
            Kind::MediaType(name) if is_media_type(name) => to.str(name)?,
            Kind::MediaType(_) => return Err(minicbor::encode::Error::message("no media type")),
        };
        to.bytes(self.value)?;
        if let Some(messages) = self.messages {
            to.u8(messages.0)?;
        }
        Ok(())
    }

    /// Writes the record as a tag, which has no place for `messages`.
    ///
    /// # Errors
    /// A message if the record has a media type or `messages`, or its format has no tag; those of the place that it is
    /// written to.
    pub fn write_tag<W: Write>(&self, to: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        let tag = match self {
            Self { kind: Kind::Format(format), messages: None, .. } => tag_of(*format),
            _ => None,
        };
        let tag = tag.ok_or(minicbor::encode::Error::message("a CMW record that no tag can say"))?;
        to.tag(minicbor::data::Tag::new(tag))?.bytes(self.value)?;
        Ok(())
    }
}

impl<'a> Kind<'a> {
    fn read(item: Strict<'a>) -> Result<Self, Error> {
        if let Some(format) = item.uint() {
            let format = u16::try_from(format).map_err(|_| Error::Malformed("a content format beyond 65535"))?;
            return Ok(Self::Format(format));
        }
        let name = item.text().filter(|name| is_media_type(name));
        name.map(Self::MediaType).ok_or(Error::Malformed("a CMW record whose type is no media type"))
    }
}

impl Messages {
    fn read(item: Strict<'_>) -> Result<Self, Error> {
        match item.uint().ok_or(Error::Malformed("a CMW indicator that is no bitmap"))? {
            0 => Err(Error::Malformed("a CMW indicator without a bit")),
            bits @ 1..=31 => Ok(Self(bits as u8)),
            _ => Err(Error::Unsupported("a CMW indicator beyond the registered ones")),
        }
    }
}

impl<'a> Collection<'a> {
    fn read(item: Strict<'a>, depth: usize) -> Result<Self, Error> {
        let kind = item.under_text(COLLECTION_TYPE);
        let kind = kind.map(|kind| kind.text().filter(|kind| is_uri(kind) || is_oid(kind)));
        if kind == Some(None) {
            return Err(Error::Malformed("a CMW collection whose type is neither URI nor OID"));
        }
        let collection = Self { kind: kind.flatten(), item };
        let mut entries = 0;
        for (label, value) in item.map().into_iter().flatten() {
            if label.text() != Some(COLLECTION_TYPE) {
                Label::read(label).ok_or(Error::Malformed("a CMW label that is neither integer nor text"))?;
                read(value, depth)?;
                entries += 1;
            }
        }
        if entries == 0 { Err(Error::Malformed("an empty CMW collection")) } else { Ok(collection) }
    }

    /// In the order of writing, which means nothing.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        Entries(self.item.map())
    }

    /// The entry of this label.
    #[must_use]
    pub fn under(&self, label: Label<'_>) -> Option<Cmw<'a>> {
        self.entries().find(|(name, _)| *name == label).map(|(_, cmw)| cmw)
    }

    /// Whether the JSON form could say the same: text labels and media types only, in every collection within.
    #[must_use]
    pub fn fits_json(&self) -> bool {
        self.entries().all(|(label, cmw)| {
            matches!(label, Label::Text(_))
                && match cmw {
                    Cmw::Record(record) => matches!(record.kind, Kind::MediaType(_)),
                    Cmw::Collection(inner) => inner.fits_json(),
                }
        })
    }
}

/// See [`Collection::entries`].
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a>(Option<Pairs<'a>>);

impl<'a> Iterator for Entries<'a> {
    type Item = (Label<'a>, Cmw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        // The type of the collection is the one pair that is no entry; all others were checked.
        self.0.as_mut()?.find_map(|(label, value)| {
            let label = Label::read(label).filter(|label| *label != Label::Text(COLLECTION_TYPE))?;
            Some((label, Cmw::read(value).ok()?))
        })
    }
}

impl<'a> Label<'a> {
    fn read(item: Strict<'a>) -> Option<Self> {
        item.int().map(Self::Int).or_else(|| item.text().map(Self::Text))
    }
}

/// RFC 9277 appendix B: 255 formats in each 256 tags, so that no tag ends with a zero byte.
fn tag_of(format: u16) -> Option<u64> {
    let format = u64::from(format);
    (format <= 65_024).then_some(FIRST_TAG + format / 255 * 256 + format % 255)
}

fn format_of(tag: u64) -> Option<u16> {
    let offset = tag.checked_sub(FIRST_TAG)?;
    let format = (offset / 256).checked_mul(255)?.checked_add(offset % 256)?;
    let format = u16::try_from(format).ok()?;
    (tag_of(format) == Some(tag)).then_some(format)
}

/// Content-Type of RFC 9193: `type/subtype` and parameters.
fn is_media_type(text: &str) -> bool {
    let mut parts = text.split(';');
    let named = parts.next().and_then(|name| name.trim_end_matches(' ').split_once('/'));
    text.len() <= limits::NAME_BYTES_MAX
        && named.is_some_and(|(major, minor)| is_restricted_name(major) && is_restricted_name(minor))
        && parts.all(is_parameter)
}

/// RFC 6838 section 4.2.
fn is_restricted_name(name: &str) -> bool {
    name.len() <= 127
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
}

/// `token=token` or `token="quoted"`; a semicolon within quotes is not taken.
fn is_parameter(text: &str) -> bool {
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let quoted = |text: &str| {
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        inner.is_some_and(|inner| inner.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte)))
    };
    text.trim_matches(' ').split_once('=').is_some_and(|(name, value)| token(name) && (token(value) || quoted(value)))
}

/// An absolute URI (RFC 3986 section 4.3): a scheme, something behind it, no fragment.
fn is_uri(text: &str) -> bool {
    text.len() <= limits::URL_BYTES_MAX
        && text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                && !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"#<>\"{}|\\^`".contains(&byte))
        })
}

/// Arcs with dots between them, the first 0 to 2, none with leading zeros.
fn is_oid(text: &str) -> bool {
    let arc = |arc: &str| {
        !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'))
    };
    text.len() <= limits::NAME_BYTES_MAX
        && text.split('.').all(arc)
        && text.split('.').next().is_some_and(|first| matches!(first, "0" | "1" | "2"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn cmw(bytes: &[u8]) -> Result<Cmw<'_>, Error> {
        Cmw::read(Strict::new(bytes)?)
    }

    #[test]
    fn content_formats_and_their_tags() {
        // RFC 9277 section 4.3 names the first; the last is the end of the range that is registered.
        assert_eq!((tag_of(0), tag_of(65_024), tag_of(65_025)), (Some(FIRST_TAG), Some(1_668_612_095), None));
        assert!((0..=65_024).all(|format| tag_of(format).and_then(format_of) == Some(format)));
        for tag in [0, FIRST_TAG - 1, FIRST_TAG + 255, 1_668_612_096, u64::MAX] {
            assert_eq!(format_of(tag), None, "{tag}");
        }
    }

    #[test]
    fn records_there_and_back() {
        let messages = Messages::EVIDENCE.and(Messages::ENDORSEMENTS);
        let named = Record {
            kind: Kind::MediaType("application/eat+cwt; eat_profile=\"tag:a.b,2026:c\""),
            value: &[1],
            messages: Some(messages),
        };
        for record in [Record::new(263, b"token"), named] {
            let mut bytes = Vec::new();
            record.write(&mut Encoder::new(&mut bytes)).unwrap();
            assert_eq!(cmw(&bytes), Ok(Cmw::Record(record)));
        }
        let mut bytes = Vec::new();
        Record::new(263, b"token").write_tag(&mut Encoder::new(&mut bytes)).unwrap();
        assert_eq!(bytes, b"\xDA\x63\x74\x02\x09\x45token");
        assert_eq!(cmw(&bytes), Ok(Cmw::Record(Record::new(263, b"token"))));
        assert!(named.write_tag(&mut Encoder::new(Vec::new())).is_err());
        assert!(messages.hold(Messages::EVIDENCE) && !messages.hold(Messages::ATTESTATION_RESULTS));
    }

    #[test]
    fn collections_say_their_type() {
        let bytes = b"\xA2\x68__cmwc_t\x652.1.4\x61a\xA1\x20\x82\x01\x41\x07";
        let Ok(Cmw::Collection(outer)) = cmw(bytes) else { panic!("no collection") };
        assert_eq!(outer.kind, Some("2.1.4"));
        assert_eq!(outer.entries().count(), 1);
        let Some(Cmw::Collection(inner)) = outer.under(Label::Text("a")) else { panic!("no collection") };
        assert_eq!(inner.under(Label::Int(-1)), Some(Cmw::Record(Record::new(1, &[7]))));
        assert!(!outer.fits_json());
    }

    #[test]
    fn what_is_no_wrapper_is_refused() {
        for bad in [
            &b"\xA0"[..],                              // empty
            b"\xA1\x68__cmwc_t\x652.1.4",              // a type and nothing else
            b"\xA2\x68__cmwc_t\x613\x61a\x82\x01\x40", // a type that is no OID
            b"\xA1\x41\x01\x82\x01\x40",               // a label of bytes
            b"\x81\x01",                               // one part
            b"\x84\x01\x40\x01\x01",                   // four
            b"\x82\x20\x40",                           // format -1
            b"\x82\x1A\x00\x01\x00\x00\x40",           // format 65536
            b"\x82\x61x\x40",                          // no media type
            b"\x82\x70#cmw-j2c-tunnel/a\x40",          // a tunnel of old drafts
            b"\x82\x01\x60",                           // a value of text
            b"\x83\x01\x40\x00",                       // no bit
            b"\x83\x01\x40\x18\x20",                   // an unregistered bit
            b"\xD2\x40",                               // another tag
            b"\xDA\x63\x74\x01\x01\x60",               // text under the tag
            b"\x01",
        ] {
            assert!(cmw(bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn collections_nest_to_their_limit() {
        let nested = |depth: usize| {
            let mut bytes = b"\xA1\x01".repeat(depth);
            bytes.extend(b"\x82\x01\x40");
            bytes
        };
        assert!(cmw(&nested(limits::COLLECTION_DEPTH_MAX)).is_ok());
        assert!(matches!(cmw(&nested(limits::COLLECTION_DEPTH_MAX + 1)), Err(Error::Unavailable(_))));
    }

    #[test]
    fn uris_and_oids() {
        assert!(["tag:a.b,2026:c", "urn:x", "https://a/b?c"].into_iter().all(is_uri));
        assert!(!["a", ":a", "1a:b", "a:", "a:b#c", "a: b"].into_iter().any(is_uri));
        assert!(["0", "2.5.0", "1.3.6.1"].into_iter().all(is_oid));
        assert!(!["", "3.1", "1.", "1.02", "1.a"].into_iter().any(is_oid));
    }
}
