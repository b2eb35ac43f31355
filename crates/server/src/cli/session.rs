//! A connected verb: where to ask, about which tenant, and how to print.

use axum::body::Body;
use axum::http::Method;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::{Global, Output};
use super::client::Client;
use super::error::Failure;
use crate::app::views::{Page, TenantView};
use crate::config::Loaded;
use crate::data_dir::DataDir;

/// What every verb needs.
pub struct Session {
    client: Client,
    tenant: Option<String>,
    output: Output,
    pub now: Timestamp,
}

impl Session {
    /// # Errors
    /// Neither a server nor the databases can be reached.
    pub async fn connect(dir: &DataDir, loaded: &Loaded, global: Global) -> Result<Self, Failure> {
        Ok(Self {
            client: Client::connect(dir, loaded).await?,
            tenant: global.tenant,
            output: global.output,
            now: Timestamp::now(),
        })
    }

    pub async fn close(self) {
        self.client.close().await;
    }

    /// # Errors
    /// What the API answered.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.client.get(path).await
    }

    /// # Errors
    /// What the API answered.
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, body: &Value) -> Result<T, Failure> {
        self.client.send_json(Method::POST, path, body).await
    }

    /// # Errors
    /// What the API answered.
    pub async fn put<T: DeserializeOwned>(&mut self, path: &str, body: &Value) -> Result<T, Failure> {
        self.client.send_json(Method::PUT, path, body).await
    }

    /// # Errors
    /// What the API answered.
    pub async fn patch<T: DeserializeOwned>(&mut self, path: &str, body: &Value) -> Result<T, Failure> {
        self.client.send_json(Method::PATCH, path, body).await
    }

    /// # Errors
    /// What the API answered.
    pub async fn post_file<T: DeserializeOwned>(&mut self, path: &str, kind: &str, body: Body) -> Result<T, Failure> {
        self.client.post_file(path, kind, body).await
    }

    /// # Errors
    /// What the API answered.
    pub async fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.client.delete(path).await
    }

    /// Up to `most` items of the list at `path` (which may hold a query), page by page, and whether there are more.
    ///
    /// # Errors
    /// What the API answered.
    pub async fn list<T: DeserializeOwned>(&mut self, path: &str, most: u64) -> Result<(Vec<T>, bool), Failure> {
        let mut items: Vec<T> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let left = most.saturating_sub(items.len() as u64);
            let limit = left.clamp(1, u64::from(crate::limits::PAGE_ITEMS_MAX));
            let joint = if path.contains('?') { '&' } else { '?' };
            let from = cursor.map_or(String::new(), |it| format!("&cursor={}", encoded(&it)));
            let page: Page<T> = self.get(&format!("{path}{joint}limit={limit}{from}")).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || items.len() as u64 >= most {
                return Ok((items, cursor.is_some()));
            }
        }
    }

    /// The path of the tenant to work on: the one that was named, or the only one.
    ///
    /// # Errors
    /// None or several, and none was named.
    pub async fn tenant_path(&mut self) -> Result<String, Failure> {
        if self.tenant.is_none() {
            let (tenants, more) = self.list::<TenantView>("/tenants", 5).await?;
            self.tenant = Some(only(tenants, more)?);
        }
        let name = self.tenant.as_deref().unwrap_or_default();
        Ok(format!("/tenants/{}", encoded(name)))
    }

    /// The path of a device of that tenant.
    ///
    /// # Errors
    /// No tenant is named and there is not exactly one.
    pub async fn device_path(&mut self, device: &str) -> Result<String, Failure> {
        let tenant = self.tenant_path().await?;
        Ok(format!("{tenant}/devices/{}", encoded(device)))
    }

    /// The path of a device type of that tenant.
    ///
    /// # Errors
    /// As [`Self::device_path`].
    pub async fn type_path(&mut self, device_type: &str) -> Result<String, Failure> {
        let tenant = self.tenant_path().await?;
        Ok(format!("{tenant}/types/{}", encoded(device_type)))
    }

    /// `value` as JSON, or as `people` says it.
    pub fn print<T: Serialize>(&self, value: &T, people: impl FnOnce(&T) -> String) -> String {
        match self.output {
            Output::Table => people(value),
            Output::Json => {
                let mut text =
                    serde_json::to_string_pretty(value).expect("invariant: what came as JSON prints as JSON");
                text.push('\n');
                text
            }
        }
    }
}

fn only(tenants: Vec<TenantView>, more: bool) -> Result<String, Failure> {
    let mut names: Vec<String> = tenants.into_iter().map(|tenant| tenant.name).collect();
    match names.len() {
        0 => Err(Failure::new("there is no tenant yet").hint("bartizan tenant add NAME --upstream log:FILE")),
        1 => Ok(names.remove(0)),
        _ => {
            if more {
                names.push("…".into());
            }
            let line = format!("there are several tenants: {}", names.join(", "));
            Err(Failure::usage(line).hint("choose one with --tenant or BARTIZAN_TENANT"))
        }
    }
}

/// `text` as one segment of a path, or one value of a query (RFC 3986 section 2.3).
#[must_use]
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_one_segment() {
        assert_eq!(encoded("meter-1"), "meter-1");
        assert_eq!(encoded("a/b c?é"), "a%2Fb%20c%3F%C3%A9");
    }
}
