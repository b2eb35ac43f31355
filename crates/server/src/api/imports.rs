//! Imports: a spreadsheet of devices and keys, streamed, all of it or nothing.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::auth::Operator;
use super::extract::Path;
use super::problem::{Kind, Problem};
use super::state::Shared;
use crate::limits::{CLIENT_STALL_MS_MAX, IMPORT_CHUNKS_MAX};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Devices added.
    pub imported: u64,
}

/// Adds the devices of a CSV file (columns `name`, `type`, `identity`, `psk` in hex or base64, optionally
/// `endpoint` and `attestation_identity`): all of them, or none and the wrong lines named.
#[utoipa::path(post, path = "/tenants/{tenant}/imports", tag = "devices", operation_id = "devices_import",
    request_body(content = String, content_type = "text/csv"),
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Imported),
              (status = 422, description = "Lines are wrong: `lines` names them, `total` counts them",
               content_type = "application/problem+json", body = Problem)))]
pub async fn import(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    request: Request,
) -> Result<axum::Json<Imported>, Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    let import = async |reader| api.app.import_devices(&operator.actor, id, reader).await;
    carry(request, api.options.import_bytes_max, import).await
}

/// Streams the body of a request, which is a spreadsheet, to an import.
pub(super) async fn carry(
    request: Request,
    bytes_max: u64,
    import: impl AsyncFnOnce(ChunkReader) -> Result<u64, crate::app::Error>,
) -> Result<axum::Json<Imported>, Problem> {
    expect_csv(request.headers())?;
    let (chunks, reader) = mpsc::channel(IMPORT_CHUNKS_MAX);
    let pump = tokio::spawn(pump(request.into_body(), chunks, bytes_max));
    let reader = ChunkReader { chunks: reader, rest: Bytes::new() };
    let outcome = import(reader).await;
    if let Ok(Err(problem)) = pump.await {
        return Err(problem);
    }
    Ok(axum::Json(Imported { imported: outcome? }))
}

fn expect_csv(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    if kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv")) {
        return Ok(());
    }
    let detail = "send the file with `Content-Type: text/csv`";
    Err(Problem::new(Kind::MEDIA_TYPE, detail))
}

/// Carries the body to the reader. The reader sees an error, never an early end, if the body breaks off.
async fn pump(mut body: Body, chunks: mpsc::Sender<io::Result<Bytes>>, bytes_max: u64) -> Result<(), Problem> {
    let mut bytes = 0_u64;
    while let Some(frame) = next(&mut body).await {
        let chunk = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(reason) => {
                let _ = chunks.send(Err(io::Error::other("it broke off"))).await;
                let detail = format!("the file broke off: {reason}");
                return Err(Problem::new(Kind::MALFORMED, detail));
            }
        };
        bytes = bytes.saturating_add(chunk.len() as u64);
        if bytes > bytes_max {
            let _ = chunks.send(Err(io::Error::other("it is too large"))).await;
            let detail = "the file is larger than api.import_mib_max allows";
            return Err(Problem::new(Kind::TOO_LARGE, detail));
        }
        if chunks.send(Ok(chunk)).await.is_err() {
            return Ok(()); // The reader has seen enough; its own outcome says why.
        }
    }
    Ok(())
}

/// The next piece, if it comes in time: an import holds the tenant's registry.
async fn next(body: &mut Body) -> Option<Result<Frame<Bytes>, String>> {
    let patience = Duration::from_millis(CLIENT_STALL_MS_MAX);
    match tokio::time::timeout(patience, body.frame()).await {
        Ok(frame) => frame.map(|frame| frame.map_err(|error| error.to_string())),
        Err(_) => Some(Err("nothing came for too long".into())),
    }
}

/// The body as the blocking reader that the import runs on.
pub(super) struct ChunkReader {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
