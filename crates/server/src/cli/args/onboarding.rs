//! `bartizan onboarding …`, as it is typed.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Onboarding {
    /// List who waits for a person
    List,
    /// Let somebody in the queue join at its next knock
    ///
    /// A stranger needs a name and a type. A device that joins twice needs neither: what was known of its history
    /// is forgotten, and whoever knocks next is the device.
    Approve {
        /// The line, by its beginning or as `list` shows its identity
        #[arg(value_name = "LINE")]
        identity: String,
        /// The name that the device gets
        #[arg(long)]
        name: Option<String>,
        /// The type that the device gets
        #[arg(long = "type", value_name = "TYPE")]
        device_type: Option<String>,
    },
    /// Send somebody in the queue away
    Refuse {
        /// The line, by its beginning or as `list` shows its identity
        #[arg(value_name = "LINE")]
        identity: String,
    },
    /// Order entries: who may join, once
    #[command(subcommand)]
    Orders(Orders),
    /// Manufacturers: who vouches for a make
    #[command(subcommand)]
    Manufacturer(Manufacturer),
    /// Take a manufacturer's voucher (RFC 8366): an order entry whose word the device gets
    Voucher {
        /// The voucher, a COSE_Sign1 or a JSON Web Signature, `-` for standard input
        file: PathBuf,
        /// The type that the device gets
        #[arg(long = "type", value_name = "TYPE")]
        device_type: String,
        /// The name that the device gets; absent: its serial number
        #[arg(long)]
        name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Orders {
    /// List the entries, used ones too
    List,
    /// Add the entries of a spreadsheet: all of them, or none
    ///
    /// CSV with the columns name, type, and identity (the thumbprint of the key of the device's secret, in hex) or
    /// manufacturer and serial_number.
    Import {
        /// The spreadsheet, `-` for standard input
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
    },
    /// Take back an entry that has not been used
    Remove {
        /// The name that the device would get
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Manufacturer {
    /// List them
    List,
    /// Let a manufacturer vouch for its make, and sign vouchers
    Add {
        /// What order entries, the queue and logs call it
        name: String,
        /// Its certificate or public key in PEM, `-` for standard input
        #[arg(value_name = "FILE.pem")]
        pem: PathBuf,
    },
    /// Believe it no longer; devices that have joined stay
    Remove {
        /// Its name
        name: String,
    },
}
