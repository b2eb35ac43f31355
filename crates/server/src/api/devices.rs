//! Devices: the registry, and what a person decides about one.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use bartizan_wire::{Access, DeviceKey, Grade, Lifecycle, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Operator;
use super::conditions::{Tagged, check};
use super::extract::{Json, Path, Query, paging};
use super::problem::{Kind, Problem};
use super::state::{Api, Shared};
use crate::app::views::{DeviceView, NewDeviceView, Page};
use crate::app::{self, DeviceFilter};

/// Which devices, and where in their list.
#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeviceQuery {
    /// Part of the name or identity.
    q: Option<String>,
    /// Name of the device type.
    #[serde(rename = "type")]
    device_type: Option<String>,
    /// normal, suspicious or abnormal.
    grade: Option<String>,
    /// full, limited, quarantined or blocked.
    access: Option<String>,
    /// pending, active or retired.
    lifecycle: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items on the page: 1 to 200, 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A device to be added. What is absent is made: the identity and the endpoint are the name, the key is random.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    #[schema(example = "meter-0001")]
    name: String,
    #[serde(rename = "type")]
    #[schema(example = "water meter")]
    device_type: String,
    /// The PSK identity that the device shows.
    identity: Option<String>,
    /// The pre-shared key in hex, at least 16 bytes.
    psk: Option<String>,
    /// The LwM2M endpoint name that it may register.
    endpoint: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Isolation {
    /// Why, for whoever looks at the device next.
    reason: String,
    /// Close the association too and refuse handshakes. Without it the device still reads its status.
    #[serde(default)]
    block: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Why, for whoever looks at the device next.
    reason: String,
}

#[derive(Serialize, Deserialize, ToSchema)]
pub struct NewKey {
    /// The new pre-shared key in hex: the only time that the server shows it.
    pub psk: String,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// How many hours the device has for it, 1 to 8760.
    #[schema(example = 168)]
    hours: u32,
}

/// The tenant's devices, in the order of their numbers.
#[utoipa::path(get, path = "/tenants/{tenant}/devices", tag = "devices", operation_id = "devices_list",
    params(("tenant" = String, Path, description = "The tenant's name"), DeviceQuery),
    responses((status = 200, body = Page<DeviceView>)))]
pub async fn list(
    State(api): Shared,
    Path(tenant): Path<String>,
    Query(query): Query<DeviceQuery>,
) -> Result<axum::Json<Page<DeviceView>>, Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    let (filter, cursor, limit) = query.checked()?;
    let page = api.app.devices(id, &filter, &paging(cursor, limit)?).await?;
    Ok(axum::Json(page))
}

/// Adds a device.
#[utoipa::path(post, path = "/tenants/{tenant}/devices", tag = "devices", operation_id = "devices_add", request_body = NewDevice,
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 201, body = NewDeviceView)))]
pub async fn add(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    Json(new): Json<NewDevice>,
) -> Result<(StatusCode, Tagged<NewDeviceView>), Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    let device = app::NewDevice {
        name: new.name,
        device_type: new.device_type,
        identity: new.identity.map(String::into_bytes),
        psk: new.psk.as_deref().map(unhex).transpose()?,
        endpoint: new.endpoint,
    };
    let added = api.app.add_device(&operator.actor, id, device).await?;
    Ok((StatusCode::CREATED, Tagged(added)))
}

/// One device, with its holds.
#[utoipa::path(get, path = "/tenants/{tenant}/devices/{device}", tag = "devices", operation_id = "devices_show",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number")),
    responses((status = 200, body = DeviceView)))]
pub async fn show(
    State(api): Shared,
    Path((tenant, device)): Path<(String, String)>,
) -> Result<Tagged<DeviceView>, Problem> {
    let key = find(&api, &tenant, &device).await?;
    Ok(Tagged(api.app.show_device(key).await?))
}

/// Isolates a device: it may only read its status until a person releases it.
#[utoipa::path(post, path = "/tenants/{tenant}/devices/{device}/isolations", tag = "devices", operation_id = "devices_isolate",
    request_body = Isolation,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number"),
           ("If-Match" = Option<String>, Header, description = "The ETag that the decision is based on")),
    responses((status = 200, body = DeviceView)))]
pub async fn isolate(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device)): Path<(String, String)>,
    headers: HeaderMap,
    Json(isolation): Json<Isolation>,
) -> Result<Tagged<DeviceView>, Problem> {
    let key = find_unchanged(&api, &tenant, &device, &headers).await?;
    let reason = given(&isolation.reason)?;
    let device = api.app.isolate(&operator.actor, key, reason, isolation.block).await?;
    Ok(Tagged(device))
}

/// Releases a device: ends the holds that people and detection placed on it.
#[utoipa::path(post, path = "/tenants/{tenant}/devices/{device}/releases", tag = "devices", operation_id = "devices_release",
    request_body = Reason,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number"),
           ("If-Match" = Option<String>, Header, description = "The ETag that the decision is based on")),
    responses((status = 200, body = DeviceView)))]
pub async fn release(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Reason>,
) -> Result<Tagged<DeviceView>, Problem> {
    let key = find_unchanged(&api, &tenant, &device, &headers).await?;
    let reason = given(&body.reason)?;
    Ok(Tagged(api.app.release(&operator.actor, key, reason).await?))
}

