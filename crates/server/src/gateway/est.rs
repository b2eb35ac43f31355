//! EST over CoAPs (RFC 9148), and what a device that has not joined yet asks for beside.
//!
//! ```text
//! GET  /.well-known/est/crts   ─▶ 2.05 the authorities' certificates     (281, or 287 for the one that issues)
//! POST /.well-known/est/sen    ─▶ 2.04 a certificate                      (286 in; 281 or 287 out)
//! POST /.well-known/est/sren   ─▶ 2.04 the next one, for a device
//! POST /.well-known/est/skg    ─▶ 2.04 a key made here, and its certificate (286 in; 62 with 284 and 281 out)
//! POST /.well-known/est/skc    ─▶ the same with 287 in the place of 281
//! GET  /.well-known/est/att    ─▶ 2.05 what requests should be like      (285)
//! GET  /.well-known/bartizan/onboarding ─▶ 2.05 the manufacturer's voucher (18, or 42 for JSON)
//! POST /.well-known/bartizan/onboarding ─▶ 2.04 its starts are noted        (60 in: [boot count or null, boot seed])
//! ```
//!
//! The same resources stand under `/est` for who finds them with `/.well-known/core`. 5.03 with Max-Age: a person has to
//! look, ask again then.

use bartizan_trust::cbor::Strict;
use bartizan_wire::coap::{Code, MessageView, content_format};
use bytes::Bytes;

use super::coap::Answer;
use crate::app::App;
use crate::app::door::History;
use crate::app::enrolment::CSR_ATTRIBUTES;
use crate::app::joining::{Asker, Refusal};
use crate::ca::certs_only;
use crate::limits::ENROLMENT_RETRY_SECONDS;

/// application/pkcs7-mime; smime-type=certs-only.
pub const CERTS_ONLY: u16 = 281;
/// application/pkcs8.
pub const PKCS8: u16 = 284;
/// application/csrattrs.
pub const CSRATTRS: u16 = 285;
/// application/pkcs10.
pub const PKCS10: u16 = 286;
/// application/pkix-cert.
pub const PKIX_CERT: u16 = 287;
/// application/multipart-core (RFC 8710).
pub const MULTIPART: u16 = 62;
/// application/cose; cose-type="cose-sign1".
pub const COSE_SIGN1: u16 = 18;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Authorities,
    Enrol,
    Renew,
    MakeKey,
    /// With the certificate alone (`skc`).
    MakeKeyPlain,
    Attributes,
    Voucher,
    Starts,
    /// Where all of them are (RFC 6690).
    Links,
}

/// A request for one of them, its form checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub resource: Resource,
    pub body: Bytes,
    /// The certificate alone is wanted, without a PKCS#7 around it.
    pub plain: bool,
}

const NAMES: [(&str, Resource); 6] = [
    ("crts", Resource::Authorities),
    ("sen", Resource::Enrol),
    ("sren", Resource::Renew),
    ("skg", Resource::MakeKey),
    ("skc", Resource::MakeKeyPlain),
    ("att", Resource::Attributes),
];

/// The path of what is no part of EST.
const ONBOARDING_PATH: &[&str] = &[".well-known", "bartizan", "onboarding"];
const CORE_PATH: &[&str] = &[".well-known", "core"];

impl Resource {
    /// What a path names. Devices have upstreams, whose short paths and links are their own business.
    #[must_use]
    pub fn of(view: &MessageView<'_>, applicant: bool) -> Option<Self> {
        if view.path_is(ONBOARDING_PATH) {
            return Some(if view.code() == Code::GET { Self::Voucher } else { Self::Starts });
        }
        if applicant && view.path_is(CORE_PATH) {
            return Some(Self::Links);
        }
        let named = |(name, _): &&(&str, Self)| {
            view.path_is(&[".well-known", "est", name]) || (applicant && view.path_is(&["est", name]))
        };
        NAMES.iter().find(named).map(|(_, resource)| *resource)
    }

    /// Its method, what it takes and what it gives, the usual first.
    const fn form(self) -> (Code, Option<u16>, &'static [u16]) {
        match self {
            Self::Authorities => (Code::GET, None, &[CERTS_ONLY, PKIX_CERT]),
            Self::Enrol | Self::Renew => (Code::POST, Some(PKCS10), &[CERTS_ONLY, PKIX_CERT]),
            Self::MakeKey | Self::MakeKeyPlain => (Code::POST, Some(PKCS10), &[MULTIPART]),
            Self::Attributes => (Code::GET, None, &[CSRATTRS]),
            Self::Voucher => (Code::GET, None, &[COSE_SIGN1, content_format::OCTET_STREAM]),
            Self::Starts => (Code::POST, Some(content_format::CBOR), &[]),
            Self::Links => (Code::GET, None, &[content_format::LINK_FORMAT]),
        }
    }

    /// Whether the request has the form that the resource wants; the answer if not. True: the certificate alone.
    pub fn check(self, view: &MessageView<'_>) -> Result<bool, Code> {
        let (method, takes, gives) = self.form();
        if view.code() != method {
            return Err(Code::METHOD_NOT_ALLOWED);
        }
        if takes.is_some() && view.content_format() != takes {
            return Err(Code::UNSUPPORTED_CONTENT_FORMAT);
        }
        match view.accept() {
            Some(wanted) if !gives.is_empty() && !gives.contains(&wanted) => Err(Code::NOT_ACCEPTABLE),
            wanted => Ok(wanted == Some(PKIX_CERT) || self == Self::MakeKeyPlain),
        }
    }

    /// Whether a body comes with it, in parts perhaps.
    #[must_use]
    pub const fn has_body(self) -> bool {
        self.form().1.is_some()
    }
}

