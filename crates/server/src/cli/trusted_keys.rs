//! `bartizan reference signer …` and `bartizan attest verifier …`: whose signatures count.

use serde_json::json;

use super::args::TrustedKey;
use super::attest::read;
use super::error::Failure;
use super::session::{Session, encoded};
use super::table::table;
use super::time::absolute;
use crate::app::trusted_keys::{KeyRole, TrustedKeyView};
use crate::limits::TRUSTED_KEY_PEM_BYTES_MAX;

/// Runs a verb on those who have a role.
///
/// # Errors
/// What the API answered, or a file that is no key.
pub async fn run(session: &mut Session, role: KeyRole, verb: TrustedKey) -> Result<String, Failure> {
    let collection = match role {
        KeyRole::Signer => "endorsers",
        KeyRole::Verifier => "verifiers",
    };
    let path = format!("{}/{collection}", session.tenant_path().await?);
    let known: Vec<TrustedKeyView> = match verb {
        TrustedKey::List => session.get(&path).await?,
        TrustedKey::Add { name, key } => {
            let pem = String::from_utf8(read(&key, TRUSTED_KEY_PEM_BYTES_MAX as u64)?);
            let pem = pem.map_err(|_| Failure::new(format!("{} is no PEM file", key.display())))?;
            session.post(&path, &json!({ "name": name, "key": pem })).await?
        }
        TrustedKey::Remove { name } => session.delete(&format!("{path}/{}", encoded(&name))).await?,
    };
    Ok(session.print(&known, |known| keys_table(role, known)))
}

fn keys_table(role: KeyRole, known: &[TrustedKeyView]) -> String {
    if known.is_empty() {
        return match role {
            KeyRole::Signer => "nobody may sign reference values (`bartizan reference signer add`)\n",
            KeyRole::Verifier => "no other verifier is believed (`bartizan attest verifier add`)\n",
        }
        .into();
    }
    let row = |it: &TrustedKeyView| {
        vec![it.name.clone(), it.algorithm.clone(), absolute(&it.added), it.added_by.clone(), it.thumbprint.clone()]
    };
    let rows: Vec<_> = known.iter().map(row).collect();
    table(&[role.name(), "key", "added", "by", "thumbprint"], &rows)
}