/// Takes a device out of service for good.
#[utoipa::path(post, path = "/tenants/{tenant}/devices/{device}/retirements", tag = "devices", operation_id = "devices_retire",
    request_body = Reason,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number"),
           ("If-Match" = Option<String>, Header, description = "The ETag that the decision is based on")),
    responses((status = 200, body = DeviceView)))]
pub async fn retire(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Reason>,
) -> Result<Tagged<DeviceView>, Problem> {
    let key = find_unchanged(&api, &tenant, &device, &headers).await?;
    let reason = given(&body.reason)?;
    Ok(Tagged(api.app.retire(&operator.actor, key, reason).await?))
}

/// Replaces the device's key. Its association is closed.
#[utoipa::path(post, path = "/tenants/{tenant}/devices/{device}/keys", tag = "devices", operation_id = "devices_rotate_key",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number"),
           ("If-Match" = Option<String>, Header, description = "The ETag that the decision is based on")),
    responses((status = 200, body = NewKey)))]
pub async fn rotate_key(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<axum::Json<NewKey>, Problem> {
    let key = find_unchanged(&api, &tenant, &device, &headers).await?;
    let psk = api.app.rotate_key(&operator.actor, key).await?;
    Ok(axum::Json(NewKey { psk }))
}

/// Asks the device to fetch another key itself. The one that it has stays good until it has connected with the new one.
#[utoipa::path(post, path = "/tenants/{tenant}/devices/{device}/key-requests", tag = "devices",
    operation_id = "devices_ask_for_key", request_body = KeyRequest,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number"),
           ("If-Match" = Option<String>, Header, description = "The ETag that the decision is based on")),
    responses((status = 200, body = DeviceView)))]
pub async fn ask_for_key(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<KeyRequest>,
) -> Result<Tagged<DeviceView>, Problem> {
    let key = find_unchanged(&api, &tenant, &device, &headers).await?;
    Ok(Tagged(api.app.ask_for_key(&operator.actor, key, body.hours).await?))
}

/// The device that a path names.
///
/// # Errors
/// 404 with what does not exist.
pub async fn find(api: &Api, tenant: &str, device: &str) -> Result<DeviceKey, Problem> {
    let tenant: TenantId = api.app.tenant_id(tenant).await?;
    Ok(api.app.device_key(tenant, device).await?)
}

async fn find_unchanged(api: &Api, tenant: &str, device: &str, headers: &HeaderMap) -> Result<DeviceKey, Problem> {
    let key = find(api, tenant, device).await?;
    if headers.contains_key(axum::http::header::IF_MATCH) {
        check(headers, &api.app.show_device(key).await?)?;
    }
    Ok(key)
}

impl DeviceQuery {
    fn checked(self) -> Result<(DeviceFilter, Option<String>, Option<u32>), Problem> {
        let names = |all: Vec<&str>| all.join(", ");
        let filter = DeviceFilter {
            q: self.q,
            device_type: self.device_type,
            grade: word("grade", self.grade, Grade::from_name, || {
                names(Grade::ALL.iter().map(|it| it.name()).collect())
            })?,
            access: word("access", self.access, Access::from_name, || {
                names(Access::ALL.iter().map(|it| it.name()).collect())
            })?,
            lifecycle: word("lifecycle", self.lifecycle, Lifecycle::from_name, || {
                names(Lifecycle::ALL.iter().map(|it| it.name()).collect())
            })?,
        };
        Ok((filter, self.cursor, self.limit))
    }
}

fn word<T>(
    field: &str,
    text: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    all: impl Fn() -> String,
) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    parse(&text).map(Some).ok_or_else(|| {
        let detail = format!("`{field}` is one of {}, not \"{text}\"", all());
        Problem::new(Kind::MALFORMED, detail)
    })
}

/// A reason that says something.
fn given(reason: &str) -> Result<&str, Problem> {
    match reason.trim() {
        "" => Err(Problem::new(Kind::MALFORMED, "give a reason")),
        reason => Ok(reason),
    }
}

/// Bytes written in hex.
///
/// # Errors
/// Anything but pairs of hex digits.
pub fn unhex(text: &str) -> Result<Vec<u8>, Problem> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let bytes = digits.filter(|digits| digits.len() % 2 == 0).map(|digits| {
        let pairs = digits.chunks_exact(2);
        // Two hex digits always fit.
        pairs.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    });
    bytes.ok_or_else(|| Problem::new(Kind::MALFORMED, "hex is an even number of digits 0-9, a-f"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_pairs_of_digits() {
        assert_eq!(unhex("00fFA0").unwrap(), [0, 255, 160]);
        assert_eq!(unhex("").unwrap(), Vec::<u8>::new());
        for bad in ["0", "0g", "ü0", "0x00"] {
            assert!(unhex(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_filter_names_its_words() {
        let query = DeviceQuery { grade: Some("evil".into()), ..DeviceQuery::default() };
        let problem = query.checked().err().unwrap();
        assert_eq!(problem.detail, "`grade` is one of normal, suspicious, abnormal, not \"evil\"");
    }
}
