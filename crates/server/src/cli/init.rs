//! `bartizan init` and `bartizan restore`: from nothing, or from a backup, to a data directory.

use std::path::Path;

use zeroize::Zeroizing;

use super::args::{Init, Restore};
use super::error::Failure;
use super::open;
use crate::app::App;
use crate::ca::installation;
use crate::clock::Clock;
use crate::config;
use crate::data_dir::{self, DataDir, write_new};
use crate::ops::backup;

const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Makes a data directory.
///
/// # Errors
/// One line; an existing installation is never touched.
pub async fn init(dir: &DataDir, args: &Init) -> Result<String, Failure> {
    make(dir, &args.operator, &args.hosts).await?;
    Ok(made(dir))
}

/// The same without a word.
///
/// # Errors
/// As [`init`].
pub async fn make(dir: &DataDir, operator: &str, hosts: &[String]) -> Result<(), Failure> {
    refuse_to_overwrite(dir)?;
    let issued = issue(hosts)?;
    make_folder(dir)?;
    let _lock = dir.lock()?;
    write_new(&dir.key(), &*random::<32>()?, SECRET)?;
    write_new(&dir.config(), config::commented_file().as_bytes(), PUBLIC)?;
    write_certificates(dir, &issued)?;
    let app = open_fresh(dir).await?;
    add_operator(dir, &app, operator).await?;
    app.shutdown().await;
    Ok(())
}

/// Makes a data directory out of a backup.
///
/// # Errors
/// One line; an existing installation is never touched.
pub async fn restore(dir: &DataDir, args: &Restore) -> Result<String, Failure> {
    let manifest = backup::read_manifest(&args.folder).map_err(Failure::new)?;
    refuse_to_overwrite(dir)?;
    let key = data_dir::read_secret(&args.key)?;
    data_dir::read_key(&args.key)?;
    let issued = issue(&args.hosts)?;
    make_folder(dir)?;
    let _lock = dir.lock()?;
    backup::unpack(&args.folder, dir.path()).map_err(Failure::new)?;
    write_new(&dir.key(), &key, SECRET)?;
    write_certificates(dir, &issued)?;
    let app = open_fresh(dir).await?;
    let operator = format!("restored {}", manifest.created);
    add_operator(dir, &app, &operator).await?;
    app.shutdown().await;
    Ok(format!(
        "restored the backup of {} into {}\n\
         Clients of the API have to trust the new {}; devices shake hands anew by themselves.\n",
        manifest.created,
        dir.path().display(),
        dir.ca().display()
    ))
}

fn refuse_to_overwrite(dir: &DataDir) -> Result<(), Failure> {
    let shown = dir.path().display();
    match backup::is_free(dir.path()) {
        Ok(true) => Ok(()),
        Ok(false) if dir.key().exists() => Err(Failure::new(format!("{shown} is an installation already"))
            .hint("start it with `bartizan serve`, or name another folder with --data-dir")),
        Ok(false) => {
            Err(Failure::new(format!("{shown} is not empty")).hint("name an absent or empty folder with --data-dir"))
        }
        Err(error) => Err(Failure::new(format!("cannot look into {shown}: {error}"))),
    }
}

fn issue(hosts: &[String]) -> Result<installation::Issued, Failure> {
    let now_s = jiff::Timestamp::now().as_second();
    installation::issue(hosts, now_s).map_err(|error| Failure::usage(format!("--host: {error}")))
}

fn make_folder(dir: &DataDir) -> Result<(), Failure> {
    let told = |error: std::io::Error| Failure::new(format!("cannot make {}: {error}", dir.path().display()));
    backup::private_dirs(dir.path()).map_err(told)
}

fn write_certificates(dir: &DataDir, issued: &installation::Issued) -> Result<(), Failure> {
    write_new(&dir.ca(), issued.ca_certificate.as_bytes(), PUBLIC)?;
    write_new(&dir.certificate(), issued.server_certificate.as_bytes(), PUBLIC)?;
    write_new(&dir.certificate_key(), issued.server_key.as_bytes(), SECRET)?;
    Ok(())
}

async fn open_fresh(dir: &DataDir) -> Result<std::sync::Arc<App>, Failure> {
    backup::private_dirs(&dir.data())
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", dir.data().display())))?;
    let loaded = open::config(dir, None)?;
    open::app(dir, &loaded.config, Clock::real()).await
}

/// Makes an operator whose token only its file knows; the database holds a hash.
async fn add_operator(dir: &DataDir, app: &App, name: &str) -> Result<(), Failure> {
    let random = random::<32>()?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let token = Zeroizing::new(format!("bartizan_{token}"));
    app.add_operator(name, &token).await?;
    write_new(&dir.token(), format!("{}\n", *token).as_bytes(), SECRET)?;
    Ok(())
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Failure> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|error| Failure::new(format!("the system has no random numbers: {error}")))?;
    Ok(bytes)
}

fn made(dir: &DataDir) -> String {
    let place = |path: &Path| path.display().to_string();
    let shown = place(dir.path());
    let folder = match shown.as_str() {
        "bartizan-data" => String::new(),
        other => format!(" --data-dir {other}"),
    };
    format!(
        "made {shown}\n\
         \x20 {:<32} seals what is secret; keep a copy somewhere else\n\
         \x20 {:<32} signs you in to the console and the API\n\
         \x20 {:<32} what clients of the API trust\n\
         \x20 {:<32} every key with its default\n\
         \n\
         Next:\n\
         \x20 bartizan{folder} serve\n\
         \x20 bartizan{folder} tenant add NAME --upstream log:{shown}/messages.ndjson\n\
         \x20 bartizan{folder} type add TYPE\n\
         \x20 bartizan{folder} device add DEVICE --type TYPE\n",
        place(&dir.key()),
        place(&dir.token()),
        place(&dir.ca()),
        place(&dir.config()),
    )
}
