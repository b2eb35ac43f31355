//! `bartizan reference …`.

use std::fmt::Write as _;
use std::path::Path;

use axum::body::Body;
use bartizan_crypto::AWS_LC;
use bartizan_platform::import::secret::to_hex;
use bartizan_trust::limits::CORIM_BYTES_MAX;
use serde_json::{Value, json};

use super::args::{Reference, Rehearsal};
use super::attest::read;
use super::error::Failure;
use super::session::{Session, encoded};
use super::table::table;
use super::time::absolute;
use super::trusted_keys;
use crate::app::changes::{ChangeView, FloorView, ManifestView};
use crate::app::trials::{TrialDeviceView, TrialView};
use crate::app::trusted_keys::KeyRole;
use crate::app::views::ReferenceView;
use crate::limits::{FIRMWARE_BYTES_MAX, PAGE_ITEMS_MAX};

const SIGNED_CORIM: &str = "application/rim+cose";

/// Runs a verb on reference values.
///
/// # Errors
/// What the API answered, or a file that cannot be read.
pub async fn run(session: &mut Session, verb: Reference) -> Result<String, Failure> {
    match verb {
        Reference::List { device_type } => list(session, &device_type).await,
        Reference::Add { device_type, component, version, security_version, digest, image } => {
            let digest = match (digest, image) {
                (Some(digest), _) => digest,
                (None, Some(image)) => to_hex(&(AWS_LC.sha512)(&[&read(&image, FIRMWARE_BYTES_MAX)?])),
                (None, None) => return Err(Failure::usage("give --digest or --image")),
            };
            let path = format!("{}/reference-values", session.type_path(&device_type).await?);
            let body = json!({
                "component": component, "version": version, "security_version": security_version, "digest": digest,
            });
            let known: Vec<ReferenceView> = session.post(&path, &body).await?;
            Ok(session.print(&known, |known| references(&device_type, known)))
        }
        Reference::Import { file, rehearsal } => import(session, &file, &rehearsal).await,
        Reference::Signer(verb) => trusted_keys::run(session, KeyRole::Signer, verb).await,
        Reference::Forbid { device_type, component, version, rehearsal } => {
            let change = status(&device_type, &component, &version, "forbidden", None);
            change_status(session, &device_type, &change, &rehearsal).await
        }
        Reference::Deprecate { device_type, component, version, until, rehearsal } => {
            let change = status(&device_type, &component, &version, "deprecated", Some(&until));
            change_status(session, &device_type, &change, &rehearsal).await
        }
        Reference::Allow { device_type, component, version } => {
            let change = status(&device_type, &component, &version, "allowed", None);
            change_status(session, &device_type, &change, &Rehearsal::default()).await
        }
        Reference::Floor { device_type, security_version: None, .. } => {
            let path = format!("{}/security-floor", session.type_path(&device_type).await?);
            let floor: FloorView = session.get(&path).await?;
            Ok(session.print(&floor, |floor| floor_of(&device_type, floor.security_version)))
        }
        Reference::Floor { device_type, security_version: Some(least), rehearsal } => {
            let change = json!({ "change": "floor", "type": device_type, "security_version": least });
            if rehearsal.dry_run {
                return try_change(session, &change, &rehearsal).await;
            }
            let made = make_change(session, &change).await?;
            Ok(session.print(&made, |_| floor_of(&device_type, Some(least))))
        }
        Reference::Revoke { tag, rehearsal } => {
            let change = json!({ "change": "revocation", "tag": tag });
            if rehearsal.dry_run {
                return try_change(session, &change, &rehearsal).await;
            }
            let made = make_change(session, &change).await?;
            Ok(session.print(&made, |made| {
                format!("took back {} of tag {tag}; it cannot be imported again\n", values(made.values))
            }))
        }
    }
}

async fn list(session: &mut Session, device_type: &str) -> Result<String, Failure> {
    let path = format!("{}/reference-values", session.type_path(device_type).await?);
    let known: Vec<ReferenceView> = session.get(&path).await?;
    Ok(session.print(&known, |known| references(device_type, known)))
}

async fn import(session: &mut Session, file: &Path, rehearsal: &Rehearsal) -> Result<String, Failure> {
    let bytes = axum::body::Bytes::from(read(file, CORIM_BYTES_MAX as u64)?);
    let tenant = session.tenant_path().await?;
    if rehearsal.dry_run {
        let path = format!("{tenant}/reference-manifest-trials");
        let body = Sent::Manifest(bytes);
        let trial = rehearse(session, &path, &body, rehearsal.limit).await?;
        return Ok(session.print(&trial, tried));
    }
    let path = format!("{tenant}/reference-manifests");
    let view: ManifestView = session.post_file(&path, SIGNED_CORIM, Body::from(bytes)).await?;
    Ok(session.print(&view, |view| brought(view, "imported")))
}

fn status(device_type: &str, component: &str, version: &str, status: &str, until: Option<&str>) -> Value {
    json!({
        "change": "status", "type": device_type, "component": component, "version": version,
        "status": status, "until": until,
    })
}

