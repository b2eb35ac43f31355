//! `bartizan command …`.

use serde_json::json;

use super::args::Command;
use super::error::Failure;
use super::session::Session;
use super::table::table;
use super::time::{absolute, ago};
use crate::app::views::CommandView;

/// Commands that one call prints.
const SHOWN: u64 = 50;

/// Runs a verb on commands.
///
/// # Errors
/// What the API answered.
pub async fn run(session: &mut Session, verb: Command) -> Result<String, Failure> {
    match verb {
        Command::Send { device, method, path, payload, content_format, expires } => {
            let list = format!("{}/commands", session.device_path(&device).await?);
            let body = json!({
                "method": method, "path": path, "payload": payload,
                "content_format": content_format, "expires_in_s": expires,
            });
            let sent: CommandView = session.post(&list, &body).await?;
            Ok(session.print(&sent, |sent| told(sent, &device)))
        }
        Command::List { device } => {
            let list = format!("{}/commands", session.device_path(&device).await?);
            let (commands, _) = session.list::<CommandView>(&list, SHOWN).await?;
            let now = session.now;
            Ok(session.print(&commands, |commands| {
                if commands.is_empty() {
                    return "no commands\n".into();
                }
                let row = |it: &CommandView| {
                    vec![
                        it.id.to_string(),
                        it.state.clone(),
                        ago(&it.created, now),
                        absolute(&it.expires),
                        it.issuer.clone(),
                        it.method.clone(),
                        it.path.clone(),
                        it.detail.clone().unwrap_or_default(),
                    ]
                };
                let rows: Vec<_> = commands.iter().map(row).collect();
                let heads = ["no", "state", "made", "expires", "by", "method", "path", "detail"];
                table(&heads, &rows)
            }))
        }
    }
}

fn told(sent: &CommandView, device: &str) -> String {
    let until = absolute(&sent.expires);
    match sent.state.as_str() {
        "held" => format!("command {} is held until a person allows it\n", sent.id),
        "queued" => format!("command {} waits until {device} next speaks, until {until} at most\n", sent.id),
        state => format!("command {} is {state}\n", sent.id),
    }
}
