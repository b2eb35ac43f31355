//! `bartizan onboarding …`.

use std::path::Path;

use axum::body::Body;
use bartizan_platform::import::secret::to_hex;
use bartizan_trust::limits::VOUCHER_BYTES_MAX;
use serde_json::json;

use super::args::{Manufacturer, Onboarding, Orders};
use super::attest::read;
use super::error::Failure;
use super::session::{Session, encoded};
use super::table::table;
use super::time::absolute;
use crate::api::Imported;
use crate::app::onboarding::{ManufacturerView, OrderView, QueuedView};
use crate::limits::MANUFACTURER_PEM_BYTES_MAX;

/// Lines of order entries that are shown.
const ORDERS_SHOWN: u64 = 1_000;

/// Runs a verb on onboarding.
///
/// # Errors
/// What the API answered, or a file that cannot be read.
pub async fn run(session: &mut Session, verb: Onboarding) -> Result<String, Failure> {
    let path = format!("{}/onboarding", session.tenant_path().await?);
    match verb {
        Onboarding::List => {
            let lines: Vec<QueuedView> = session.get(&format!("{path}/queue")).await?;
            Ok(session.print(&lines, |lines| queue(lines)))
        }
        Onboarding::Approve { identity, name, device_type } => {
            let line = format!("{path}/queue/{}/approval", find(session, &path, &identity).await?);
            let lines: Vec<QueuedView> = session.post(&line, &json!({ "name": name, "type": device_type })).await?;
            Ok(session.print(&lines, |_| "it joins when it knocks again\n".into()))
        }
        Onboarding::Refuse { identity } => {
            let line = format!("{path}/queue/{}/refusal", find(session, &path, &identity).await?);
            let lines: Vec<QueuedView> = session.post(&line, &json!({})).await?;
            Ok(session.print(&lines, |_| "refused\n".into()))
        }
        Onboarding::Orders(Orders::List) => {
            let (orders, more) = session.list::<OrderView>(&format!("{path}/orders"), ORDERS_SHOWN).await?;
            Ok(session.print(&orders, |orders| orders_table(orders, more)))
        }
        Onboarding::Orders(Orders::Import { file }) => import(session, &path, &file).await,
        Onboarding::Orders(Orders::Remove { name }) => {
            let () = session.delete(&format!("{path}/orders/{}", encoded(&name))).await?;
            Ok(format!("removed the order entry {name}\n"))
        }
        Onboarding::Manufacturer(verb) => manufacturer(session, &path, verb).await,
        Onboarding::Voucher { file, device_type, name } => {
            let bytes = read(&file, VOUCHER_BYTES_MAX as u64)?;
            // COSE begins with a tag or an array, JSON with a brace or the base64 of one.
            let compact = bytes.first().is_some_and(|first| *first >= 0x80);
            let voucher = match compact {
                true => format!("hex:{}", to_hex(&bytes)),
                false => String::from_utf8(bytes).map_err(|_| Failure::new("the file is no voucher".to_owned()))?,
            };
            let body = json!({ "type": device_type, "name": name, "voucher": voucher });
            let order: OrderView = session.post(&format!("{path}/vouchers"), &body).await?;
            Ok(session.print(&order, |order| format!("{} may join as {}\n", order.identity, order.name)))
        }
    }
}

/// The whole identity of a line that is named by its beginning, or as people read it.
async fn find(session: &mut Session, path: &str, named: &str) -> Result<String, Failure> {
    let lines: Vec<QueuedView> = session.get(&format!("{path}/queue")).await?;
    let fits = |line: &&QueuedView| line.shown == named || (named.len() >= 6 && line.identity.starts_with(named));
    let mut fitting = lines.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(line), None) => Ok(line.identity.clone()),
        (Some(_), Some(_)) => Err(Failure::new(format!("several lines of the queue begin with {named:?}"))),
        _ => Err(Failure::new(format!("nothing in the queue is {named:?} (`bartizan onboarding list`)"))),
    }
}

async fn import(session: &mut Session, path: &str, file: &Path) -> Result<String, Failure> {
    let bytes = read(file, u64::MAX)?;
    let done: Imported = session.post_file(&format!("{path}/imports"), "text/csv", Body::from(bytes)).await?;
    Ok(session.print(&done, |done| format!("{} devices may join\n", done.imported)))
}

async fn manufacturer(session: &mut Session, path: &str, verb: Manufacturer) -> Result<String, Failure> {
    let path = format!("{path}/manufacturers");
    let known: Vec<ManufacturerView> = match verb {
        Manufacturer::List => session.get(&path).await?,
        Manufacturer::Add { name, pem } => {
            let pem = String::from_utf8(read(&pem, MANUFACTURER_PEM_BYTES_MAX as u64)?);
            let pem = pem.map_err(|_| Failure::new("the file is no PEM file".to_owned()))?;
            session.post(&path, &json!({ "name": name, "pem": pem })).await?
        }
        Manufacturer::Remove { name } => session.delete(&format!("{path}/{}", encoded(&name))).await?,
    };
    Ok(session.print(&known, |known| manufacturers(known)))
}

fn queue(lines: &[QueuedView]) -> String {
    if lines.is_empty() {
        return "nobody waits\n".into();
    }
    let row = |it: &QueuedView| {
        let state = if it.refused { "refused".into() } else { format!("{} times", it.knocks) };
        let who = it.device.clone().unwrap_or_else(|| it.manufacturer.clone());
        vec![it.identity.chars().take(12).collect(), it.shown.clone(), who, state, absolute(&it.last), it.why.clone()]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    table(&["line", "identity", "device or make", "knocked", "last", "why"], &rows)
}

fn orders_table(orders: &[OrderView], more: bool) -> String {
    if orders.is_empty() {
        return "nobody is expected (`bartizan onboarding orders import`)\n".into();
    }
    let row = |it: &OrderView| {
        let by = if it.voucher { "voucher" } else { "order" };
        let used = it.used.as_deref().map_or_else(|| "waits".into(), absolute);
        vec![it.name.clone(), it.device_type.clone(), it.identity.clone(), by.into(), used]
    };
    let rows: Vec<_> = orders.iter().map(row).collect();
    let rest = if more { "there are more\n" } else { "" };
    table(&["name", "type", "identity", "by", "joined"], &rows) + rest
}

fn manufacturers(known: &[ManufacturerView]) -> String {
    if known.is_empty() {
        return "no manufacturer is known (`bartizan onboarding manufacturer add`)\n".into();
    }
    let row =
        |it: &ManufacturerView| vec![it.name.clone(), absolute(&it.added), it.added_by.clone(), it.thumbprint.clone()];
    let rows: Vec<_> = known.iter().map(row).collect();
    table(&["manufacturer", "added", "by", "thumbprint"], &rows)
}