async fn change_status(
    session: &mut Session,
    device_type: &str,
    change: &Value,
    rehearsal: &Rehearsal,
) -> Result<String, Failure> {
    if rehearsal.dry_run {
        return try_change(session, change, rehearsal).await;
    }
    make_change(session, change).await?;
    list(session, device_type).await
}

async fn make_change(session: &mut Session, change: &Value) -> Result<ChangeView, Failure> {
    let path = format!("{}/reference-changes", session.tenant_path().await?);
    session.post(&path, change).await
}

async fn try_change(session: &mut Session, change: &Value, rehearsal: &Rehearsal) -> Result<String, Failure> {
    let path = format!("{}/reference-change-trials", session.tenant_path().await?);
    let trial = rehearse(session, &path, &Sent::Change(change), rehearsal.limit).await?;
    Ok(session.print(&trial, tried))
}

/// What a dry run sends, once for each page.
enum Sent<'a> {
    Manifest(axum::body::Bytes),
    Change(&'a Value),
}

/// All pages of a dry run as one, up to so many devices.
async fn rehearse(session: &mut Session, path: &str, sent: &Sent<'_>, most: u64) -> Result<TrialView, Failure> {
    let mut whole: Option<TrialView> = None;
    loop {
        let looked_at = whole.as_ref().map_or(0, |whole| whole.looked_at);
        let limit = most.saturating_sub(looked_at).clamp(1, u64::from(PAGE_ITEMS_MAX));
        let cursor = whole.as_ref().and_then(|whole| whole.next_cursor.as_deref());
        let from = cursor.map_or(String::new(), |cursor| format!("&cursor={}", encoded(cursor)));
        let page = format!("{path}?limit={limit}{from}");
        let page: TrialView = match sent {
            Sent::Manifest(bytes) => session.post_file(&page, SIGNED_CORIM, Body::from(bytes.clone())).await?,
            Sent::Change(change) => session.post(&page, change).await?,
        };
        let whole = match &mut whole {
            None => whole.insert(page),
            Some(whole) => {
                whole.looked_at += page.looked_at;
                whole.not_judged += page.not_judged;
                whole.devices.extend(page.devices);
                whole.next_cursor = page.next_cursor;
                whole
            }
        };
        if whole.next_cursor.is_none() || whole.looked_at >= most {
            return Ok(whole.clone());
        }
    }
}

/// A dry run in words.
fn tried(trial: &TrialView) -> String {
    let mut text = trial.manifest.as_ref().map_or(String::new(), |view| brought(view, "would import"));
    if trial.types.is_empty() {
        return text + "it concerns no device type; nothing was changed\n";
    }
    let row = |device: &TrialDeviceView| {
        let reason = device.reasons.first().cloned().unwrap_or_default();
        vec![device.name.clone(), device.device_type.clone(), device.present.clone(), device.tier.clone(), reason]
    };
    let rows: Vec<_> = trial.devices.iter().map(row).collect();
    if !rows.is_empty() {
        text += &table(&["device", "type", "now", "then", "because"], &rows);
    }
    let tier = |tier: &str| trial.devices.iter().filter(|device| device.tier == tier).count();
    let worse = trial.devices.iter().filter(|device| device.present != device.tier).count();
    _ = writeln!(
        text,
        "of {} devices {} would fail and {} would be warned, {worse} of them otherwise than now; {} have no evidence \
         to judge",
        trial.looked_at,
        tier("contraindicated"),
        tier("warning"),
        trial.not_judged,
    );
    if trial.next_cursor.is_some() {
        text += "there are more devices: raise --limit\n";
    }
    text + "nothing was changed\n"
}

fn brought(view: &ManifestView, verb: &str) -> String {
    let ManifestView { manifest, signer, .. } = view;
    let mut text = format!("{verb} {} of {manifest}, signed by {signer}\n", values(view.values));
    for tag in &view.tags {
        _ = writeln!(text, "  tag {} version {}: {}", tag.tag, tag.version, values(tag.values));
    }
    for class in &view.unclaimed {
        _ = writeln!(text, "  no policy is for {class:?}: its values vouch for no device yet");
    }
    text
}

fn values(count: u64) -> String {
    if count == 1 { "1 reference value".into() } else { format!("{count} reference values") }
}

fn floor_of(device_type: &str, floor: Option<u64>) -> String {
    match floor {
        Some(floor) => format!("devices of type {device_type} run security version {floor} or later, or fail\n"),
        None => format!("no least security version is set for {device_type}\n"),
    }
}

fn references(device_type: &str, known: &[ReferenceView]) -> String {
    if known.is_empty() {
        return format!("no reference values for {device_type}\n");
    }
    let row = |it: &ReferenceView| {
        let until = it.until.as_deref().map(|end| format!("{} until {}", it.status, absolute(end)));
        vec![
            it.component.clone(),
            it.version.clone().unwrap_or_default(),
            it.security_version.clone().unwrap_or_default(),
            until.unwrap_or_else(|| it.status.clone()),
            it.source.clone(),
            it.digests.first().map(|digest| digest.chars().take(24).collect()).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = known.iter().map(row).collect();
    table(&["layer", "version", "security", "status", "says who", "measures"], &rows)
}
