//! Commands to devices.

use axum::extract::State;
use axum::http::StatusCode;
use bartizan_wire::CommandId;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;

use super::auth::Operator;
use super::devices::{find, unhex};
use super::extract::{Json, PageQuery, Path, Query};
use super::problem::{Kind, Problem};
use super::state::Shared;
use crate::app::views::{CommandView, Page};

/// A CoAP request to be delivered when the device next speaks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCommand {
    /// GET, POST, PUT, DELETE, FETCH, PATCH or iPATCH.
    #[schema(example = "POST")]
    method: String,
    #[schema(example = "/3/0/4")]
    path: String,
    /// The payload as text.
    payload: Option<String>,
    /// The payload in hex, when it is not text.
    payload_hex: Option<String>,
    /// CoAP Content-Format of the payload.
    content_format: Option<u16>,
    /// Seconds until it expires undelivered; a day if absent.
    #[schema(minimum = 1)]
    expires_in_s: Option<u64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    allow: bool,
    /// Why, for the history.
    reason: String,
}

const EXPIRES_IN_S_DEFAULT: u64 = 24 * 3600;

/// The device's commands, newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/devices/{device}/commands", tag = "commands", operation_id = "commands_list",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number"), PageQuery),
    responses((status = 200, body = Page<CommandView>)))]
pub async fn list(
    State(api): Shared,
    Path((tenant, device)): Path<(String, String)>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<CommandView>>, Problem> {
    let key = find(&api, &tenant, &device).await?;
    Ok(axum::Json(api.app.commands(key, &page.paging()?).await?))
}

/// Sends a command. It waits for the device, passes the gate, and expires if the device stays silent.
#[utoipa::path(post, path = "/tenants/{tenant}/devices/{device}/commands", tag = "commands", operation_id = "commands_send",
    request_body = NewCommand,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number")),
    responses((status = 201, body = CommandView)))]
pub async fn send(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device)): Path<(String, String)>,
    Json(new): Json<NewCommand>,
) -> Result<(StatusCode, axum::Json<CommandView>), Problem> {
    let key = find(&api, &tenant, &device).await?;
    let command = new.checked()?;
    let sent = api.app.send_command(&operator.actor, key, command).await?;
    Ok((StatusCode::CREATED, axum::Json(sent)))
}

/// A person's word on a command that the gate holds.
#[utoipa::path(post, path = "/tenants/{tenant}/devices/{device}/commands/{command}/decision",
    tag = "commands", operation_id = "commands_decide", request_body = Decision,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number"),
           ("command" = u64, Path, description = "The command's number")),
    responses((status = 200, body = CommandView)))]
pub async fn decide(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device, command)): Path<(String, String, u64)>,
    Json(decision): Json<Decision>,
) -> Result<axum::Json<CommandView>, Problem> {
    let key = find(&api, &tenant, &device).await?;
    let Decision { allow, reason } = decision;
    let decided = api.app.decide_command(&operator.actor, key, CommandId(command), allow, &reason).await?;
    Ok(axum::Json(decided))
}

impl NewCommand {
    fn checked(self) -> Result<crate::app::NewCommand, Problem> {
        let expires_in_s = self.expires_in_s.unwrap_or(EXPIRES_IN_S_DEFAULT);
        Ok(crate::app::NewCommand {
            method: method_code(&self.method)?,
            path: self.path,
            content_format: self.content_format,
            payload: payload(self.payload, self.payload_hex.as_deref())?,
            coap: None,
            expires_in_ms: expires_in_s.saturating_mul(1000),
        })
    }
}

fn payload(text: Option<String>, hex: Option<&str>) -> Result<Bytes, Problem> {
    match (text, hex) {
        (Some(_), Some(_)) => Err(Problem::new(Kind::MALFORMED, "send `payload` or `payload_hex`, not both")),
        (Some(text), None) => Ok(text.into()),
        (None, Some(hex)) => Ok(unhex(hex)?.into()),
        (None, None) => Ok(Bytes::new()),
    }
}

/// The CoAP request code of a method (RFC 7252 section 12.1.1, RFC 8132 section 6).
fn method_code(method: &str) -> Result<u8, Problem> {
    const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "IPATCH"];
    let upper = method.to_ascii_uppercase();
    (1_u8..).zip(METHODS).find_map(|(code, name)| (name == upper).then_some(code)).ok_or_else(|| {
        let detail = format!("`method` is GET, POST, PUT, DELETE, FETCH, PATCH or iPATCH, not \"{method}\"");
        Problem::new(Kind::MALFORMED, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_their_coap_codes() {
        for (name, code) in [("get", 1), ("POST", 2), ("DELETE", 4), ("iPATCH", 7)] {
            assert_eq!(method_code(name), Ok(code));
        }
        assert!(method_code("BREW").is_err());
    }
}
