//! `bartizan attest …`.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use bartizan_crypto::AWS_LC;
use bartizan_platform::import::secret::to_hex;
use bartizan_trust::result::from_base64url;
use bartizan_trust::{Evidence, Identity, evidence};
use bartizan_wire::UnixMillis;
use jiff::Timestamp;
use serde_json::json;

use super::args::{Attest, Output, PolicyArgs};
use super::error::{Failure, Status};
use super::session::Session;
use super::table::table;
use super::time::{ago, until};
use super::trusted_keys;
use crate::app::references::PolicyView;
use crate::app::results::ResultView;
use crate::app::trusted_keys::KeyRole;
use crate::app::views::{AttestationView, LayerView, VerdictView};

/// Runs a verb on attestation.
///
/// # Errors
/// What the API answered.
pub async fn run(session: &mut Session, verb: Attest) -> Result<String, Failure> {
    match verb {
        Attest::Show { device } => {
            let path = format!("{}/attestation", session.device_path(&device).await?);
            let view: AttestationView = session.get(&path).await?;
            let now = session.now;
            Ok(session.print(&view, |view| shown(&device, view, now, |at| ago(at, now))))
        }
        Attest::Identify { device, identity } => {
            let path = format!("{}/attestation-identity", session.device_path(&device).await?);
            let view: AttestationView = session.put(&path, &json!({ "identity": identity })).await?;
            Ok(session.print(&view, |_| format!("{device} can attest now\n")))
        }
        Attest::Verifier(verb) => trusted_keys::run(session, KeyRole::Verifier, verb).await,
        Attest::Result { device, cwt } => {
            let path = format!("{}/attestation/result", session.device_path(&device).await?);
            let view: ResultView = session.get(&path).await?;
            match cwt {
                None => Ok(session.print(&view, |view| format!("{}\n", view.jwt))),
                Some(file) => {
                    let bytes = from_base64url(&view.cwt).ok_or_else(|| Failure::new("the server sent no CWT"))?;
                    let told = |error| Failure::new(format!("cannot write {}: {error}", file.display()));
                    std::fs::write(&file, bytes).map_err(told)?;
                    Ok(session.print(&view, |view| {
                        format!("{device} is {} until {}: {}\n", view.tier, view.expires, file.display())
                    }))
                }
            }
        }
        Attest::Policy(args) => {
            let PolicyArgs {
                device_type,
                layers,
                verifier,
                vendor,
                model,
                unknown,
                security_floor,
                no_boot_count,
                no_rotation,
                every,
                grace,
            } = *args;
            let path = format!("{}/attestation-policy", session.type_path(&device_type).await?);
            let policy: PolicyView = if layers.is_empty() && verifier.is_none() {
                session.get(&path).await?
            } else {
                let require_boot_count = no_boot_count.then_some(false);
                let body = json!({
                    "verifier": verifier, "vendor": vendor, "model": model, "layers": layers, "unknown": unknown,
                    "security_floor": security_floor, "require_boot_count": require_boot_count,
                    "rotate_on_readmission": no_rotation.then_some(false),
                    "every_hours": every, "grace_hours": grace,
                });
                session.put(&path, &body).await?
            };
            Ok(session.print(&policy, |policy| held_to(&device_type, policy)))
        }
        Attest::Verify { .. } => unreachable!("invariant: `dispatch` handles it without a server"),
    }
}

/// `bartizan attest verify`: needs no server, and says nothing about whether the layers are good.
///
/// # Errors
/// The file cannot be read, or holds no evidence that verifies; the latter, or another identity than the expected one,
/// is a finding.
pub fn verify(file: &Path, expected: Option<&str>, output: Output) -> Result<String, Failure> {
    let found = |line: String| Failure { status: Status::Found, ..Failure::new(line) };
    let expected = match expected {
        None => None,
        Some(text) => {
            let parsed = Identity::from_hex(text);
            Some(parsed.ok_or_else(|| Failure::usage("an identity has 64 hexadecimal digits"))?)
        }
    };
    let bytes = read(file, bartizan_trust::limits::EVIDENCE_BYTES_MAX as u64)?;
    let now = UnixMillis(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0));
    let evidence = evidence::open(&AWS_LC, &bytes, &|_| None, now)
        .map_err(|error| found(format!("{}: {error}", file.display())))?;
    if let Some(expected) = expected.filter(|expected| !evidence.identity.is(expected)) {
        return Err(found(format!("signed by the identity {}, not {expected}", evidence.identity)));
    }
    Ok(match output {
        Output::Table => claims(&evidence),
        Output::Json => {
            let value = json!({
                "identity": evidence.identity.to_string(),
                "nonce": to_hex(&evidence.nonce),
                "boot_count": evidence.boot_count,
                "security_version": evidence.security_version,
                "layers": evidence.layers.iter().map(LayerView::of).collect::<Vec<_>>(),
            });
            format!("{value:#}\n")
        }
    })
}

