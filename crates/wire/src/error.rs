//! Why bytes were not understood or could not be written, split by whose fault it is.

use core::fmt;

/// What went wrong in a codec of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The bytes break their format: a *message format error* in the words of RFC 7252 section 3.
    /// A confirmable CoAP message of this kind is answered with a Reset, any other one is dropped.
    Malformed(Malformed),
    /// Well-formed, but of a version, class or size that we do not take.
    Unsupported(Unsupported),
    /// The caller asked for bytes that the format cannot express or that do not fit.
    Misuse(Misuse),
}

/// How the bytes break their format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// The bytes end inside a field.
    Truncated,
    /// A token length of 9 to 15.
    TokenLength,
    /// An Empty message (0.00) with something behind its message id.
    EmptyNotEmpty,
    /// An option delta or length nibble of 15 that is no payload marker.
    OptionNibble,
    /// Option deltas that add up to more than 65535.
    OptionNumber,
    /// A payload marker with nothing behind it.
    EmptyPayload,
    /// An option value that its option does not allow, such as a Block size exponent of 7.
    OptionValue,
    /// CBOR that is not what its schema says.
    Cbor,
    /// Bytes behind the end.
    Trailing,
}

/// What we do not take although it is well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsupported {
    /// A version other than ours. A CoAP message of this kind is ignored silently (RFC 7252 section 3).
    Version,
    /// A CoAP code of a reserved class (1, 6 or 7); rejected like a message format error.
    CodeClass,
    /// More than [`crate::limits::COAP_OPTIONS_MAX`] options.
    OptionCount,
    /// An option longer than [`crate::limits::COAP_OPTION_BYTES_MAX`].
    OptionLength,
    /// A message longer than [`crate::limits::DATAGRAM_BYTES_MAX`].
    MessageLength,
    /// A code of an enumeration that this version does not know.
    Code,
}

/// What the caller asked for and cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Misuse {
    /// The output does not fit the buffer.
    NoRoom,
    /// A token of more than 8 bytes.
    TokenLength,
    /// An option value of a length that its definition forbids.
    OptionLength,
    /// More options than [`crate::limits::COAP_OPTIONS_MAX`].
    OptionCount,
    /// An option after the payload.
    OptionAfterPayload,
    /// A second payload.
    SecondPayload,
    /// A token, option or payload in an Empty message.
    EmptyNotEmpty,
    /// A request target with a broken percent escape, or a segment longer than its option.
    Target,
    /// A number that its field cannot hold.
    Range,
}

impl Error {
    /// A short, stable name for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Unsupported(_) => "unsupported",
            Self::Misuse(_) => "misuse",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(fault) => fault.text(),
            Self::Unsupported(fault) => fault.text(),
            Self::Misuse(fault) => fault.text(),
        })
    }
}

impl core::error::Error for Error {}

impl Malformed {
    const fn text(self) -> &'static str {
        match self {
            Self::Truncated => "the bytes end inside a field",
            Self::TokenLength => "the token length is above 8",
            Self::EmptyNotEmpty => "an Empty message carries more than its header",
            Self::OptionNibble => "an option uses the reserved nibble 15",
            Self::OptionNumber => "an option number is above 65535",
            Self::EmptyPayload => "a payload marker has no payload behind it",
            Self::OptionValue => "an option value is not allowed",
            Self::Cbor => "the CBOR does not follow its schema",
            Self::Trailing => "there are bytes behind the end",
        }
    }
}

impl Unsupported {
    const fn text(self) -> &'static str {
        match self {
            Self::Version => "the version is not ours",
            Self::CodeClass => "the code is of a reserved class",
            Self::OptionCount => "there are too many options",
            Self::OptionLength => "an option is too long",
            Self::MessageLength => "the message is too long",
            Self::Code => "an enumeration's code is unknown",
        }
    }
}

impl Misuse {
    const fn text(self) -> &'static str {
        match self {
            Self::NoRoom => "the buffer is too small",
            Self::TokenLength => "the token is longer than 8 bytes",
            Self::OptionLength => "the option's definition forbids this length",
            Self::OptionCount => "there are too many options",
            Self::OptionAfterPayload => "an option cannot follow the payload",
            Self::SecondPayload => "there is a payload already",
            Self::EmptyNotEmpty => "an Empty message has only a header",
            Self::Target => "the request target cannot be expressed in options",
            Self::Range => "a number is too large for its field",
        }
    }
}
