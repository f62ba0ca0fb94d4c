//! Addresses that lead nowhere: people get a page, programs what they always got.

use askama::Template;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::guard;

#[derive(Template)]
#[template(path = "lost.html")]
struct Lost;

/// In place of the problem that nobody could read, for whoever asks for a page outside the API.
pub async fn lost(request: Request, next: Next) -> Response {
    let wants_page = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let wants_page = wants_page.is_some_and(|accept| accept.contains("text/html"));
    let of_people = request.method() == Method::GET && wants_page && !request.uri().path().starts_with("/api/");
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !of_people || response.status() != StatusCode::NOT_FOUND || !kind.contains("json") {
        return response;
    }
    match Lost.render() {
        Ok(page) => guard::protected((StatusCode::NOT_FOUND, Html(page)).into_response()).await,
        Err(_) => response,
    }
}
