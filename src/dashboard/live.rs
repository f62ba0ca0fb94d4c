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
    let part = part_of(asked.get("at"));
    let Some(first) = pulse(&visitor, part.as_deref()).await else { return StatusCode::UNAUTHORIZED.into_response() };
    let stop = visitor.dashboard.stop.clone();
    let events = stream::unfold((visitor, part, first), move |(visitor, part, last)| {
        let stop = stop.clone();
        async move {
            loop {
                if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
                    return None;
                }
                let now = pulse(&visitor, part.as_deref()).await?;
                if now != last {
                    // Browsers pass over an event without data.
                    let event = Ok::<_, Infallible>(Event::default().event("changed").data("1"));
                    return Some((event, (visitor, part, now)));
                }
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// The list of the API by which a page about one thing sees that something has happened to it.
fn part_of(page: &str) -> Option<String> {
    let mut steps = page.trim_start_matches('/').split('/');
    let (kind, id) = (steps.next()?, steps.next()?);
    uuid::Uuid::parse_str(id).ok()?;
    match kind {
        "mappings" => Some(format!("/mappings/{id}/runs?limit=1")),
        "subscriptions" => Some(format!("/subscriptions/{id}/deliveries?limit=20")),
        "plans" => Some(format!("/plans/{id}/rows?limit=1")),
        _ => None,
    }
}

/// What changes whenever something has happened; none when the key is not known any more.
async fn pulse(visitor: &Visitor, part: Option<&str>) -> Option<String> {
    let answer = visitor.ask(Method::GET, "/stats", None).await;
    if answer.status == StatusCode::UNAUTHORIZED {
        return None;
    }
    let parts = [
        "mappings",
        "members",
        "outbox.parked",
        "ledger",
        "drift",
        "vendors.marketo.circuit",
        "vendors.salesforce.circuit",
    ];
    let mut pulse = parts.map(|part| answer.body.json(part)).concat();
    if let Some(part) = part {
        pulse += &visitor.maybe(part).await.json("data");
    }
    Some(pulse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_about_one_thing_follows_what_happens_to_it() {
        let id = "01a21c0d-3741-736e-ae4c-e9b74af8d774";
        for (page, part) in [
            (format!("/mappings/{id}/members"), Some(format!("/mappings/{id}/runs?limit=1"))),
            (format!("/subscriptions/{id}"), Some(format!("/subscriptions/{id}/deliveries?limit=20"))),
            ("/mappings/new".to_owned(), None),
            (format!("/members/{id}"), None),
            ("/".to_owned(), None),
        ] {
            assert_eq!(part_of(&page), part, "{page}");
        }
    }
}