/// Answers a request.
pub async fn answer(app: &App, asker: &Asker, principal: u64, request: &Request) -> Answer {
    let done = match request.resource {
        Resource::Authorities => authorities(app, asker, request.plain).await,
        Resource::Enrol => app.enrol(asker, &request.body).await.map(|der| certificate(der, request.plain)),
        Resource::Renew => app.renew(asker, &request.body).await.map(|der| certificate(der, request.plain)),
        Resource::MakeKey | Resource::MakeKeyPlain => make_key(app, asker, request).await,
        Resource::Attributes => Ok(content(CSRATTRS, Bytes::from_static(CSR_ATTRIBUTES))),
        Resource::Voucher => voucher(app, asker).await,
        Resource::Starts => starts(app, asker, principal, &request.body),
        Resource::Links => Ok(content(content_format::LINK_FORMAT, links().into())),
    };
    done.unwrap_or_else(|refusal| refused(&refusal))
}

async fn authorities(app: &App, asker: &Asker, plain: bool) -> Result<Answer, Refusal> {
    let certificates = app.authorities_for(asker).await?;
    Ok(match certificates.first() {
        Some(issuing) if plain => content(PKIX_CERT, issuing.clone().into()),
        _ => content(CERTS_ONLY, certs_only(&certificates).into()),
    })
}

fn certificate(der: Vec<u8>, plain: bool) -> Answer {
    let answer = match plain {
        true => content(PKIX_CERT, der.into()),
        false => content(CERTS_ONLY, certs_only(&[der]).into()),
    };
    Answer { code: Code::CHANGED, max_age: None, ..answer }
}

/// An array of content formats and contents (RFC 8710 section 2).
async fn make_key(app: &App, asker: &Asker, request: &Request) -> Result<Answer, Refusal> {
    let made = app.make_key_for(asker, &request.body).await?;
    let (format, certificate) = match request.plain {
        true => (PKIX_CERT, made.certificate),
        false => (CERTS_ONLY, certs_only(&[made.certificate])),
    };
    let mut parts = vec![0x84];
    for (format, bytes) in [(PKCS8, made.private.as_slice()), (format, &certificate)] {
        let [high, low] = format.to_be_bytes();
        parts.extend([0x19, high, low]);
        put_byte_string(&mut parts, bytes);
    }
    Ok(Answer { code: Code::CHANGED, max_age: None, ..content(MULTIPART, parts.into()) })
}

fn put_byte_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let [.., high, low] = (bytes.len() as u32).to_be_bytes();
    match bytes.len() {
        0..=23 => out.push(0x40 | low),
        24..=255 => out.extend([0x58, low]),
        _ => out.extend([0x59, high, low]), // keys and certificates are far below 64 KiB
    }
    out.extend_from_slice(bytes);
}

async fn voucher(app: &App, asker: &Asker) -> Result<Answer, Refusal> {
    let Asker::Stranger(applicant) = asker else { return Ok(Answer::new(Code::NOT_FOUND)) };
    Ok(match app.voucher_of(applicant).await? {
        Some((bytes, true)) => content(COSE_SIGN1, bytes.into()),
        Some((bytes, false)) => content(content_format::OCTET_STREAM, bytes.into()),
        None => Answer::new(Code::NOT_FOUND),
    })
}

/// What a stranger says of its starts, so that two of one secret are told apart.
fn starts(app: &App, asker: &Asker, principal: u64, body: &[u8]) -> Result<Answer, Refusal> {
    const SHAPE: &str = "an array of the boot count, or null, and a boot seed of 1 to 64 bytes";
    let malformed = || Refusal::Malformed(SHAPE.into());
    if !matches!(asker, Asker::Stranger(_)) {
        return Ok(Answer::new(Code::NOT_FOUND));
    }
    let item = Strict::new(body).map_err(|_| malformed())?;
    let mut parts = item.array().filter(|parts| parts.len() == 2).ok_or_else(malformed)?;
    let (Some(count), Some(seed)) = (parts.next(), parts.next()) else { return Err(malformed()) };
    let boot_count = match count.bytes() {
        [0xF6] => None,
        _ => Some(count.uint().ok_or_else(malformed)?),
    };
    let seed = seed.byte_string().filter(|seed| bartizan_trust::limits::BOOT_SEED_BYTES.contains(&seed.len()));
    let boot_seed = seed.ok_or_else(malformed)?.to_vec();
    app.door().say_history(principal, History { boot_count, boot_seed });
    Ok(Answer::new(Code::CHANGED))
}

/// RFC 9148 section 4.1.
fn links() -> String {
    let kinds =
        [("crts", "281 287"), ("sen", "281 287"), ("sren", "281 287"), ("att", "285"), ("skg", "62"), ("skc", "62")];
    let links = kinds.map(|(name, formats)| format!("</est/{name}>;rt=\"ace.est.{name}\";ct=\"{formats}\""));
    links.join(",")
}

fn content(format: u16, payload: Bytes) -> Answer {
    Answer { content_format: Some(format), max_age: Some(0), payload, ..Answer::new(Code::CONTENT) }
}

fn refused(refusal: &Refusal) -> Answer {
    let code = match refusal {
        Refusal::Waits => {
            return Answer { max_age: Some(ENROLMENT_RETRY_SECONDS), ..Answer::new(Code::SERVICE_UNAVAILABLE) };
        }
        Refusal::Forbidden(_) => Code::FORBIDDEN,
        Refusal::Malformed(_) => Code::BAD_REQUEST,
        Refusal::TooMany => Code::TOO_MANY_REQUESTS,
        Refusal::Unavailable(_) => return Answer::unavailable(),
    };
    Answer { payload: Bytes::from(refusal.to_string()), ..Answer::new(code) }
}
