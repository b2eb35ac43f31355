//! What EST answers with, and how it refuses (RFC 7030 section 4).

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use zeroize::Zeroizing;

use crate::app::certificates::CertificateError;
use crate::app::{Error, Misuse};
use crate::base64;
use crate::store::fill_random;
use bartizan_platform::import::secret::to_hex;

const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");
const CERTIFICATES: &str = "application/pkcs7-mime; smime-type=certs-only";
/// Seconds after which a device should try again.
const RETRY_S: u64 = 300;

/// A bag of certificates.
pub fn certificates(der: &[u8]) -> Response {
    encoded(CERTIFICATES, der)
}

/// DER in base64 (RFC 8951 section 2).
pub fn encoded(kind: &'static str, der: &[u8]) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (TRANSFER_ENCODING, "base64")];
    (headers, base64::encode_lines(der)).into_response()
}

/// A private key and its certificate (RFC 7030 section 4.4.2).
pub fn key_and_certificate(private: &[u8], der: &[u8]) -> Response {
    let mut random = [0; 16];
    fill_random(&mut random);
    let boundary = format!("bartizan-{}", to_hex(&random));
    let part = |kind: &str, der: &[u8]| {
        let text = base64::encode_lines(der).replace('\n', "\r\n");
        format!("--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{text}\r\n")
    };
    let body = [part("application/pkcs8", private), part(CERTIFICATES, der), format!("--{boundary}--\r\n")].concat();
    let kind = format!("multipart/mixed; boundary={boundary}");
    let kind = HeaderValue::try_from(kind).unwrap_or(HeaderValue::from_static("multipart/mixed"));
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], body)
        .into_response()
}

/// User and password of HTTP Basic (RFC 7617).
pub fn basic(headers: &HeaderMap) -> Option<(String, Zeroizing<String>)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let plain = scheme.eq_ignore_ascii_case("basic").then(|| base64::decode(credentials.as_bytes()))??;
    let plain = Zeroizing::new(plain);
    let (user, password) = std::str::from_utf8(&plain).ok()?.split_once(':')?;
    Some((user.to_owned(), Zeroizing::new(password.to_owned())))
}

/// Why a request was not answered. The text is for a person who reads the device's log.
#[derive(Debug)]
pub enum Refusal {
    /// Neither a certificate nor a secret that is good.
    NoSecret,
    /// Only a certificate will do.
    NoCertificate,
    MediaType,
    TooLarge,
    Unknown,
    TooMany(u64),
    Busy(&'static str),
    Certificate(CertificateError),
}

impl From<CertificateError> for Refusal {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Failed(error) => error.into(),
            error => Self::Certificate(error),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Misuse(Misuse::Unknown(_)) => Self::Unknown,
            error => Self::Certificate(CertificateError::Failed(error)),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text, retry) = match self {
            Self::NoSecret => {
                let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"bartizan est\", charset=\"UTF-8\"")];
                let text = "show the device's certificate, or send its enrolment secret\n";
                return (StatusCode::UNAUTHORIZED, challenge, text).into_response();
            }
            Self::NoCertificate => {
                (StatusCode::FORBIDDEN, "show the device's own certificate, one that is good".into(), None)
            }
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/pkcs10 in base64".into(), None),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the request is longer than any".into(), None),
            Self::Unknown => {
                (StatusCode::NOT_FOUND, "there is no such authority; name the tenant in the path".into(), None)
            }
            Self::TooMany(seconds) => (StatusCode::TOO_MANY_REQUESTS, "too many wrong secrets".into(), Some(seconds)),
            Self::Busy(why) => (StatusCode::SERVICE_UNAVAILABLE, why.into(), Some(RETRY_S)),
            Self::Certificate(error) => refused(&error),
        };
        let text: String = text;
        let mut response = (status, format!("{text}\n")).into_response();
        if let Some(seconds) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

fn refused(error: &CertificateError) -> (StatusCode, String, Option<u64>) {
    match error {
        CertificateError::Refused(_) => (StatusCode::FORBIDDEN, error.to_string(), None),
        CertificateError::Malformed(_) => (StatusCode::BAD_REQUEST, error.to_string(), None),
        CertificateError::TooMany => (StatusCode::TOO_MANY_REQUESTS, error.to_string(), Some(24 * 3600)),
        CertificateError::NoAuthority => (StatusCode::SERVICE_UNAVAILABLE, error.to_string(), Some(RETRY_S)),
        CertificateError::Failed(failure) => {
            tracing::warn!(%failure, "a certificate could not be issued");
            (StatusCode::SERVICE_UNAVAILABLE, "the server cannot do it now".into(), Some(RETRY_S))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_read_or_refused() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
            basic(&headers).map(|(user, password)| (user, password.to_string()))
        };
        let encoded = base64::encode(b"7.42:se:cret");
        assert_eq!(read(&format!("Basic {encoded}")), Some(("7.42".into(), "se:cret".into())));
        assert_eq!(read(&format!("basic {encoded}")), Some(("7.42".into(), "se:cret".into())));
        for bad in [
            format!("Bearer {encoded}"),
            "Basic".into(),
            "Basic !".into(),
            format!("Basic {}", base64::encode(b"7.42")),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
        assert_eq!(basic(&HeaderMap::new()).map(|_| ()), None);
    }

    #[test]
    fn nobody_learns_why_the_store_failed() {
        let response = Refusal::from(Error::Unavailable("SELECT".into())).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}
