//! Backups while the server runs.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Operator;
use super::problem::Problem;
use super::state::Shared;
use crate::app::views::rfc3339;
use crate::ops::backup;

/// A backup that was made.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupView {
    /// The folder on the server that holds it.
    pub folder: String,
    pub created: String,
}

/// Makes a consistent copy of all databases and the configuration in a new folder under the data directory.
/// What is sealed stays sealed: the key file is not part of it.
#[utoipa::path(post, path = "/backups", tag = "operations", operation_id = "backups_create",
    responses((status = 201, body = BackupView)))]
pub async fn create(State(api): Shared, operator: Operator) -> Result<(StatusCode, axum::Json<BackupView>), Problem> {
    let now = api.app.clock().now();
    let folder = backup::create(&api.app, &api.options.backup_dir, now).await?;
    tracing::info!(operator = operator.actor.0, folder = %folder.display(), "a backup was made");
    let view = BackupView { folder: folder.display().to_string(), created: rfc3339(now) };
    Ok((StatusCode::CREATED, axum::Json(view)))
}
