//! What can be typed.

mod onboarding;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::energy::Question;
use crate::limits;
pub use onboarding::{Manufacturer, Onboarding, Orders};

/// Security gateway and fleet operations for IoT devices
///
/// Devices speak CoAP over DTLS with the gateway; Bartizan watches how they behave, isolates those that turn
/// bad, says why, and lets them back in. `bartizan init` makes a data directory, `bartizan serve` starts the
/// server; the other verbs work with or without a running server.
#[derive(Debug, Parser)]
#[command(name = "bartizan", version, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 something was found (bad lines, bad keys)")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Folder that `init` made: configuration, keys, databases
    #[arg(
        long,
        global = true,
        env = "BARTIZAN_DATA_DIR",
        hide_env_values = true,
        default_value = "bartizan-data",
        value_name = "DIR",
        help_heading = "Where and how"
    )]
    pub data_dir: PathBuf,
    /// Configuration file [default: config.toml in the data directory]
    #[arg(
        long,
        global = true,
        env = "BARTIZAN_CONFIG",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Where and how"
    )]
    pub config: Option<PathBuf>,
    /// Tenant to work on [default: the only one there is]
    #[arg(
        long,
        global = true,
        env = "BARTIZAN_TENANT",
        hide_env_values = true,
        value_name = "NAME",
        help_heading = "Where and how"
    )]
    pub tenant: Option<String>,
    /// How to print: a table for people, JSON for programs
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table, value_name = "FORMAT", help_heading = "Where and how")]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a data directory: keys, certificates, an operator token, a configuration
    Init(Init),
    /// Run the server: gateway for devices, API and console for people
    ///
    /// Stops on SIGINT or SIGTERM after finishing what is under way (server.drain_s). On SIGHUP it reads the
    /// configuration again; a bad file is refused and the old one stays.
    Serve,
    /// Play a simulated city under attack in front of the real server
    ///
    /// Makes an installation of its own in the system's temporary folder and removes it at the end. The city's
    /// time runs faster than ours; the detectors are as shipped.
    #[cfg(feature = "demo")]
    Demo(crate::demo::DemoArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(Config),
    /// Tenants: who owns devices, and where their messages go
    #[command(subcommand)]
    Tenant(Tenant),
    /// Device types: devices of one type are expected to behave alike
    #[command(subcommand)]
    Type(Type),
    /// Attestation: what devices have proven, who they are, what they are held to
    #[command(subcommand)]
    Attest(Attest),
    /// Reference values: what good firmware measures as
    #[command(subcommand)]
    Reference(Reference),
    /// Authorities that issue certificates to devices: roots in files, one issuing authority for each tenant
    #[command(subcommand)]
    Ca(super::ca::Ca),
    /// Certificates of devices: list, look at, take back, and the secret for the first one
    #[command(subcommand)]
    Certificate(super::certificates::Certificate),
    /// Onboarding: who may join with no touch, and who waits for a person
    #[command(subcommand)]
    Onboarding(Onboarding),
    /// Devices: register, look at, isolate, release
    #[command(subcommand)]
    Device(Device),
    /// Commands to devices
    #[command(subcommand)]
    Command(Command),
    /// Copy databases and configuration to a folder, also while the server runs
    ///
    /// What is sealed stays sealed: the key file is not part of the backup. Keep a copy of master.key somewhere
    /// else, or the backup cannot be opened.
    Backup(Backup),
    /// Make a data directory out of a backup and the key file
    ///
    /// Devices keep their keys and postures; they shake hands anew. The API gets a new certificate and a new
    /// operator token.
    Restore(Restore),
    /// What a handshake costs a sleeping device: bytes, energy, years of battery
    ///
    /// Bytes are counted by running this program's own DTLS client against its own server; energy comes from
    /// published measurements of an NB-IoT modem. docs/energy.md explains both, with their sources.
    Energy(Energy),
    /// Print shell completions
    Completions {
        /// The shell that is to complete
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all of them to a folder
    Man {
        /// Folder to write one page per verb to
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Print the API's description (OpenAPI 3.1)
    #[command(hide = true)]
    Openapi,
}

#[derive(Debug, Args)]
pub struct Init {
    /// Further names or addresses that the server's certificate is good for
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Name of the first operator, as histories will show it
    #[arg(long, default_value = "operator", value_name = "NAME")]
    pub operator: String,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Say whether the configuration is good, without starting anything
    Check,
    /// Print every key that is in force, and where its value came from
    Show,
}

#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Add a tenant
    #[command(after_help = UPSTREAM_HELP)]
    Add {
        /// Short name, as --tenant takes it
        name: String,
        /// Where its devices' messages go
        #[arg(long, value_name = "WHERE")]
        upstream: String,
    },
    /// List tenants
    List,
    /// Show a tenant and its fleet at a glance
    Show {
        /// Its name
        name: String,
    },
    /// Change where a tenant's messages go
    #[command(after_help = UPSTREAM_HELP)]
    Set {
        /// Its name
        name: String,
        /// Where its devices' messages go from now on
        #[arg(long, value_name = "WHERE")]
        upstream: String,
    },
}

const UPSTREAM_HELP: &str = "An upstream is one of:
  log:/var/log/water.ndjson            a file, one JSON object a line
  mqtt://127.0.0.1:1883?topic=water    an MQTT broker on this machine (mqtts://… elsewhere)
  coap://127.0.0.1:5683                a CoAP or LwM2M server on this machine (coaps://… elsewhere)";

#[derive(Debug, Subcommand)]
pub enum Type {
    /// Add a device type
    Add {
        /// Its name, such as "water meter"
        name: String,
    },
    /// List device types
    List,
}

#[derive(Debug, Subcommand)]
pub enum Device {
    /// Add a device and print its key, once
    Add {
        /// Its name, unique in the tenant
        name: String,
        /// Name of its device type
        #[arg(long = "type", value_name = "TYPE")]
        device_type: String,
        /// PSK identity that it shows [default: its name]
        #[arg(long)]
        identity: Option<String>,
        /// File with its key in hex, `-` for standard input [default: a random key]
        #[arg(long, value_name = "FILE")]
        psk_file: Option<PathBuf>,
        /// LwM2M endpoint name that it may register [default: its name]
        #[arg(long)]
        endpoint: Option<String>,
    },
    /// Add the devices of a spreadsheet: all of them, or none and the wrong lines named
    ///
    /// The file is CSV with a header line: name, type, identity, psk (hex or base64, at least 16 bytes), and
    /// optionally endpoint and attestation_identity (64 hexadecimal digits). `-` reads
    /// standard input.
    Import {
        /// The spreadsheet
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
    },
    /// List devices
    List(DeviceList),
    /// Show a device: what it may do and why, what was found, what happened
    Show {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
    },
    /// Give a device a new key and print it, once; its session ends
    ///
    /// With --over-the-air nothing is printed and nothing ends: the device is asked to fetch a new key itself, and the
    /// old one is good until it has connected with the new one.
    RotateKey {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
        /// Ask the device to fetch its new key itself
        #[arg(long)]
        over_the_air: bool,
        /// Hours that the device has for it
        #[arg(long, requires = "over_the_air", value_name = "HOURS", default_value_t = 168)]
        within: u32,
    },
    /// Isolate a device until a person releases it
    ///
    /// The device stays connected and can read why; everything else it asks for is refused. With --block its
    /// session is closed as well and it cannot come back.
    Isolate {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
        /// Why, for whoever looks at it next
        #[arg(long)]
        reason: String,
        /// Close its session too, and refuse new ones
        #[arg(long)]
        block: bool,
    },
    /// Let a device in again
    Release {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
        /// Why, for whoever looks at it next
        #[arg(long)]
        reason: String,
    },
    /// Take a device out of service for good
    Retire {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
        /// Why, for whoever looks at it next
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Attest {
    /// Show what a device has proven: its layers, verdicts and their reasons
    Show {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
    },
    /// Register who a device is
    ///
    /// Without it the device cannot attest. Nothing that arrives in evidence ever becomes an identity.
    Identify {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
        /// SHA-256 thumbprint (RFC 9679) of the key of its unique secret, 64 hexadecimal digits
        identity: String,
    },
    /// Show what devices of a type are held to, or set it with --layers or --verifier
    Policy(Box<PolicyArgs>),
    /// Other verifiers, whose results are believed for devices of types whose policy names them
    #[command(subcommand)]
    Verifier(TrustedKey),
    /// Print the device's attestation result (EAR) as a signed JWT, for whoever relies on it
    ///
    /// Fails while the device has no verdict that still stands. The key is under /api/v1/attestation-keys.
    Result {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
        /// Write it as a CWT to this file instead
        #[arg(long, value_name = "FILE")]
        cwt: Option<PathBuf>,
    },
    /// Verify a file with evidence, by itself: signatures, chain, claims
    ///
    /// Says who signed it and what it claims. Whether that is somebody known and the layers are good is for the
    /// server to say, which has identities and reference values. Needs no server.
    Verify {
        /// Evidence as a device sends it (application/eat+cwt), `-` for standard input
        file: PathBuf,
        /// Exit with 3 unless this identity signed it
        #[arg(long, value_name = "HEX")]
        identity: Option<String>,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("judged").args(["layers", "verifier"]).multiple(true))]
pub struct PolicyArgs {
    /// Name of the device type
    #[arg(value_name = "TYPE")]
    pub device_type: String,
    /// Every layer of their code in the order of boot, with commas between
    #[arg(long, value_delimiter = ',', value_name = "LAYER,LAYER")]
    pub layers: Vec<String>,
    /// Another verifier that judges them, as `attest verifier add` named it [default: this server]
    #[arg(long, value_name = "NAME", conflicts_with = "layers")]
    pub verifier: Option<String>,
    /// Who makes them, as reference values name it
    #[arg(long, requires = "judged")]
    pub vendor: Option<String>,
    /// What they are, as reference values name it [default: the type's name]
    #[arg(long, requires = "judged")]
    pub model: Option<String>,
    /// Verdict on firmware that no reference value knows: affirming, warning, contraindicated [default: warning]
    #[arg(long, requires = "judged", value_name = "TIER")]
    pub unknown: Option<String>,
    /// Least security version
    #[arg(long, requires = "judged", value_name = "N")]
    pub security_floor: Option<u64>,
    /// Accept devices that do not count their starts
    #[arg(long, requires = "judged")]
    pub no_boot_count: bool,
    /// Let devices that failed come back with the key that they had; for devices that cannot take another
    #[arg(long, requires = "judged")]
    pub no_rotation: bool,
    /// Hours within which each device must attest again [default: no deadline]
    #[arg(long, requires = "judged", value_name = "HOURS")]
    pub every: Option<u64>,
    /// Hours after the deadline until a device that reports without attesting is isolated [default: as many again]
    #[arg(long, requires = "every", value_name = "HOURS")]
    pub grace: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub enum Reference {
    /// List the reference values of a device type
    List {
        /// Name of the device type
        #[arg(value_name = "TYPE")]
        device_type: String,
    },
    /// State what a version of a layer measures as
    ///
    /// Give the digest, or the image itself, whose SHA-512 is taken.
    #[command(group = clap::ArgGroup::new("measured").required(true).args(["digest", "image"]))]
    Add {
        /// Name of the device type
        #[arg(value_name = "TYPE")]
        device_type: String,
        /// The layer, as the type's policy names it
        #[arg(value_name = "LAYER")]
        component: String,
        /// Its version
        version: String,
        /// Its security version, which never falls
        #[arg(long, value_name = "N")]
        security_version: Option<u64>,
        /// SHA-256, SHA-384 or SHA-512 in hex
        #[arg(long, value_name = "HEX")]
        digest: Option<String>,
        /// The image
        #[arg(long, value_name = "FILE")]
        image: Option<PathBuf>,
    },
    /// Take the reference values of a signed CoRIM: all of them, or none
    ///
    /// One of the tenant's signers has to have signed it. A manifest that was rolled back, and a value that
    /// contradicts what another source says, are refused.
    Import {
        /// The manifest (application/rim+cose), `-` for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Who may sign reference values for the tenant
    #[command(subcommand)]
    Signer(TrustedKey),
    /// Forbid a version: whoever runs it fails
    Forbid {
        /// Name of the device type
        #[arg(value_name = "TYPE")]
        device_type: String,
        /// The layer, as the type's policy names it
        #[arg(value_name = "LAYER")]
        component: String,
        /// Its version
        version: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Let a version run with a warning until a time, and forbid it from then on
    Deprecate {
        /// Name of the device type
        #[arg(value_name = "TYPE")]
        device_type: String,
        /// The layer, as the type's policy names it
        #[arg(value_name = "LAYER")]
        component: String,
        /// Its version
        version: String,
        /// When it is forbidden: a day such as 2027-03-01 (its beginning in UTC), or a time in RFC 3339
        #[arg(long, value_name = "DATE", value_parser = super::time::parse_moment)]
        until: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Allow a version again
    Allow {
        /// Name of the device type
        #[arg(value_name = "TYPE")]
        device_type: String,
        /// The layer, as the type's policy names it
        #[arg(value_name = "LAYER")]
        component: String,
        /// Its version
        version: String,
    },
    /// Show the least security version of a device type, or raise it
    ///
    /// Whoever runs an older one fails. It never falls again.
    Floor {
        /// Name of the device type
        #[arg(value_name = "TYPE")]
        device_type: String,
        /// The least security version from now on
        #[arg(value_name = "N")]
        security_version: Option<u64>,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Take back what a tag of a manifest vouches for
    ///
    /// Its values match nothing any more, and it cannot be imported again in any version.
    Revoke {
        /// The tag, as `reference list` names it
        tag: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

/// Whose signatures count.
#[derive(Debug, Subcommand)]
pub enum TrustedKey {
    /// Believe somebody's signatures
    Add {
        /// What verdicts, reference values and logs call it; tags that a signer signed under this name are its own
        name: String,
        /// Its public key in PEM (P-256, P-384 or Ed25519), `-` for standard input
        #[arg(value_name = "KEY.pem")]
        key: PathBuf,
    },
    /// List who is believed
    List,
    /// Take nothing more from somebody; what a signer has signed stays until its tags are revoked
    Remove {
        /// Its name
        name: String,
    },
}

/// A change that may be tried first.
#[derive(Clone, Debug, Default, Args)]
pub struct Rehearsal {
    /// Change nothing: say who would fail, by each device's last evidence
    #[arg(long)]
    pub dry_run: bool,
    /// Most devices that a dry run looks at
    #[arg(long, default_value_t = 10_000, value_name = "N", requires = "dry_run")]
    pub limit: u64,
}

#[derive(Debug, Default, Args)]
pub struct DeviceList {
    /// Only devices whose name or identity contains this
    #[arg(value_name = "TEXT")]
    pub q: Option<String>,
    /// Only this device type
    #[arg(long = "type", value_name = "TYPE")]
    pub device_type: Option<String>,
    /// Only this grade: normal, suspicious, abnormal
    #[arg(long)]
    pub grade: Option<String>,
    /// Only this access: full, limited, quarantined, blocked
    #[arg(long)]
    pub access: Option<String>,
    /// Only this state of life: pending, active, retired
    #[arg(long)]
    pub lifecycle: Option<String>,
    /// Most devices to print
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u64,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send a command; it waits until the device next speaks
    Send {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
        /// GET, POST, PUT, DELETE, FETCH, PATCH or iPATCH
        method: String,
        /// Resource on the device, such as /3/0/4
        path: String,
        /// Payload as text
        #[arg(long, value_name = "TEXT")]
        payload: Option<String>,
        /// CoAP Content-Format of the payload
        #[arg(long, value_name = "N")]
        content_format: Option<u16>,
        /// Give up after this long: 90s, 10m, 12h, 7d
        #[arg(long, default_value = "24h", value_name = "TIME", value_parser = super::time::parse_duration_s)]
        expires: u64,
    },
    /// List a device's commands, newest first
    List {
        /// Its name, or its number
        #[arg(value_name = "DEVICE")]
        device: String,
    },
}

#[derive(Debug, Args)]
pub struct Energy {
    /// Time between reports: 15m, 1h, 1d
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = super::time::parse_duration_s)]
    pub interval: u64,
    /// Current of the whole device while it sleeps, in µA
    #[arg(long, default_value_t = Question::DEFAULT.life.sleep_ua, value_name = "µA", value_parser = positive)]
    pub sleep_ua: f64,
    /// Application bytes of a report
    #[arg(long, default_value_t = Question::DEFAULT.payload_bytes, value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(..=i64::from(limits::ENERGY_PAYLOAD_BYTES_MAX)))]
    pub payload: u32,
    /// Supply voltage
    #[arg(long, default_value_t = Question::DEFAULT.life.supply_v, value_name = "V", value_parser = positive)]
    pub supply_v: f64,
    /// Capacity printed on the battery, in mAh
    #[arg(long, default_value_t = Question::DEFAULT.life.battery_mah, value_name = "mAh", value_parser = positive)]
    pub battery_mah: f64,
    /// Write the plot to this file as SVG
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Print the page docs/energy.md for this case
    #[arg(long)]
    pub markdown: bool,
}

/// A quantity that can be, up to a million of its unit.
fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("\"{text}\" is no number"))?;
    let range = 0.001..=1_000_000.0;
    if range.contains(&number) { Ok(number) } else { Err("it has to be between 0.001 and 1,000,000".to_owned()) }
}

#[derive(Debug, Args)]
pub struct Backup {
    /// Folder to write to; absent or empty
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// Folder that `bartizan backup` wrote
    #[arg(value_name = "BACKUP")]
    pub folder: PathBuf,
    /// The key file of the installation that was backed up
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Further names or addresses that the server's certificate is good for
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
}
