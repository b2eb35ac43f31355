//! A received message, checked once and read in place.

use super::block::Block;
use super::code::Code;
use super::header::{Header, Type};
use super::option::{OptionNumber, Options, Step, Values, decode_uint, step};
use super::target::Target;
use crate::error::{Error, Malformed, Unsupported};
use crate::limits::{
    COAP_ECHO_BYTES_MAX, COAP_OPTION_BYTES_MAX, COAP_OPTIONS_MAX, COAP_TOKEN_BYTES_MAX, DATAGRAM_BYTES_MAX,
};

/// A well-formed message over the bytes it came in.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    header: Header,
    token: &'a [u8],
    /// Only options, each within its limits.
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> MessageView<'a> {
    /// Reads and checks a whole message (RFC 7252 section 3).
    ///
    /// # Errors
    /// [`Error::Malformed`] is a message format error, and so is [`Unsupported::CodeClass`] in effect:
    /// a confirmable message is answered with a Reset of [`Header::parse`]'s message id, others are
    /// dropped. Any other [`Error::Unsupported`] is dropped.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Error::Unsupported(Unsupported::MessageLength));
        }
        let header = Header::parse(bytes)?;
        let body = bytes.get(Header::BYTES..).unwrap_or(&[]);
        check_code(header, body)?;
        if header.token_length > COAP_TOKEN_BYTES_MAX {
            return Err(Error::Malformed(Malformed::TokenLength));
        }
        let (token, rest) = body.split_at_checked(header.token_length).ok_or(Error::Malformed(Malformed::Truncated))?;
        let payload = check_options(rest)?;
        let marker = usize::from(!payload.is_empty());
        let options_length = rest.len().saturating_sub(payload.len()).saturating_sub(marker);
        Ok(Self { header, token, options: rest.get(..options_length).unwrap_or(&[]), payload })
    }

    #[must_use]
    pub const fn kind(&self) -> Type {
        self.header.kind
    }

    #[must_use]
    pub const fn code(&self) -> Code {
        self.header.code
    }

    #[must_use]
    pub const fn message_id(&self) -> u16 {
        self.header.message_id
    }

    #[must_use]
    pub const fn token(&self) -> &'a [u8] {
        self.token
    }

    /// The payload; empty if there is none.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    #[must_use]
    pub const fn options(&self) -> Options<'a> {
        Options::new(self.options)
    }

    /// The values of every option `number`, in order.
    #[must_use]
    pub const fn values(&self, number: OptionNumber) -> Values<'a> {
        Values { options: self.options(), number }
    }

    /// The first option `number`.
    #[must_use]
    pub fn option(&self, number: OptionNumber) -> Option<&'a [u8]> {
        self.values(number).next()
    }

    /// The first option `number` as an unsigned integer; `None` also above four bytes.
    #[must_use]
    pub fn uint(&self, number: OptionNumber) -> Option<u32> {
        decode_uint(self.option(number)?)
    }

    /// The segments of the path. Values are what the peer sent: not necessarily UTF-8.
    #[must_use]
    pub const fn uri_path(&self) -> Values<'a> {
        self.values(OptionNumber::URI_PATH)
    }

    /// The parts of the query, each usually `name=value`.
    #[must_use]
    pub const fn uri_query(&self) -> Values<'a> {
        self.values(OptionNumber::URI_QUERY)
    }

    /// Whether the path has exactly these segments.
    #[must_use]
    pub fn path_is(&self, segments: &[&str]) -> bool {
        self.uri_path().eq(segments.iter().map(|segment| segment.as_bytes()))
    }

    /// Path and query as a person writes them: `/meter/volume?unit=l`.
    #[must_use]
    pub const fn target(&self) -> Target<'a> {
        Target::new(self.uri_path(), self.uri_query())
    }

    /// Where a created resource is: Location-Path and Location-Query, if either is there.
    #[must_use]
    pub fn location(&self) -> Option<Target<'a>> {
        let path = self.values(OptionNumber::LOCATION_PATH);
        let query = self.values(OptionNumber::LOCATION_QUERY);
        let said = path.clone().next().is_some() || query.clone().next().is_some();
        said.then(|| Target::new(path, query))
    }

    #[must_use]
    pub fn content_format(&self) -> Option<u16> {
        self.short(OptionNumber::CONTENT_FORMAT)
    }

    #[must_use]
    pub fn accept(&self) -> Option<u16> {
        self.short(OptionNumber::ACCEPT)
    }

    /// Seconds for which a response is fresh, or after which to try again. `None` means 60.
    #[must_use]
    pub fn max_age(&self) -> Option<u32> {
        self.uint(OptionNumber::MAX_AGE)
    }

    /// The value of Echo; one that is not of 1 to 40 bytes counts as absent (RFC 9175 section 2.2.1, RFC 7252 section
    /// 5.4.3).
    #[must_use]
    pub fn echo(&self) -> Option<&'a [u8]> {
        self.option(OptionNumber::ECHO).filter(|value| (1..=COAP_ECHO_BYTES_MAX).contains(&value.len()))
    }

    /// Register or deregister in a request, the sequence number in a notification (RFC 7641 section 2).
    #[must_use]
    pub fn observe(&self) -> Option<u32> {
        self.uint(OptionNumber::OBSERVE).filter(|value| *value <= 0x00ff_ffff)
    }

    #[must_use]
    pub fn block1(&self) -> Option<Block> {
        Block::parse(self.option(OptionNumber::BLOCK1)?)
    }

    #[must_use]
    pub fn block2(&self) -> Option<Block> {
        Block::parse(self.option(OptionNumber::BLOCK2)?)
    }

    #[must_use]
    pub fn size1(&self) -> Option<u32> {
        self.uint(OptionNumber::SIZE1)
    }

    #[must_use]
    pub fn size2(&self) -> Option<u32> {
        self.uint(OptionNumber::SIZE2)
    }

    /// The first critical option that cannot be honoured: not in `known`, of a length its definition
    /// forbids, or repeated although it may not be (RFC 7252 sections 5.4.1, 5.4.3, 5.4.5). A request
    /// with one is answered 4.02, a response rejected.
    #[must_use]
    pub fn unrecognized_critical(&self, known: &[OptionNumber]) -> Option<OptionNumber> {
        let mut previous = None;
        for option in self.options() {
            let repeated = previous == Some(option.number);
            previous = Some(option.number);
            let recognized = known.contains(&option.number)
                && option.number.definition().is_none_or(|definition| {
                    definition.allows(option.value.len()) && (definition.repeatable || !repeated)
                });
            if option.number.is_critical() && !recognized {
                return Some(option.number);
            }
        }
        None
    }

    fn short(&self, number: OptionNumber) -> Option<u16> {
        u16::try_from(self.uint(number)?).ok()
    }
}

