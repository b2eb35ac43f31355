//! Use cases of people: tenants, types, devices, keys, holds.

use bartizan_wire::{Access, DeviceKey, Grade, Lifecycle, TenantId};

use super::App;
use super::commands::NewCommand;
use super::error::Error;
use super::views::*;
use crate::upstream::UpstreamConfig;
use bartizan_wire::CommandId;

/// The person (or machine credential) who acts; the name goes to audit and history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(pub String);

/// What may be changed of a tenant.
#[derive(Clone, Debug, Default)]
pub struct TenantChange {
    pub upstream: Option<UpstreamConfig>,
}

/// A device to be added. What is absent is made: identity = name, PSK random, endpoint = name.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    pub name: String,
    pub device_type: String,
    pub identity: Option<Vec<u8>>,
    pub psk: Option<Vec<u8>>,
    pub endpoint: Option<String>,
}

/// Which devices a list shows; absent filters let everything through.
#[derive(Clone, Debug, Default)]
pub struct DeviceFilter {
    /// Part of the name or identity.
    pub q: Option<String>,
    pub device_type: Option<String>,
    pub grade: Option<Grade>,
    pub access: Option<Access>,
    pub lifecycle: Option<Lifecycle>,
}

/// Where in a list, and how much.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    /// As a page gave it; `Malformed` if it did not.
    pub cursor: Option<String>,
    /// 1 to [`crate::limits::PAGE_ITEMS_MAX`]; 0 means 50.
    pub limit: u32,
}

/// A reply kept for an Idempotency-Key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptReply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl App {
    // --- operators

    /// Records an operator by a hash of the token.
    pub async fn add_operator(&self, _name: &str, _token: &str) -> Result<(), Error> {
        todo!()
    }

    /// The operator whose token this is.
    pub async fn operator_of(&self, _token: &str) -> Result<Option<Actor>, Error> {
        todo!()
    }

    /// The reply kept under an Idempotency-Key; `Misuse::Conflict` if `fingerprint` (of method, path and body) differs.
    pub async fn kept_reply(
        &self,
        _actor: &Actor,
        _key: &str,
        _fingerprint: &[u8; 32],
    ) -> Result<Option<KeptReply>, Error> {
        todo!()
    }

    /// Keeps a reply under an Idempotency-Key for a day.
    pub async fn keep_reply(
        &self,
        _actor: &Actor,
        _key: &str,
        _fingerprint: &[u8; 32],
        _reply: &KeptReply,
    ) -> Result<(), Error> {
        todo!()
    }

    // --- tenants and types

    pub async fn tenants(&self, _paging: &Paging) -> Result<Page<TenantView>, Error> {
        todo!()
    }

    /// The tenant's number; `Misuse::Unknown` if there is none of this name.
    pub async fn tenant_id(&self, _name: &str) -> Result<TenantId, Error> {
        todo!()
    }

    pub async fn tenant(&self, _tenant: TenantId) -> Result<TenantView, Error> {
        todo!()
    }

    pub async fn add_tenant(
        &self,
        _actor: &Actor,
        _name: &str,
        _upstream: UpstreamConfig,
    ) -> Result<TenantView, Error> {
        todo!()
    }

    /// `if_version`: `Misuse::Stale` unless the tenant still has this version.
    pub async fn change_tenant(
        &self,
        _actor: &Actor,
        _tenant: TenantId,
        _change: TenantChange,
        _if_version: Option<u64>,
    ) -> Result<TenantView, Error> {
        todo!()
    }

    pub async fn types(&self, _tenant: TenantId) -> Result<Page<TypeView>, Error> {
        todo!()
    }

    pub async fn add_type(&self, _actor: &Actor, _tenant: TenantId, _name: &str) -> Result<TypeView, Error> {
        todo!()
    }

    // --- devices

    pub async fn devices(
        &self,
        _tenant: TenantId,
        _filter: &DeviceFilter,
        _paging: &Paging,
    ) -> Result<Page<DeviceView>, Error> {
        todo!()
    }

    /// The device of this name, or of this number when no device has the name.
    pub async fn device_key(&self, _tenant: TenantId, _name: &str) -> Result<DeviceKey, Error> {
        todo!()
    }

    pub async fn show_device(&self, _device: DeviceKey) -> Result<DeviceView, Error> {
        todo!()
    }

    pub async fn add_device(
        &self,
        _actor: &Actor,
        _tenant: TenantId,
        _device: NewDevice,
    ) -> Result<NewDeviceView, Error> {
        todo!()
    }

    /// All devices of a CSV file or none; durable when it returns. Answers how many.
    pub async fn import_devices<R>(&self, _actor: &Actor, _tenant: TenantId, _csv: R) -> Result<u64, Error>
    where
        R: std::io::Read + Send + 'static,
    {
        todo!()
    }

    /// Replaces the device's PSK and answers the new one in hex. Its association is closed.
    pub async fn rotate_key(&self, _actor: &Actor, _device: DeviceKey) -> Result<String, Error> {
        todo!()
    }

    /// Places a person's hold: quarantined, or blocked. Durable when it returns.
    pub async fn isolate(
        &self,
        _actor: &Actor,
        _device: DeviceKey,
        _reason: &str,
        _block: bool,
    ) -> Result<DeviceView, Error> {
        todo!()
    }

    /// Ends the person's and the detection holds and puts the grade on probation. Durable when it returns.
    pub async fn release(&self, _actor: &Actor, _device: DeviceKey, _reason: &str) -> Result<DeviceView, Error> {
        todo!()
    }

    /// Takes the device out of service for good.
    pub async fn retire(&self, _actor: &Actor, _device: DeviceKey, _reason: &str) -> Result<DeviceView, Error> {
        todo!()
    }

    // --- what happened

    pub async fn summary(&self, _tenant: TenantId) -> Result<Summary, Error> {
        todo!()
    }

    pub async fn findings(&self, _tenant: TenantId, _paging: &Paging) -> Result<Page<FindingView>, Error> {
        todo!()
    }

    pub async fn timeline(&self, _device: DeviceKey, _paging: &Paging) -> Result<Page<TimelineEntry>, Error> {
        todo!()
    }

    pub async fn profile(&self, _device: DeviceKey) -> Result<ProfileView, Error> {
        todo!()
    }

    pub async fn sources(&self, _tenant: TenantId) -> Result<Page<SourceView>, Error> {
        todo!()
    }

    // --- commands

    pub async fn commands(&self, _device: DeviceKey, _paging: &Paging) -> Result<Page<CommandView>, Error> {
        todo!()
    }

    /// A person's command.
    pub async fn send_command(
        &self,
        _actor: &Actor,
        _device: DeviceKey,
        _command: NewCommand,
    ) -> Result<CommandView, Error> {
        todo!()
    }

    /// A person's word on a held command.
    pub async fn decide_command(
        &self,
        _actor: &Actor,
        _device: DeviceKey,
        _command: CommandId,
        _allow: bool,
        _reason: &str,
    ) -> Result<CommandView, Error> {
        todo!()
    }
}
