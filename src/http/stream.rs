//! Trigger events as they happen: server-sent events, read from the log.
//!
//! A stream is a reader with a position, nothing more: it reads a page when the one before has been taken, so that a reader that is
//! slow holds one page, and one that comes back goes on where it was, whichever process it finds and however long it was away.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::events::filter;
use super::extract::{Parameters, Since};
use super::refusal::{Answer, Refusal};
use crate::store::triggers::{EventFilter, StoredEvent};
use crate::store::{Store, StoreError};

/// Streams of one process at the same time.
pub(super) const STREAMS: usize = 500;
const PAGE: i64 = 100;
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Another process may store events, and tells this one nothing.
const LOOK: Duration = Duration::from_secs(1);
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks proxies to pass on what comes, as nginx understands it.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(stream_events))
}

/// Somebody who listens.
struct Listener {
    store: Store,
    filter: EventFilter,
    /// Everything up to here was sent, or is not wanted.
    after: i64,
    page: VecDeque<StoredEvent>,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// The next event, once there is one; none when the service stops or its database is away, and the reader comes back.
    async fn next(&mut self) -> Option<StoredEvent> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.after = event.position;
                return Some(event);
            }
            let store = self.store.clone();
            let told = store.events.notified();
            tokio::pin!(told);
            // From here on, so that no event falls between looking and waiting.
            told.as_mut().enable();
            match self.look().await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "a stream of events ends, since the log cannot be read");
                    return None;
                }
            }
            if self.page.is_empty() {
                tokio::select! {
                    () = self.stop.cancelled() => return None,
                    _ = tokio::time::timeout(LOOK, told) => {}
                }
            } else if self.stop.is_cancelled() {
                return None;
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        // Asked for first: whatever is up to there can be seen, since positions become visible in their order.
        let last = self.store.last_position().await?;
        if last <= self.after {
            return Ok(());
        }
        self.page = self.store.events(&self.filter, self.after, PAGE).await?.into();
        if self.page.is_empty() {
            self.after = last;
        }
        Ok(())
    }
}

/// Listen to trigger events
///
/// Server-sent events with the same filters as the list: `id` is the position, `event` the type, `data` the CloudEvent, a `TriggerEvent`. A comment
/// comes every 15 seconds. Begins with the next event, after `since`, or after `Last-Event-ID`, with which browsers come back by
/// themselves; that is read from the log, so that nothing is missed however long they were away.
#[utoipa::path(
    get, path = "/trigger-events/stream", operation_id = "stream_trigger_events", tag = "trigger events",
    params(
        ("type" = Option<Vec<String>>, Query, description = "`campaign.member.added`, `.removed`, `.status_changed`; several mean any of them, as below"),
        ("campaign_id" = Option<Vec<String>>, Query, description = "Only of these campaigns"),
        ("program_id" = Option<Vec<i64>>, Query, description = "Only of these programs"),
        ("status" = Option<Vec<String>>, Query, description = "Only with one of these as the status, or the last one held"),
        ("old_status" = Option<Vec<String>>, Query, description = "Only from one of these"),
        ("new_status" = Option<Vec<String>>, Query, description = "Only to one of these"),
        ("since" = Option<String>, Query, description = "A time or a position, exclusive"),
        ("Last-Event-ID" = Option<String>, Header, description = "Position of the last event that was seen; goes before `since`"),
    ),
    responses(
        (status = 200, description = "Events, until one side ends it", content_type = "text/event-stream", body = String,
            example = "id: 42\nevent: campaign.member.added\ndata: {\"specversion\":\"1.0\"}\n\n"),
        (status = 503, description = "Too many listen to this process already (`unavailable`); see Retry-After"),
    )
)]
async fn stream_events(State(api): State<ApiState>, headers: HeaderMap, mut given: Parameters) -> Answer<Response> {
    let mut filter = filter(&mut given)?;
    let since = given.since()?;
    given.end()?;
    let last_seen = headers.get(LAST_EVENT_ID).map(|id| {
        let position = id.to_str().ok().and_then(|id| id.trim().parse().ok()).filter(|position: &i64| *position >= 0);
        position.ok_or_else(|| {
            Refusal::field("Last-Event-ID", "invalid", "has to be the id of an event that was sent here")
        })
    });
    let after = match (last_seen.transpose()?, since) {
        (Some(position), _) | (None, Some(Since::Position(position))) => position,
        (None, Some(Since::Time(time))) => {
            filter.since = Some(time.as_millisecond());
            0
        }
        (None, None) => api.store.last_position().await?,
    };
    let permit = api.streams.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{STREAMS} readers listen to this process already");
        Refusal::new(503, "unavailable", "Unavailable", detail).header(header::RETRY_AFTER, "10")
    })?;
    let (store, stop) = (api.store.clone(), api.stop.clone());
    let listener = Listener { store, filter, after, page: VecDeque::new(), stop, _permit: permit };
    let events = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        let sent = Event::default().id(event.position.to_string()).event(event.kind.clone()).data(event.body());
        Some((Ok::<_, Infallible>(sent), listener))
    });
    let alive = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(UNBUFFERED, HeaderValue::from_static("no"));
    Ok(response)
}
