//! `bartizan demo`: the real server with its shipped defaults, a simulated city, and a script of attacks.
//!
//! ```text
//!  script ──▶ bartizan_sim::World ──UDP──▶ gateway ─▶ judge ─▶ holds        (what the city does)
//!     └────── watch ◀────────────────────── app: findings, devices, sources (what the server noticed)
//! ```
//!
//! The [`script`] knows the truth, since it turns devices bad. What was detected, isolated, limited and released
//! is asked of the server as the console would ask ([`watch`]); the [`summary`] joins the two. The city's day
//! passes faster than ours: server and simulator share one clock, whose scale is printed.

mod args;
pub mod firmware;
mod interrupt;
mod plan;
mod script;
mod stage;
mod summary;
mod watch;

use std::sync::Arc;

pub use args::DemoArgs;
pub use plan::Plan;
pub use summary::{AttackSummary, Summary};

use crate::cli::Failure;
use interrupt::Interrupt;
use script::Script;
use stage::Stage;

/// Plays the demo and answers what happened; nothing if it was interrupted before it began.
///
/// # Errors
/// One line: ports in use, too few open files allowed, a summary that cannot be written.
pub async fn run(args: DemoArgs) -> Result<Option<Summary>, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let plan = Plan::of(&args);
    plan.remarks.iter().for_each(|remark| say(remark));
    let stage = tokio::select! {
        stage = Stage::set(&args, &plan) => Arc::new(stage?),
        () = interrupt.heard() => return Ok(None),
    };
    let played = play(&stage, plan, &args, interrupt).await;
    stage.strike().await;
    let summary = played?;
    say(&summary.to_string());
    if let Some(file) = &args.summary {
        let json = serde_json::to_vec_pretty(&summary).expect("invariant: a summary is JSON");
        tokio::fs::write(file, json).await.map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    }
    Ok(Some(summary))
}

async fn play(stage: &Arc<Stage>, plan: Plan, args: &DemoArgs, interrupt: Interrupt) -> Result<Summary, Failure> {
    say(&stage.welcome(&plan, args.headless)?);
    Script::new(Arc::clone(stage), plan, args.headless, interrupt)?.play().await
}

/// The demo speaks to the person who started it.
fn say(line: &str) {
    println!("{line}");
}
