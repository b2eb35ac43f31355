//! The command line: every verb is a request to the HTTP API.
//!
//! [`run`] is the whole of it. [`client`] finds the server or calls the same router in-process.

mod args;
mod attest;
mod ca;
mod certificates;
mod client;
mod commands;
mod config;
mod devices;
mod energy;
mod error;
mod explain;
pub(crate) mod init;
mod onboarding;
pub mod open;
mod references;
mod root;
mod session;
mod table;
mod tenants;
mod time;
mod trusted_keys;

use std::io::Write;
use std::path::Path;

use clap::{CommandFactory, Parser};

pub use args::Cli;
use args::{Backup, Global, Verb};
pub use error::{Failure, Status};
use session::Session;

use crate::api::BackupView;
use crate::data_dir::DataDir;
use crate::ops::backup;

/// What a verb printed, and how it ended.
type Outcome = Result<(String, Status), Failure>;

/// Runs the verb that was typed, prints, and answers the exit status.
#[must_use]
pub fn run() -> Status {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    match dispatch(cli) {
        Ok((text, status)) => {
            // A reader that went away (`| head`) is no failure of ours.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            status
        }
        Err(failure) => {
            eprint!("{failure}");
            failure.status
        }
    }
}

/// Help and version are no errors; everything else begins like our own.
fn misunderstood(error: &clap::Error) -> Status {
    if !error.use_stderr() {
        let _ = error.print();
        return Status::Done;
    }
    let text = error.render().to_string();
    eprint!("bartizan: {}", text.strip_prefix("error: ").unwrap_or(&text));
    Status::Usage
}

fn dispatch(cli: Cli) -> Outcome {
    let Cli { global, verb } = cli;
    let dir = DataDir::new(&global.data_dir);
    match verb {
        Verb::Serve => block_on(crate::serve::run(&dir, global.config.as_deref())).map(quiet),
        #[cfg(feature = "demo")]
        Verb::Demo(args) => block_on(crate::demo::run(args)).map(|_| quiet(())),
        Verb::Init(args) => block_on(init::init(&dir, &args)).map(done),
        Verb::Restore(args) => block_on(init::restore(&dir, &args)).map(done),
        Verb::Config(args::Config::Check) => config::check(&dir, &global),
        Verb::Config(args::Config::Show) => config::show(&dir, &global).map(done),
        Verb::Attest(args::Attest::Verify { file, identity }) => {
            attest::verify(&file, identity.as_deref(), global.output).map(done)
        }
        Verb::Ca(verb) if verb.is_offline() => ca::offline(&verb).map(done),
        Verb::Energy(args) => energy::energy(&args, global.output).map(done),
        Verb::Completions { shell } => Ok(done(completions(shell))),
        Verb::Man { folder } => man(folder.as_deref()).map(done),
        Verb::Openapi => Ok(done(crate::api::openapi().to_owned())),
        verb => block_on(ask(&dir, global, verb)).map(done),
    }
}

/// The verbs that talk to the API.
async fn ask(dir: &DataDir, global: Global, verb: Verb) -> Result<String, Failure> {
    let loaded = open::config(dir, global.config.as_deref())?;
    let mut session = Session::connect(dir, &loaded, global).await?;
    let outcome = match verb {
        Verb::Tenant(verb) => tenants::run(&mut session, verb).await,
        Verb::Type(verb) => tenants::run_type(&mut session, verb).await,
        Verb::Device(verb) => devices::run(&mut session, verb).await,
        Verb::Attest(verb) => attest::run(&mut session, verb).await,
        Verb::Ca(verb) => ca::run(&mut session, verb).await,
        Verb::Certificate(verb) => certificates::run(&mut session, verb).await,
        Verb::Reference(verb) => references::run(&mut session, verb).await,
        Verb::Onboarding(verb) => onboarding::run(&mut session, verb).await,
        Verb::Command(verb) => commands::run(&mut session, verb).await,
        Verb::Backup(args) => back_up(&mut session, &args).await,
        _ => unreachable!("invariant: `dispatch` handles every other verb"),
    };
    session.close().await;
    outcome
}

async fn back_up(session: &mut Session, args: &Backup) -> Result<String, Failure> {
    let occupied = !backup::is_free(&args.folder).unwrap_or(false);
    if occupied {
        let line = format!("{} is not an absent or empty folder", args.folder.display());
        return Err(Failure::new(line));
    }
    let made: BackupView = session.post("/backups", &serde_json::json!({})).await?;
    backup::hand_over(Path::new(&made.folder), &args.folder).map_err(Failure::new)?;
    let view = BackupView { folder: args.folder.display().to_string(), ..made };
    Ok(session.print(&view, |view| {
        format!(
            "backed up to {}\nIt cannot be opened without master.key: keep a copy of that somewhere else.\n",
            view.folder
        )
    }))
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bartizan", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn man(folder: Option<&Path>) -> Result<String, Failure> {
    let told = |error: std::io::Error| Failure::new(format!("cannot write the pages: {error}"));
    let Some(folder) = folder else {
        let mut page = Vec::new();
        let man = clap_mangen::Man::new(Cli::command());
        man.render(&mut page).map_err(told)?;
        return Ok(String::from_utf8_lossy(&page).into_owned());
    };
    std::fs::create_dir_all(folder).map_err(told)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(told)?;
    Ok(format!("wrote the manual pages to {}\n", folder.display()))
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the system gives no threads: {error}")))?
        .block_on(work)
}

fn done(text: String) -> (String, Status) {
    (text, Status::Done)
}

fn quiet((): ()) -> (String, Status) {
    done(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_verbs_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_and_option_says_what_it_is_for() {
        fn visit(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                let place = format!("{} {}", command.get_name(), argument.get_id());
                assert!(argument.get_help().is_some(), "{place}");
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn completions_and_manual_name_the_verbs() {
        for text in [completions(clap_complete::Shell::Bash), man(None).unwrap()] {
            for verb in ["serve", "device", "restore"] {
                assert!(text.contains(verb), "{verb}");
            }
        }
    }
}
