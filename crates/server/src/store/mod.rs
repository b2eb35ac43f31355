//! What survives a restart: one SQLite file for the operator's records and one per tenant.

mod key;

pub use key::MasterKey;
