//! One SQLite file: opened so that what is committed survives a power cut and what is deleted is gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::error::Error;
use crate::limits::{SQLITE_READERS_MAX, SQLITE_WAIT_MS};

/// How long a writer waits for its turn: an import of a million lines holds the files for a while.
const WRITER_WAIT: Duration = Duration::from_secs(300);

/// A file with one writer and a few readers, so that writers queue here instead of failing as busy.
#[derive(Clone)]
pub struct Database {
    pub file: PathBuf,
    write: SqlitePool,
    read: SqlitePool,
}

impl Database {
    /// Opens or makes the file and brings its schema up to date.
    pub async fn open(file: &Path, migrator: &Migrator) -> Result<Self, Error> {
        let unopened = |error: sqlx::Error| Error::Unopened { file: file.to_owned(), cause: error.to_string() };
        let options = options(file);
        let one = SqlitePoolOptions::new().max_connections(1).acquire_timeout(WRITER_WAIT);
        let write = one.connect_with(options.clone()).await.map_err(unopened)?;
        migrate(file, &write, migrator).await?;
        let few = SqlitePoolOptions::new().max_connections(SQLITE_READERS_MAX).min_connections(0);
        let read = few.idle_timeout(Duration::from_secs(60)).connect_lazy_with(options);
        Ok(Self { file: file.to_owned(), write, read })
    }

    #[must_use]
    pub fn read(&self) -> &SqlitePool {
        &self.read
    }

    /// Single statements that change something.
    #[must_use]
    pub fn write(&self) -> &SqlitePool {
        &self.write
    }

    /// A transaction that holds the write lock from its start.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Moves the log into the file and empties it, so that overwritten secrets leave the disk.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.write).await?;
        Ok(())
    }

    /// Writes a consistent copy to `file`, which must not exist.
    pub async fn copy_to(&self, file: &Path) -> Result<(), Error> {
        let name = file.to_string_lossy().into_owned();
        sqlx::query("VACUUM INTO ?").bind(name).execute(&self.read).await?;
        Ok(())
    }

    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(SQLITE_WAIT_MS))
        .pragma("secure_delete", "ON")
        .pragma("trusted_schema", "OFF")
}

/// Refuses a file that a newer version has migrated, before anything in it is read.
async fn migrate(file: &Path, pool: &SqlitePool, migrator: &Migrator) -> Result<(), Error> {
    let known = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found =
        newest(pool).await.map_err(|error| Error::Unopened { file: file.to_owned(), cause: error.to_string() })?;
    if found > known {
        return Err(Error::Unsupported { file: file.to_owned(), found, known });
    }
    let failed =
        |error: sqlx::migrate::MigrateError| Error::Unopened { file: file.to_owned(), cause: error.to_string() };
    migrator.run(pool).await.map_err(failed)
}

async fn newest(pool: &SqlitePool) -> Result<i64, sqlx::Error> {
    let table = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
    let tables: i64 = sqlx::query_scalar(table).fetch_one(pool).await?;
    if tables == 0 {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations").fetch_one(pool).await
}