/// An Empty message has nothing but its header; classes 1, 6 and 7 are reserved (RFC 7252 section 4.1, 4.2).
fn check_code(header: Header, body: &[u8]) -> Result<(), Error> {
    if header.code.is_empty() && (header.token_length > 0 || !body.is_empty()) {
        return Err(Error::Malformed(Malformed::EmptyNotEmpty));
    }
    if matches!(header.code.class(), 1 | 6 | 7) {
        return Err(Error::Unsupported(Unsupported::CodeClass));
    }
    Ok(())
}

/// Walks over all options; returns the payload.
fn check_options(mut rest: &[u8]) -> Result<&[u8], Error> {
    let mut number = 0_u16;
    let mut count = 0_usize;
    loop {
        match step(rest).map_err(Error::Malformed)? {
            Step::End => return Ok(&[]),
            Step::Payload(payload) => return Ok(payload),
            Step::Option { delta, value, rest: behind } => {
                number = number.checked_add(delta).ok_or(Error::Malformed(Malformed::OptionNumber))?;
                count = count.saturating_add(1);
                check_limits(count, value)?;
                rest = behind;
            }
        }
    }
}

fn check_limits(count: usize, value: &[u8]) -> Result<(), Error> {
    if count > COAP_OPTIONS_MAX {
        return Err(Error::Unsupported(Unsupported::OptionCount));
    }
    if value.len() > COAP_OPTION_BYTES_MAX {
        return Err(Error::Unsupported(Unsupported::OptionLength));
    }
    Ok(())
}
