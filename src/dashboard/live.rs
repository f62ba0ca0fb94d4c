//! The stream by which an open page learns that something has happened.
//!
//! Server-sent events rather than polling by the page: the browser connects anew by itself, a page in the background costs one
//! open connection, and it reads itself again only when there is something to see. The stream says that, not what: the page
//! comes from where it always comes from.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::listing::Asked;
use super::visitor::Visitor;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn stream(visitor: Visitor, asked: Asked) -> Response {
    let of_mapping = asked.get("at").strip_prefix("/mappings/").and_then(|rest| rest.split('/').next());
    let id = of_mapping.filter(|id| uuid::Uuid::parse_str(id).is_ok()).map(str::to_owned);
    let Some(first) = pulse(&visitor, id.as_deref()).await else { return StatusCode::UNAUTHORIZED.into_response() };
    let stop = visitor.dashboard.stop.clone();
    let events = stream::unfold((visitor, id, first), move |(visitor, id, last)| {
        let stop = stop.clone();
        async move {
            loop {
                if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
                    return None;
                }
                let now = pulse(&visitor, id.as_deref()).await?;
                if now != last {
                    // Browsers pass over an event without data.
                    let event = Ok::<_, Infallible>(Event::default().event("changed").data("1"));
                    return Some((event, (visitor, id, now)));
                }
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// What changes whenever something has happened; none when the key is not known any more.
async fn pulse(visitor: &Visitor, mapping: Option<&str>) -> Option<String> {
    let answer = visitor.ask(Method::GET, "/stats", None).await;
    if answer.status == StatusCode::UNAUTHORIZED {
        return None;
    }
    let parts =
        ["mappings", "members", "outbox.parked", "ledger", "vendors.marketo.circuit", "vendors.salesforce.circuit"];
    let mut pulse = parts.map(|part| answer.body.json(part)).concat();
    if let Some(id) = mapping {
        pulse += &visitor.maybe(&format!("/mappings/{id}/runs?limit=1")).await.json("data");
    }
    Some(pulse)
}
