//! Commands as they are stored.

use bartizan_wire::event::CommandState;
use bartizan_wire::{CommandId, DeviceId, DeviceKey, UnixMillis};
use bytes::Bytes;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::Error;
use super::operator::{to_i64, to_u64};
use super::tenant::{TenantStore, coded};
use crate::app::{Issuer, PendingCommand};
use crate::limits::COMMANDS_KEPT_PER_DEVICE_MAX;

/// A command with what was said about its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRow {
    pub command: PendingCommand,
    pub detail: Option<String>,
}

impl TenantStore {
    /// Stores a command and answers it with its number; finished ones beyond the bound go.
    pub async fn add_command(&self, command: &PendingCommand) -> Result<CommandId, Error> {
        let mut tx = self.db.begin().await?;
        let insert = "INSERT INTO commands (device, person, method, path, content_format, payload, coap, state, created, expires) \
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let person = match &command.issuer {
            Issuer::Person(name) => Some(name.as_str()),
            Issuer::Upstream => None,
        };
        let device = to_i64(command.device.device.0);
        let query = sqlx::query(insert).bind(device).bind(person).bind(command.method).bind(&command.path);
        let query = query.bind(command.content_format).bind(command.payload.as_ref()).bind(command.coap.as_deref());
        let query = query.bind(command.state.code()).bind(to_i64(command.created.0)).bind(to_i64(command.expires.0));
        let id = query.execute(&mut *tx).await?.last_insert_rowid();
        let thin = "DELETE FROM commands WHERE device = ?1 AND state NOT IN (0, 1, 2) AND id <= \
                    (SELECT id FROM commands WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        sqlx::query(thin).bind(device).bind(COMMANDS_KEPT_PER_DEVICE_MAX).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(CommandId(to_u64(id)))
    }

    pub async fn move_command(&self, id: CommandId, state: CommandState, detail: Option<&str>) -> Result<(), Error> {
        let update = "UPDATE commands SET state = ?, detail = coalesce(?, detail) WHERE id = ?";
        let query = sqlx::query(update).bind(state.code()).bind(detail).bind(to_i64(id.0));
        query.execute(self.db.write()).await?;
        Ok(())
    }

    /// The device's commands that are held, queued or sent, oldest first.
    pub async fn open_commands(&self, device: DeviceId) -> Result<Vec<PendingCommand>, Error> {
        let select = "SELECT * FROM commands WHERE device = ? AND state IN (0, 1, 2) ORDER BY id";
        let rows = sqlx::query(select).bind(to_i64(device.0)).fetch_all(self.db.read()).await?;
        rows.iter().map(|row| Ok(command_row(self, row)?.command)).collect()
    }

    /// Devices with commands that are held, queued or sent.
    pub async fn commanded(&self) -> Result<Vec<DeviceId>, Error> {
        let select = "SELECT DISTINCT device FROM commands WHERE state IN (0, 1, 2)";
        let ids: Vec<i64> = sqlx::query_scalar(select).fetch_all(self.db.read()).await?;
        Ok(ids.into_iter().map(|id| DeviceId(to_u64(id))).collect())
    }

    pub async fn command(&self, device: DeviceId, id: CommandId) -> Result<Option<CommandRow>, Error> {
        let select = "SELECT * FROM commands WHERE device = ? AND id = ?";
        let row = sqlx::query(select).bind(to_i64(device.0)).bind(to_i64(id.0)).fetch_optional(self.db.read()).await?;
        row.as_ref().map(|row| command_row(self, row)).transpose()
    }

    /// The device's commands before the number `before`, newest first.
    pub async fn commands(&self, device: DeviceId, before: u64, limit: u32) -> Result<Vec<CommandRow>, Error> {
        let select = "SELECT * FROM commands WHERE device = ? AND id < ? ORDER BY id DESC LIMIT ?";
        let query = sqlx::query(select).bind(to_i64(device.0)).bind(to_i64(before)).bind(limit);
        query.fetch_all(self.db.read()).await?.iter().map(|row| command_row(self, row)).collect()
    }
}

fn command_row(store: &TenantStore, row: &SqliteRow) -> Result<CommandRow, Error> {
    let person: Option<String> = row.try_get("person")?;
    let command = PendingCommand {
        id: CommandId(to_u64(row.try_get("id")?)),
        device: DeviceKey { tenant: store.id, device: DeviceId(to_u64(row.try_get("device")?)) },
        state: coded(row, "state", CommandState::from_code)?,
        issuer: person.map_or(Issuer::Upstream, Issuer::Person),
        method: row.try_get("method")?,
        path: row.try_get("path")?,
        content_format: row.try_get("content_format")?,
        payload: Bytes::from(row.try_get::<Vec<u8>, _>("payload")?),
        coap: row.try_get::<Option<Vec<u8>>, _>("coap")?.map(Bytes::from),
        created: UnixMillis(to_u64(row.try_get("created")?)),
        expires: UnixMillis(to_u64(row.try_get("expires")?)),
    };
    Ok(CommandRow { command, detail: row.try_get("detail")? })
}
