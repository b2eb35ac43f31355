//! `bartizan tenant …` and `bartizan type …`.

use serde_json::json;

use super::args::{Tenant, Type};
use super::error::Failure;
use super::session::{Session, encoded};
use super::table::{facts, table};
use super::time::{absolute, ago};
use crate::app::views::{Page, Summary, TenantView, TypeView};

/// Most tenants that one call prints.
const TENANTS_MAX: u64 = 10_000;

/// Runs a verb on tenants.
///
/// # Errors
/// What the API answered.
pub async fn run(session: &mut Session, verb: Tenant) -> Result<String, Failure> {
    match verb {
        Tenant::Add { name, upstream } => add(session, &name, &upstream).await,
        Tenant::List => list(session).await,
        Tenant::Show { name } => show(session, &name).await,
        Tenant::Set { name, upstream } => set(session, &name, &upstream).await,
    }
}

/// Runs a verb on device types.
///
/// # Errors
/// What the API answered.
pub async fn run_type(session: &mut Session, verb: Type) -> Result<String, Failure> {
    let path = format!("{}/types", session.tenant_path().await?);
    match verb {
        Type::Add { name } => {
            let added: TypeView = session.post(&path, &json!({ "name": name })).await?;
            Ok(session.print(&added, |added| format!("added type {}\n", added.name)))
        }
        Type::List => {
            let page: Page<TypeView> = session.get(&path).await?;
            Ok(session.print(&page.items, |types| type_table(types)))
        }
    }
}

async fn add(session: &mut Session, name: &str, upstream: &str) -> Result<String, Failure> {
    let body = json!({ "name": name, "upstream": absolute_log(upstream) });
    let added: TenantView = session.post("/tenants", &body).await?;
    Ok(session.print(&added, |added| format!("added tenant {}; its messages go to {}\n", added.name, added.upstream)))
}

async fn set(session: &mut Session, name: &str, upstream: &str) -> Result<String, Failure> {
    let path = format!("/tenants/{}", encoded(name));
    let body = json!({ "upstream": absolute_log(upstream) });
    let changed: TenantView = session.patch(&path, &body).await?;
    Ok(session
        .print(&changed, |changed| format!("messages of {} go to {} from now on\n", changed.name, changed.upstream)))
}

/// A log's path is meant from where it was typed, but the server runs elsewhere.
fn absolute_log(upstream: &str) -> String {
    let Some(path) = upstream.strip_prefix("log:") else {
        return upstream.to_owned();
    };
    let absolute = std::path::absolute(path).ok();
    let text = absolute.as_deref().and_then(std::path::Path::to_str);
    format!("log:{}", text.unwrap_or(path))
}

async fn list(session: &mut Session) -> Result<String, Failure> {
    let (tenants, _) = session.list::<TenantView>("/tenants", TENANTS_MAX).await?;
    let now = session.now;
    Ok(session.print(&tenants, |tenants| {
        if tenants.is_empty() {
            return "no tenants; `bartizan tenant add NAME --upstream log:FILE` makes one\n".into();
        }
        let row =
            |it: &TenantView| vec![it.name.clone(), it.devices.to_string(), ago(&it.created, now), it.upstream.clone()];
        let rows: Vec<_> = tenants.iter().map(row).collect();
        table(&["name", "devices", "added", "upstream"], &rows)
    }))
}

async fn show(session: &mut Session, name: &str) -> Result<String, Failure> {
    let path = format!("/tenants/{}", encoded(name));
    let tenant: TenantView = session.get(&path).await?;
    let summary: Summary = session.get(&format!("{path}/summary")).await?;
    let both = json!({ "tenant": tenant, "summary": summary });
    Ok(session.print(&both, |_| {
        let pairs = [
            ("Upstream", tenant.upstream.clone()),
            ("Added", absolute(&tenant.created)),
            ("Devices", fleet(&summary)),
            ("Behaviour", behaviour(&summary)),
            ("Isolated", summary.isolated.to_string()),
            ("Limited", summary.limited.to_string()),
            ("Messages", messages(&summary)),
            ("Findings", summary.findings_total.to_string()),
            ("Brake", brake(&summary)),
        ];
        format!("{}\n{}", tenant.name, facts(&pairs, 100))
    }))
}

fn fleet(summary: &Summary) -> String {
    format!("{}, of which {} have spoken and {} are connected", summary.devices, summary.active, summary.sessions)
}

fn behaviour(summary: &Summary) -> String {
    format!("{} normal, {} suspicious, {} abnormal", summary.normal, summary.suspicious, summary.abnormal)
}

fn messages(summary: &Summary) -> String {
    format!(
        "{:.1} a second; {} passed and {} refused since the server started",
        summary.messages_per_s, summary.messages_total, summary.refused_total
    )
}

fn brake(summary: &Summary) -> String {
    let brake = &summary.brake;
    if brake.engaged {
        return format!(
            "ENGAGED: machines have isolated {} devices and may isolate no more; {} were limited instead. Look at them.",
            brake.used, brake.spared
        );
    }
    format!("off; machines have isolated {} of the {} devices that they may in an hour", brake.used, brake.budget)
}

fn type_table(types: &[TypeView]) -> String {
    if types.is_empty() {
        return "no device types; `bartizan type add TYPE` makes one\n".into();
    }
    let row = |it: &TypeView| vec![it.name.clone(), it.devices.to_string()];
    let rows: Vec<_> = types.iter().map(row).collect();
    table(&["type", "devices"], &rows)
}
