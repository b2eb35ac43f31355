//! `bartizan certificate …`.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::error::Failure;
use super::session::{Session, encoded};
use super::table::{facts, table};
use super::time::absolute;
use crate::app::certificates::{CertificateView, Reason};
use crate::app::enrolment::EnrolmentSecret;
use crate::limits::ENROLMENT_SECRET_HOURS_MAX;

#[derive(Debug, Subcommand)]
pub enum Certificate {
    /// List certificates, the newest first
    List {
        /// Only those of this device: its name, or its number
        #[arg(long)]
        device: Option<String>,
        /// Only those in use that end within so many days
        #[arg(long, value_name = "DAYS")]
        expiring: Option<u32>,
        /// Only those that were taken back
        #[arg(long)]
        revoked: bool,
        /// How many to list at most
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Show a certificate
    Show {
        /// Its serial number
        #[arg(value_name = "SERIAL")]
        serial: String,
    },
    /// Take a certificate back, at once and for good; the device's association ends
    Revoke {
        /// Its serial number
        #[arg(value_name = "SERIAL")]
        serial: String,
        /// Why
        #[arg(long, value_enum, default_value_t = Reason::Unspecified)]
        reason: Reason,
    },
    /// Make the secret with which a device asks for its first certificate (EST). It works once
    Token {
        /// The device's name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
        /// For how many hours it is good
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=i64::from(ENROLMENT_SECRET_HOURS_MAX)))]
        hours: u32,
    },
}

/// Runs a verb on certificates.
///
/// # Errors
/// What the API answered.
pub async fn run(session: &mut Session, verb: Certificate) -> Result<String, Failure> {
    let tenant = session.tenant_path().await?;
    match verb {
        Certificate::List { device, expiring, revoked, limit } => {
            let filters = [
                device.map(|device| format!("device={}", encoded(&device))),
                expiring.map(|days| format!("expiring_days={days}")),
                revoked.then(|| "revoked=true".into()),
            ];
            let filters: Vec<String> = filters.into_iter().flatten().collect();
            let path = format!("{tenant}/certificates?{}", filters.join("&"));
            let path = path.trim_end_matches('?');
            let (all, more) = session.list::<CertificateView>(path, limit).await?;
            Ok(session.print(&all, |all| listed(all, more)))
        }
        Certificate::Show { serial } => {
            let view: CertificateView = session.get(&format!("{tenant}/certificates/{}", encoded(&serial))).await?;
            Ok(session.print(&view, shown))
        }
        Certificate::Revoke { serial, reason } => {
            let path = format!("{tenant}/certificates/{}/revoke", encoded(&serial));
            let view: CertificateView = session.post(&path, &json!({ "reason": reason })).await?;
            Ok(session.print(&view, |view| {
                let said = reason.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
                format!("took back the certificate of {} ({said})\n", view.device)
            }))
        }
        Certificate::Token { device, hours } => {
            let path = format!("{}/enrolment-secret", session.device_path(&device).await?);
            let secret: EnrolmentSecret = session.post(&path, &json!({ "hours": hours })).await?;
            Ok(session.print(&secret, |secret| {
                let pairs = [
                    ("user", secret.user.clone()),
                    ("password", secret.password.clone()),
                    ("good until", absolute(&secret.expires)),
                ];
                facts(&pairs, 100) + "It works once, and is not shown again.\n"
            }))
        }
    }
}

fn listed(all: &[CertificateView], more: bool) -> String {
    let row = |view: &CertificateView| {
        vec![view.serial.clone(), view.device.clone(), view.state.clone(), absolute(&view.not_after), view.how.clone()]
    };
    let text = table(&["serial", "device", "state", "until", "how"], &all.iter().map(row).collect::<Vec<_>>());
    if more { text + "there are more; raise --limit\n" } else { text }
}

fn shown(view: &CertificateView) -> String {
    let mut pairs = vec![
        ("serial", view.serial.clone()),
        ("device", view.device.clone()),
        ("state", view.state.clone()),
        ("from", absolute(&view.not_before)),
        ("until", absolute(&view.not_after)),
        ("how", view.how.clone()),
    ];
    if let (Some(at), Some(reason)) = (&view.revoked, &view.reason) {
        pairs.push(("taken back", format!("{}: {reason}", absolute(at))));
    }
    facts(&pairs, 100) + view.certificate.as_deref().unwrap_or_default()
}
