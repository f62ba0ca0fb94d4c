//! `Idempotency-Key`: a request that is repeated gives the first answer again, and does nothing.
//!
//! Owns what makes two requests the same: the caller and the key; and the operation with its parameters and the body by their
//! hash. Only answers that did something are kept: a refused request may be made again.

use aws_lc_rs::digest;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::{Caller, hex};
use super::extract::refused_bytes;
use super::refusal::{Answer, Refusal};
use super::{ApiState, IDEMPOTENCY_KEY};
use crate::store::keys::{Kept, Repeated};

/// Characters in a key.
const LONGEST_KEY: usize = 255;
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Headers that belong to the answer, and not to the request that it was given to.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

/// Wraps the operations that heed the header; those that only read, and requests without it, pass through.
pub(super) async fn once(State(api): State<ApiState>, request: Request, next: Next) -> Answer<Response> {
    let given = request.headers().get(IDEMPOTENCY_KEY).filter(|_| *request.method() == Method::POST);
    let Some(given) = given else { return Ok(next.run(request).await) };
    let given = given.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    let given = given
        .ok_or_else(|| Refusal::field("Idempotency-Key", "invalid", "has to be 1 to 255 printable ASCII characters"))?;
    let actor = request.extensions().get::<Caller>().map_or("", |caller| caller.actor.as_str());
    // With its parameters: a dry run is another request, and not an answer to this one.
    let path = request.uri().path_and_query().map_or(request.uri().path(), |path| path.as_str()).to_owned();
    let key = hashed(format!("{actor}\n{given}").as_bytes());
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, api.most_bytes).await.map_err(|_| refused_bytes(StatusCode::PAYLOAD_TOO_LARGE))?;
    let what = [path.as_bytes(), b"\n", &body].concat();
    match api.store.begin_request(&key, &hashed(&what)).await? {
        Repeated::New => {}
        Repeated::Answered(kept) => return Ok(again(kept)),
        Repeated::OtherRequest => {
            let message = "was used for another operation or another body within the last 24 hours";
            return Err(Refusal::field("Idempotency-Key", "reused", message));
        }
        Repeated::InHand => {
            let detail = "the same request is being answered at this moment";
            return Err(Refusal::new(409, "conflict", "Conflict", detail).header(header::RETRY_AFTER, "1"));
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if !response.status().is_success() {
        api.store.end_request(&key, None).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let value = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let headers = KEPT_HEADERS.iter().filter_map(|name| Some((name.to_string(), value(name)?.to_owned()))).collect();
    let text = String::from_utf8_lossy(&body).into_owned();
    let kept = Kept { status: i64::from(parts.status.as_u16()), headers, body: text };
    if let Err(error) = api.store.end_request(&key, Some(&kept)).await {
        // It was done, so it is answered; a repetition meets what it made.
        tracing::warn!(%error, "an answer could not be kept for repetitions");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn again(kept: Kept) -> Response {
    let status = u16::try_from(kept.status).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let mut response = (status.unwrap_or(StatusCode::OK), kept.body).into_response();
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn hashed(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}
