//! Method and response codes (RFC 7252 section 12.1, RFC 8132, RFC 7959, RFC 8516).

use core::fmt;

/// A CoAP code: three bits of class, five bits of detail, written `class.detail`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u8);

impl Code {
    pub const EMPTY: Self = Self::new(0, 0);

    pub const GET: Self = Self::new(0, 1);
    pub const POST: Self = Self::new(0, 2);
    pub const PUT: Self = Self::new(0, 3);
    pub const DELETE: Self = Self::new(0, 4);
    /// RFC 8132.
    pub const FETCH: Self = Self::new(0, 5);
    /// RFC 8132.
    pub const PATCH: Self = Self::new(0, 6);
    /// RFC 8132.
    pub const IPATCH: Self = Self::new(0, 7);

    pub const CREATED: Self = Self::new(2, 1);
    pub const DELETED: Self = Self::new(2, 2);
    pub const VALID: Self = Self::new(2, 3);
    pub const CHANGED: Self = Self::new(2, 4);
    pub const CONTENT: Self = Self::new(2, 5);
    /// RFC 7959: the block is taken, more may come.
    pub const CONTINUE: Self = Self::new(2, 31);

    pub const BAD_REQUEST: Self = Self::new(4, 0);
    pub const UNAUTHORIZED: Self = Self::new(4, 1);
    pub const BAD_OPTION: Self = Self::new(4, 2);
    pub const FORBIDDEN: Self = Self::new(4, 3);
    pub const NOT_FOUND: Self = Self::new(4, 4);
    pub const METHOD_NOT_ALLOWED: Self = Self::new(4, 5);
    pub const NOT_ACCEPTABLE: Self = Self::new(4, 6);
    /// RFC 7959: a block is missing or does not belong.
    pub const REQUEST_ENTITY_INCOMPLETE: Self = Self::new(4, 8);
    /// RFC 8132.
    pub const CONFLICT: Self = Self::new(4, 9);
    pub const PRECONDITION_FAILED: Self = Self::new(4, 12);
    pub const REQUEST_ENTITY_TOO_LARGE: Self = Self::new(4, 13);
    pub const UNSUPPORTED_CONTENT_FORMAT: Self = Self::new(4, 15);
    /// RFC 8132.
    pub const UNPROCESSABLE_ENTITY: Self = Self::new(4, 22);
    /// RFC 8516; Max-Age says when to come back.
    pub const TOO_MANY_REQUESTS: Self = Self::new(4, 29);

    pub const INTERNAL_SERVER_ERROR: Self = Self::new(5, 0);
    pub const NOT_IMPLEMENTED: Self = Self::new(5, 1);
    pub const BAD_GATEWAY: Self = Self::new(5, 2);
    /// Max-Age says when to come back.
    pub const SERVICE_UNAVAILABLE: Self = Self::new(5, 3);
    pub const GATEWAY_TIMEOUT: Self = Self::new(5, 4);
    pub const PROXYING_NOT_SUPPORTED: Self = Self::new(5, 5);
    /// RFC 8768.
    pub const HOP_LIMIT_REACHED: Self = Self::new(5, 8);

    /// The code `class.detail`, of which only the low 3 and 5 bits count.
    #[must_use]
    pub const fn new(class: u8, detail: u8) -> Self {
        Self(((class & 0b111) << 5) | (detail & 0b1_1111))
    }

    #[must_use]
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    #[must_use]
    pub const fn detail(self) -> u8 {
        self.0 & 0b1_1111
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.0 != 0
    }

    /// A response, of a class in use or of the unused class 3.
    #[must_use]
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2..=5)
    }

    /// A response of class 2.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }

    /// The name of a known method; `None` for anything else.
    #[must_use]
    pub const fn method_name(self) -> Option<&'static str> {
        Some(match self {
            Self::GET => "GET",
            Self::POST => "POST",
            Self::PUT => "PUT",
            Self::DELETE => "DELETE",
            Self::FETCH => "FETCH",
            Self::PATCH => "PATCH",
            Self::IPATCH => "iPATCH",
            _ => return None,
        })
    }

    /// The method of this name, in any case.
    #[must_use]
    pub fn from_method_name(name: &str) -> Option<Self> {
        (1..=7).map(Self).find(|code| code.method_name().is_some_and(|known| known.eq_ignore_ascii_case(name)))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({self})")
    }
}

/// Registered content formats (RFC 7252 section 12.3 and the IANA registry).
pub mod content_format {
    pub const TEXT_PLAIN: u16 = 0;
    pub const LINK_FORMAT: u16 = 40;
    pub const XML: u16 = 41;
    pub const OCTET_STREAM: u16 = 42;
    pub const EXI: u16 = 47;
    pub const JSON: u16 = 50;
    pub const CBOR: u16 = 60;
    pub const CWT: u16 = 61;
    pub const SENML_JSON: u16 = 110;
    pub const SENML_CBOR: u16 = 112;
    pub const LWM2M_TLV: u16 = 11_542;
    pub const LWM2M_JSON: u16 = 11_543;
    pub const LWM2M_CBOR: u16 = 11_544;
    /// `application/concise-problem-details+cbor`, RFC 9290.
    pub const PROBLEM_DETAILS_CBOR: u16 = 257;
    /// An Entity Attestation Token (RFC 9711 section 10.4).
    pub const EAT_CWT: u16 = 263;
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    #[test]
    fn codes_are_written_as_the_rfc_writes_them() {
        assert_eq!(Code::CONTENT.0, 69);
        assert_eq!(Code::CONTENT.to_string(), "2.05");
        assert_eq!(Code::TOO_MANY_REQUESTS.to_string(), "4.29");
        assert!(Code::GET.is_request() && !Code::GET.is_response());
        assert!(Code::CONTENT.is_response() && Code::CONTENT.is_success());
        assert!(!Code::EMPTY.is_request() && Code::EMPTY.is_empty());
        assert_eq!(Code::from_method_name("ipatch"), Some(Code::IPATCH));
        assert_eq!(Code::from_method_name("STEAL"), None);
    }
}
