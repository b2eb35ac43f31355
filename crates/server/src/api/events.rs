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
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, watch};
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
    let permit = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        let detail = "as many event streams are open as api.event_streams_max allows";
        Problem::new(Kind::FULL, detail).retry_after(5)
    })?;
    let (queue, events) = mpsc::channel(QUEUE);
    let updates = api.app.updates();
    tokio::spawn(feed(api, operator, tenant, updates, queue, permit));
    Ok(Sse::new(ReceiverStream::new(events)))
}

type Queue = mpsc::Sender<Result<Event, Infallible>>;

/// Runs until the reader is gone or too slow, its session has ended, or the server stops.
async fn feed(
    api: Arc<Api>,
    operator: Operator,
    tenant: TenantId,
    mut updates: broadcast::Receiver<Update>,
    queue: Queue,
    _permit: OwnedSemaphorePermit,
) {
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
    matches!(tokio::time::timeout(patience, queue.send(Ok(event))).await, Ok(Ok(())))
}

fn of(update: &Update) -> Option<Event> {
    Event::default().event(update.kind.name()).json_data(&update.kind).ok()
}

async fn summary(api: &Api, tenant: TenantId) -> Option<Event> {
    let summary = api.app.summary(tenant).await.ok()?;
    Event::default().event("summary").json_data(summary).ok()
}

fn still_signed_in(api: &Api, operator: &Operator) -> bool {
    let cookie = operator.cookie.as_deref();
    cookie.is_none_or(|cookie| api.sessions.actor_of(cookie).is_some())
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::api::{ApiOptions, Live};
    use crate::app::views::CommandView;
    use crate::app::{Actor, App, AppOptions, UpdateKind};
    use crate::clock::Clock;
    use crate::data_dir::{DataDir, write_new};

    const TENANT: TenantId = TenantId(1);

    async fn api(folder: &std::path::Path) -> Arc<Api> {
        let dir = DataDir::new(folder);
        write_new(&dir.key(), &[7; 32], 0o600).unwrap();
        let options = AppOptions::new(dir.data(), dir.master_key().unwrap(), Clock::real());
        let app = App::open(options).await.unwrap();
        let config = crate::config::parse("", "", []).unwrap().config;
        let (options, live) = (ApiOptions::from_config(&config, folder), Live::from_config(&config));
        Api::new(app, Arc::default(), Arc::default(), options, live)
    }

    fn update(tenant: TenantId, id: u64) -> Update {
        let command = CommandView {
            id,
            issuer: "ada".into(),
            method: "GET".into(),
            path: "/".into(),
            state: "queued".into(),
            created: String::new(),
            expires: String::new(),
            detail: None,
        };
        let kind = UpdateKind::Command { device: "m1".into(), command };
        Update { tenant, kind }
    }

    /// What a reader gets that starts to read after `sent` updates went over a bus of 8.
    async fn read_after(sent: u64) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (bus, updates) = broadcast::channel(8);
        for id in 0..sent {
            bus.send(update(TENANT, id)).unwrap();
            let _ = bus.send(update(TenantId(2), 77)).unwrap();
        }
        drop(bus);
        let (queue, events) = mpsc::channel(QUEUE);
        let operator = Operator { actor: Actor("ada".into()), cookie: None };
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let api = api(folder.path()).await;
        tokio::spawn(feed(api, operator, TENANT, updates, queue, permit));
        let body = Sse::new(ReceiverStream::new(events)).into_response().into_body();
        let bytes = body.collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_reader_that_keeps_up_gets_its_tenant_s_events_and_no_others() {
        let text = read_after(4).await;
        assert_eq!(text.matches("event: command").count(), 4, "{text}");
        assert!(!text.contains("77") && !text.contains("lagged"), "{text}");
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_told_and_dropped() {
        let text = read_after(5).await;
        assert!(text.contains("event: lagged\ndata: 2"), "{text}");
        assert!(!text.contains("event: command"), "{text}");
    }
}
