//! Server-sent events: what changes in a tenant, as it changes.
//!
//! Each stream has a task with a short queue. When its reader is slow the bus overtakes it; it is then told so
//! with a `lagged` event and dropped, and reads the lists again when it comes back. Nothing is kept for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use bartizan_wire::TenantId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::auth::Operator;
use super::extract::Path;
use super::problem::{Kind, Problem};
use super::state::{Api, Shared};
use crate::app::Update;
use crate::limits::CLIENT_STALL_MS_MAX;

/// Events between a stream's task and its connection.
const QUEUE: usize = 32;

/// What changes, as it changes: `summary` each second, `finding`, `device` and `command` when they happen,
/// `lagged` when this reader was too slow. Each event's data is the JSON of the matching list.
#[utoipa::path(get, path = "/tenants/{tenant}/events", tag = "tenants", operation_id = "events_stream",
    params(("tenant" = String, Path, description = "Its name")),
    responses((status = 200, description = "A stream of server-sent events", content_type = "text/event-stream", body = String)))]
pub async fn stream(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Result<Sse<ReceiverStream<Result<Event, Infallible>>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    let permit = Arc::clone(&api.streams)
        .try_acquire_owned()
        .map_err(|_| {
            let detail = "as many event streams are open as api.event_streams_max allows";
            Problem::new(Kind::FULL, detail).retry_after(5)
        })?;
    let (queue, events) = mpsc::channel(QUEUE);
    tokio::spawn(feed(api, operator, tenant, queue, permit));
    Ok(Sse::new(ReceiverStream::new(events)))
}

type Queue = mpsc::Sender<Result<Event, Infallible>>;

/// Runs until the reader is gone or too slow, its session has ended, or the server stops.
async fn feed(
    api: Arc<Api>,
    operator: Operator,
    tenant: TenantId,
    queue: Queue,
    _permit: OwnedSemaphorePermit,
) {
    let mut updates = api.app.updates();
    let mut draining = api.health.draining();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            update = updates.recv() => match update {
                Ok(update) if update.tenant == tenant => of(&update),
                Ok(_) => continue,
                Err(RecvError::Lagged(missed)) => {
                    let told = Event::default().event("lagged").data(missed.to_string());
                    push(&queue, told).await;
                    return;
                }
                Err(RecvError::Closed) => return,
            },
            _ = second.tick() => {
                if !still_signed_in(&api, &operator) { return; }
                summary(&api, tenant).await
            },
            () = begun(&mut draining) => return,
            () = queue.closed() => return,
        };
        if let Some(event) = event
            && !push(&queue, event).await
        {
            return;
        }
    }
}

async fn begun(draining: &mut watch::Receiver<bool>) {
    // An error means that nobody can announce it any more: the server is gone.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// False once the reader is gone, or took nothing for too long.
async fn push(queue: &Queue, event: Event) -> bool {
    let patience = Duration::from_millis(CLIENT_STALL_MS_MAX);
    matches!(
        tokio::time::timeout(patience, queue.send(Ok(event))).await,
        Ok(Ok(()))
    )
}

fn of(update: &Update) -> Option<Event> {
    Event::default()
        .event(update.kind.name())
        .json_data(&update.kind)
        .ok()
}

async fn summary(api: &Api, tenant: TenantId) -> Option<Event> {
    let summary = api.app.summary(tenant).await.ok()?;
    Event::default().event("summary").json_data(summary).ok()
}

fn still_signed_in(api: &Api, operator: &Operator) -> bool {
    let cookie = operator.cookie.as_deref();
    cookie.is_none_or(|cookie| api.sessions.actor_of(cookie).is_some())
}