fn claims(evidence: &Evidence) -> String {
    let mut text = format!("the signatures hold, from {} down\n", evidence.identity);
    let boots = evidence.boot_count.map_or("not counted".into(), |count| count.to_string());
    _ = writeln!(text, "  challenge  {}\n  starts     {boots}", to_hex(&evidence.nonce));
    let layers: Vec<_> = evidence.layers.iter().map(LayerView::of).collect();
    text + &layers_table(&layers)
}

fn shown(device: &str, view: &AttestationView, now: Timestamp, ago: impl Fn(&str) -> String) -> String {
    let Some(identity) = &view.identity else {
        return format!("{device} cannot attest: no identity is registered for it (`bartizan attest identify`)\n");
    };
    let when = view.at.as_deref().map_or("never".into(), &ago);
    let boots = view.boot_count.map_or("not counted".into(), |count| count.to_string());
    let mut text = format!(
        "{device} is {}\n  verdict   {when}\n  identity  {identity}\n  starts    {boots}\n",
        match view.tier.as_str() {
            "none" => "not attested yet",
            "affirming" => "attested: it runs what it should",
            "warning" => "attested, with a warning",
            _ => "not to be trusted",
        }
    );
    text += &standing_of(view, now, &ago);
    if let Some(latest) = view.verdicts.first() {
        text += &layers_table(&latest.layers);
    }
    for verdict in &view.verdicts {
        text += &line_of(verdict, &ago);
    }
    text
}

/// How young its proof is, and what is due.
fn standing_of(view: &AttestationView, now: Timestamp, ago: impl Fn(&str) -> String) -> String {
    let since = view.proof_at.as_deref().map(&ago);
    let proof = match (view.proof.as_str(), since) {
        (_, None) => "none yet".into(),
        ("current", Some(since)) if view.tier == "none" => format!("none yet; counted from {since}"),
        ("current", Some(since)) => format!("current, from {since}"),
        ("owed", Some(since)) => format!("asked for {since}, since it gave cause"),
        ("stale", Some(since)) => format!("too old since {since}"),
        ("unreachable", Some(since)) => format!("too old, and silent since {since}"),
        (_, Some(since)) => format!("evaded: it reports without evidence since {since}"),
    };
    let heartbeat = view.heartbeat_at.as_deref().map_or("never".into(), &ago);
    let mut text = format!("  proof     {proof}\n  heartbeat {heartbeat}\n");
    if let Some(due) = &view.due {
        _ = writeln!(text, "  due       {}", until(due, now));
    }
    if let Some(since) = &view.untrusted_since {
        _ = writeln!(text, "  reports   not to be trusted since {since}");
    }
    text
}

fn line_of(verdict: &VerdictView, ago: impl Fn(&str) -> String) -> String {
    let mut text = format!("\n{}, {}: {}\n", ago(&verdict.at), verdict.tier, verdict.text);
    for reason in &verdict.reasons {
        _ = writeln!(text, "  - {reason}");
    }
    text
}

fn layers_table(layers: &[LayerView]) -> String {
    let row = |layer: &LayerView| {
        vec![
            layer.component.clone().unwrap_or_default(),
            layer.version.clone().unwrap_or_default(),
            layer.security_version.map(|version| version.to_string()).unwrap_or_default(),
            layer.mode.clone(),
            layer.digests.first().map(|digest| digest.chars().take(24).collect()).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = layers.iter().map(row).collect();
    table(&["layer", "version", "security", "mode", "measures"], &rows)
}

fn held_to(device_type: &str, policy: &PolicyView) -> String {
    let or = |given: &Option<String>, otherwise: &str| given.clone().unwrap_or_else(|| otherwise.into());
    let deadline = match (policy.every_hours, policy.grace_hours.or(policy.every_hours)) {
        (Some(every), Some(grace)) => format!("every {every} h; isolated after {grace} h more of reports without it"),
        _ => "none: a device attests when it likes".into(),
    };
    if let Some(verifier) = &policy.verifier {
        return format!(
            "devices of type {device_type} bring results of the verifier {verifier}\n  deadline          {deadline}\n"
        );
    }
    format!(
        "devices of type {device_type} attest {}\n  deadline          {deadline}\n  unknown firmware  {}\n  debug mode        {}\n  recovery mode     {}\n  after a failure   {}\n",
        policy.layers.join(", then "),
        or(&policy.unknown, "warning"),
        or(&policy.debug, "contraindicated"),
        or(&policy.recovery, "warning"),
        match policy.rotate_on_readmission {
            Some(false) => "comes back with the key that it had",
            _ => "comes back with a new key",
        },
    )
}

/// A file of at most so many bytes, or standard input.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let told = |error: std::io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
    let real = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    let mut bytes = Vec::new();
    std::fs::File::open(real).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(told)?;
    if bytes.len() as u64 > most {
        return Err(Failure::new(format!("{} has more than {most} bytes", path.display())));
    }
    Ok(bytes)
}
