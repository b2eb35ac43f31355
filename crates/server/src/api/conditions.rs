//! Versions of tenants and devices as entity tags (RFC 9110 section 8.8.3), and the conditions on them.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::{Kind, Problem};
use crate::app::{Error, Misuse};

/// What carries a version.
pub trait Versioned: Serialize {
    fn version(&self) -> u64;
}

impl Versioned for crate::app::views::TenantView {
    fn version(&self) -> u64 {
        self.version
    }
}

impl Versioned for crate::app::views::DeviceView {
    fn version(&self) -> u64 {
        self.version
    }
}

impl Versioned for crate::app::views::NewDeviceView {
    fn version(&self) -> u64 {
        self.device.version
    }
}

/// A body with its entity tag.
pub struct Tagged<T>(pub T);

impl<T: Versioned> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let tag = tag(self.0.version());
        ([(header::ETAG, tag)], axum::Json(self.0)).into_response()
    }
}

/// `Tagged`, or 304 if the caller already has this version (`If-None-Match`).
///
/// A device's last contact and message count move without a new version, so a device is always answered in
/// full; only tenants may be left out.
pub fn unless_known<T: Versioned>(headers: &HeaderMap, value: T) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|header| *header == tag(value.version()));
    if known {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag(value.version()))]).into_response();
    }
    Tagged(value).into_response()
}

/// The version that the caller insists on (`If-Match`); `None` if it does not care.
///
/// # Errors
/// A tag that this API never gave.
pub fn required_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(header) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = header.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .and_then(|number| number.parse().ok())
        .map(Some)
        .ok_or_else(|| Problem::new(Kind::MALFORMED, "If-Match takes one ETag as this API gave it, such as \"7\""))
}

/// # Errors
/// 412 if the caller insists on another version than the present one.
pub fn check<T: Versioned>(headers: &HeaderMap, present: &T) -> Result<(), Problem> {
    match required_version(headers)? {
        Some(version) if version != present.version() => Err(Error::from(Misuse::Stale).into()),
        _ => Ok(()),
    }
}

fn tag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("invariant: digits and quotes are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        [(header::IF_MATCH, HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn a_condition_is_a_tag_of_ours_or_anything() {
        assert_eq!(required_version(&HeaderMap::new()), Ok(None));
        assert_eq!(required_version(&headers("*")), Ok(None));
        assert_eq!(required_version(&headers("\"7\"")), Ok(Some(7)));
        for bad in ["7", "W/\"7\"", "\"seven\"", "\"1\", \"2\"", ""] {
            assert!(required_version(&headers(bad)).is_err(), "{bad}");
        }
    }
}
