//! What can be said to `bartizan demo`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A city's worth of devices, four attacks, and what became of them.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Play the script, write the summary, end; without it the city lives until Ctrl-C
    #[arg(long)]
    pub headless: bool,
    /// How many devices live in the city
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u32).range(50..=20_000))]
    pub devices: u32,
    /// How long the script takes in real time
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
    /// The same seed makes the same city
    #[arg(long, default_value_t = 1, value_name = "X")]
    pub seed: u64,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE.json")]
    pub summary: Option<PathBuf>,
    /// How many times faster than ours the city's time runs [default: by the number of devices]
    #[arg(long, value_name = "SCALE", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub time_scale: Option<u32>,
    /// Where the API and the console listen
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub listen: SocketAddr,
}
