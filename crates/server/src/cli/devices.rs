//! `bartizan device …`.

use std::io::Read;
use std::path::Path;

use axum::body::Body;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::args::{Device, DeviceList};
use super::error::{Failure, Status};
use super::explain;
use super::session::{Session, encoded};
use super::table::table;
use super::time::ago;
use crate::app::views::{DeviceView, FindingView, NewDeviceView, TimelineEntry};

/// Entries of the timeline that `device show` looks through and prints.
const TIMELINE_READ: u64 = 100;

/// Runs a verb on devices.
///
/// # Errors
/// What the API answered.
pub async fn run(session: &mut Session, verb: Device) -> Result<String, Failure> {
    match verb {
        Device::Add { name, device_type, identity, psk_file, endpoint } => {
            let psk = psk_file.as_deref().map(read_hex).transpose()?;
            let body = json!({
                "name": name, "type": device_type, "identity": identity, "psk": psk, "endpoint": endpoint,
            });
            add(session, &body).await
        }
        Device::Import { file } => import(session, &file).await,
        Device::List(args) => list(session, args).await,
        Device::Show { device } => show(session, &device).await,
        Device::RotateKey { device, over_the_air: true, within } => ask_for_key(session, &device, within).await,
        Device::RotateKey { device, .. } => rotate_key(session, &device).await,
        Device::Isolate { device, reason, block } => {
            let body = json!({ "reason": reason, "block": block });
            decide(session, &device, "isolations", &body).await
        }
        Device::Release { device, reason } => decide(session, &device, "releases", &json!({ "reason": reason })).await,
        Device::Retire { device, reason } => {
            decide(session, &device, "retirements", &json!({ "reason": reason })).await
        }
    }
}

async fn add(session: &mut Session, body: &Value) -> Result<String, Failure> {
    let path = format!("{}/devices", session.tenant_path().await?);
    let added: NewDeviceView = session.post(&path, body).await?;
    Ok(session.print(&added, |added| {
        format!(
            "added device {} (number {})\n  identity  {}\n  key       {}\nThe key is not shown again: put it into the device now.\n",
            added.device.name, added.device.id, added.device.identity, added.psk
        )
    }))
}

#[derive(Serialize, Deserialize)]
struct Imported {
    imported: u64,
}

async fn import(session: &mut Session, file: &Path) -> Result<String, Failure> {
    let path = format!("{}/imports", session.tenant_path().await?);
    let body = file_body(file).await?;
    let imported: Imported = session.post_file(&path, "text/csv", body).await?;
    Ok(session.print(&imported, |it| format!("imported {} devices\n", it.imported)))
}

/// The file as a body that is read as it is sent.
async fn file_body(path: &Path) -> Result<Body, Failure> {
    let told = |error: std::io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
    let real = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    let mut file = tokio::fs::File::open(real).await.map_err(told)?;
    let (chunks, body) = mpsc::channel(crate::limits::IMPORT_CHUNKS_MAX);
    tokio::spawn(async move {
        loop {
            let mut chunk = Vec::with_capacity(64 * 1024);
            let sent = match file.read_buf(&mut chunk).await {
                Ok(0) => return,
                Ok(_) => chunks.send(Ok(chunk)).await,
                Err(error) => chunks.send(Err(error)).await,
            };
            if sent.is_err() {
                return;
            }
        }
    });
    Ok(Body::from_stream(ReceiverStream::new(body)))
}

async fn list(session: &mut Session, args: DeviceList) -> Result<String, Failure> {
    let filters = [
        ("q", args.q),
        ("type", args.device_type),
        ("grade", args.grade),
        ("access", args.access),
        ("lifecycle", args.lifecycle),
    ];
    let query: Vec<String> =
        filters.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?)))).collect();
    let path = format!("{}/devices?{}", session.tenant_path().await?, query.join("&"));
    let (devices, more) = session.list::<DeviceView>(path.trim_end_matches('?'), args.limit).await?;
    let now = session.now;
    Ok(session.print(&devices, |devices| {
        if devices.is_empty() {
            return "no devices\n".into();
        }
        let row = |it: &DeviceView| {
            let seen = it.last_seen.as_deref().map_or("never".into(), |at| ago(at, now));
            vec![
                it.id.to_string(),
                it.name.clone(),
                it.device_type.clone(),
                it.lifecycle.clone(),
                it.grade.clone(),
                it.access.clone(),
                seen,
                it.messages.to_string(),
            ]
        };
        let rows: Vec<_> = devices.iter().map(row).collect();
        let heads = ["no", "name", "type", "life", "grade", "access", "last seen", "messages"];
        let note = if more { "… and more: --limit, or filters, show the rest\n" } else { "" };
        format!("{}{note}", table(&heads, &rows))
    }))
}

async fn show(session: &mut Session, device: &str) -> Result<String, Failure> {
    let path = session.device_path(device).await?;
    let view: DeviceView = session.get(&path).await?;
    let (timeline, _) = session.list::<TimelineEntry>(&format!("{path}/timeline"), TIMELINE_READ).await?;
    let findings: Vec<&FindingView> = timeline.iter().filter_map(|entry| entry.finding.as_ref()).collect();
    let all = json!({ "device": view, "findings": findings, "timeline": timeline });
    let now = session.now;
    Ok(session.print(&all, |_| explain::device(&view, &findings, &timeline, now)))
}

async fn rotate_key(session: &mut Session, device: &str) -> Result<String, Failure> {
    let path = format!("{}/keys", session.device_path(device).await?);
    let key: Value = session.post(&path, &json!({})).await?;
    Ok(session.print(&key, |key| {
        format!(
            "{device} has a new key; its session was closed\n  key  {}\nThe key is not shown again: put it into the device now.\n",
            key["psk"].as_str().unwrap_or_default()
        )
    }))
}

async fn ask_for_key(session: &mut Session, device: &str, hours: u32) -> Result<String, Failure> {
    let path = format!("{}/key-requests", session.device_path(device).await?);
    let view: DeviceView = session.post(&path, &json!({ "hours": hours })).await?;
    Ok(session.print(&view, |view| {
        format!(
            "{} is asked to take a new key within {hours} h\nUntil it has connected with it, the one that it has stays good.\n",
            view.name
        )
    }))
}

async fn decide(session: &mut Session, device: &str, decision: &str, body: &Value) -> Result<String, Failure> {
    let path = format!("{}/{decision}", session.device_path(device).await?);
    let view: DeviceView = session.post(&path, body).await?;
    Ok(session.print(&view, |view| {
        let done = match decision {
            "isolations" => "is isolated",
            "releases" => "was released",
            _ => "is retired",
        };
        let access = explain::access(&view.access);
        format!("{} {done}\n  access  {access}\n  why     {}\n", view.name, view.explanation)
    }))
}

/// A key in hex from a file that nobody else may read, or from standard input.
fn read_hex(path: &Path) -> Result<String, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = zeroize::Zeroizing::new(Vec::new());
        let limit = crate::limits::CONFIG_FILE_BYTES_MAX;
        std::io::stdin()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
        bytes
    } else {
        crate::data_dir::read_secret(path)?
    };
    let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    let hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hex {
        let line = format!("{} holds no key in hex", path.display());
        return Err(Failure { status: Status::Usage, ..Failure::new(line) });
    }
    Ok(text.to_owned())
}
