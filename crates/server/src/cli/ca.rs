//! `bartizan ca …`: roots in files, authorities of tenants on the server.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::attest::read;
use super::error::Failure;
use super::root::{self, Passphrase};
use super::session::Session;
use super::table::table;
use super::time::absolute;
use crate::app::authorities::AuthorityView;
use crate::ca::{hierarchy, pem};
use crate::data_dir::write_new;
use crate::limits::AUTHORITIES_PEM_BYTES_MAX;

/// Days that an issuing authority is valid, unless told otherwise: three years.
const ISSUING_DAYS: u32 = 1095;

#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Make a root: a key and a certificate in a folder. Needs no server
    ///
    /// The folder belongs on a machine that is not connected, or into a safe. The root signs issuing authorities, about
    /// once in three years, and nothing else.
    Root {
        /// Folder to make
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// What it is called
        #[arg(long, default_value = "Bartizan root CA")]
        name: String,
        /// For how many years it is valid
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=50))]
        years: u32,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Make an issuing authority for the tenant on the server, and print what a root has to sign
    ///
    /// Its key lies sealed in the server's database and never leaves it.
    Request {
        /// File to write the request to [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Sign the request of an issuing authority with a root. Needs no server
    Sign {
        /// What `ca request` wrote
        #[arg(value_name = "FILE")]
        request: PathBuf,
        #[command(flatten)]
        root: RootDir,
        /// For how many days the authority is valid
        #[arg(long, default_value_t = ISSUING_DAYS, value_parser = clap::value_parser!(u32).range(1..=9130))]
        days: u32,
        /// File to write the authority's certificate and the root's to [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Install what `ca sign` wrote: the authority issues from then on
    ///
    /// An older authority of the tenant stays believed until its end: devices change when they renew.
    Install {
        /// The authority's certificate and its root's, in PEM
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show the tenant's authorities
    Show,
    /// Request, sign and install in one step, with a root that is at hand; it is made if there is none
    Setup {
        #[command(flatten)]
        root: RootDir,
        /// For how many days the authority is valid
        #[arg(long, default_value_t = ISSUING_DAYS, value_parser = clap::value_parser!(u32).range(1..=9130))]
        days: u32,
    },
    /// Certify another root with this one, so that whoever trusts only this one believes that one, too
    ///
    /// When a root is renewed: old with new, and new with old. `ca publish` gives both to devices. Needs no server.
    CrossSign {
        /// Certificate of the other root
        #[arg(value_name = "FILE")]
        other: PathBuf,
        #[command(flatten)]
        root: RootDir,
        /// File to write the certificate to [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Give the tenant's devices further roots, or cross-signed ones
    Publish {
        /// Certificates in PEM
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Believe nothing that an authority issued, at once and for good
    ///
    /// For a key that somebody else may have. The devices that it certified cannot come back with their certificates.
    Distrust {
        /// Its number, as `ca show` says
        #[arg(value_name = "NUMBER")]
        number: u64,
    },
}

/// Where the root is, and how its key is opened.
#[derive(Debug, Args)]
pub struct RootDir {
    /// Folder that `ca root` made
    #[arg(long = "root", value_name = "DIR")]
    pub folder: PathBuf,
    #[command(flatten)]
    pub passphrase: Passphrase,
}

impl Ca {
    /// Whether it works on files alone.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        matches!(self, Self::Root { .. } | Self::Sign { .. } | Self::CrossSign { .. })
    }
}

/// The verbs that need no server.
///
/// # Errors
/// A file that cannot be read or written, or is not what it should be.
pub fn offline(verb: &Ca) -> Result<String, Failure> {
    match verb {
        Ca::Root { out, name, years, passphrase } => {
            root::make(out, name, *years, passphrase)?;
            Ok(format!("made a root in {}\n{}", out.display(), root::advice(passphrase)))
        }
        Ca::Sign { request, root, days, out } => {
            let text = text(&read(request, AUTHORITIES_PEM_BYTES_MAX as u64)?)?;
            deliver(&sign(&text, root, *days)?, out.as_deref())
        }
        Ca::CrossSign { other, root, out } => {
            let other = root::certificate(other)?;
            let root = root::open(&root.folder, &root.passphrase)?;
            let crossed = hierarchy::cross_sign(&root, &other, &root::serial()).map_err(told)?;
            deliver(&pem("CERTIFICATE", &crossed), out.as_deref())
        }
        _ => unreachable!("invariant: `is_offline` holds for these"),
    }
}

/// The verbs that ask the server.
///
/// # Errors
/// What the API answered, or a file that cannot be read.
pub async fn run(session: &mut Session, verb: Ca) -> Result<String, Failure> {
    let authorities = format!("{}/authorities", session.tenant_path().await?);
    match verb {
        Ca::Request { out } => {
            let view: AuthorityView = session.post(&authorities, &json!({})).await?;
            deliver(&view.request, out.as_deref())
        }
        Ca::Install { file } => {
            let text = text(&read(&file, AUTHORITIES_PEM_BYTES_MAX as u64)?)?;
            install(session, &authorities, &text).await
        }
        Ca::Setup { root, days } => {
            if !root.folder.exists() {
                root::make(&root.folder, "Bartizan root CA", 20, &root.passphrase)?;
            }
            let view: AuthorityView = session.post(&authorities, &json!({})).await?;
            let signed = sign(&view.request, &root, days)?;
            let installed = install(session, &authorities, &signed).await?;
            Ok(installed + root::advice(&root.passphrase))
        }
        Ca::Publish { file } => {
            let certificates = text(&read(&file, AUTHORITIES_PEM_BYTES_MAX as u64)?)?;
            let body = json!({ "certificates": certificates });
            let all: Vec<AuthorityView> = session.post(&format!("{authorities}/roots"), &body).await?;
            Ok(session.print(&all, |_| "devices get these certificates from now on\n".into()))
        }
        Ca::Distrust { number } => {
            let path = format!("{authorities}/{number}/distrust");
            let all: Vec<AuthorityView> = session.post(&path, &json!({})).await?;
            Ok(session.print(&all, |_| format!("nothing that authority {number} issued is believed any more\n")))
        }
        Ca::Show => {
            let all: Vec<AuthorityView> = session.get(&authorities).await?;
            Ok(session.print(&all, |all| shown(all)))
        }
        Ca::Root { .. } | Ca::Sign { .. } | Ca::CrossSign { .. } => {
            unreachable!("invariant: `dispatch` handles these without a server")
        }
    }
}

async fn install(session: &mut Session, authorities: &str, certificates: &str) -> Result<String, Failure> {
    let body = json!({ "certificates": certificates });
    let view: AuthorityView = session.post(&format!("{authorities}/install"), &body).await?;
    Ok(session.print(&view, |view| {
        let until = view.not_after.as_deref().map(absolute).unwrap_or_default();
        format!("authority {} is installed, and issues until {until}\n", view.number)
    }))
}

/// The authority's certificate and the root's.
fn sign(request: &str, root: &RootDir, days: u32) -> Result<String, Failure> {
    let request = root::request(request)?;
    let root = root::open(&root.folder, &root.passphrase)?;
    let signed = hierarchy::sign(&root, &request, &root::serial(), root::days(days)).map_err(told)?;
    Ok(pem("CERTIFICATE", &signed) + &pem("CERTIFICATE", root.certificate()))
}

fn shown(all: &[AuthorityView]) -> String {
    if all.is_empty() {
        return "there is no authority; make one with `bartizan ca setup`\n".into();
    }
    let day = |at: &Option<String>| at.as_deref().map_or("-".into(), absolute);
    let row = |view: &AuthorityView| {
        vec![view.number.to_string(), view.state.clone(), day(&view.not_before), day(&view.not_after)]
    };
    table(&["number", "state", "from", "until"], &all.iter().map(row).collect::<Vec<_>>())
}

/// Prints it, or writes it to a file that is not there yet.
fn deliver(text: &str, out: Option<&Path>) -> Result<String, Failure> {
    let Some(file) = out else { return Ok(text.to_owned()) };
    write_new(file, text.as_bytes(), 0o644)?;
    Ok(format!("wrote {}\n", file.display()))
}

fn text(bytes: &[u8]) -> Result<String, Failure> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Failure::new("the file is not PEM"))
}

fn told(error: crate::ca::Error) -> Failure {
    Failure::new(error.to_string())
}
