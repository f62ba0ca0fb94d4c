//! The switch for everything, and the keys.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use serde_json::json;

use super::overview::two;
use super::view::View;
use super::visitor::{Flash, Submitted, Visitor};
use super::{Frame, Page};

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    frame: Frame,
    sync: View,
    keys: View,
    access: View,
}

pub(super) async fn show(visitor: Visitor) -> Page {
    let (sync, keys) = two(visitor.get("/settings/campaign-sync"), visitor.get("/keys?limit=200")).await;
    let access = visitor.maybe("/settings/access").await;
    visitor.page(&Settings { frame: visitor.frame("Settings", "settings"), sync: sync?, keys: keys?, access })
}

pub(super) async fn switch(Submitted { visitor, fields }: Submitted) -> Page {
    let enabled = fields.get("enabled") == "true";
    let answer = visitor.ask(Method::PUT, "/settings/campaign-sync", Some(&json!({"enabled": enabled}))).await;
    let done = match enabled {
        true => "Campaign sync is on. What was received meanwhile is worked off now.",
        false => "Campaign sync is off. Webhooks are still stored.",
    };
    visitor.told("/settings", &answer, done)
}

pub(super) async fn create_key(Submitted { visitor, fields }: Submitted) -> Page {
    let days = fields.get("expires").parse::<i64>().ok().filter(|days| (1..=3650).contains(days));
    let expires = days.map(|days| visitor.now() + Duration::from_secs(days.unsigned_abs() * 86_400));
    let body = json!({"name": fields.get("name"), "scopes": fields.all("scopes"), "expires_at": expires});
    let answer = visitor.ask(Method::POST, "/keys", Some(&body)).await;
    if !answer.status.is_success() {
        return visitor.told("/settings", &answer, "");
    }
    // Shown in this answer and nowhere else: not in a cookie, not in an address.
    let done = format!("Made. Copy the key now, it is not shown again: {}", answer.body.text("key"));
    show(visitor.saying(Flash::good(done))).await
}

pub(super) async fn revoke_key(Path(id): Path<String>, Submitted { visitor, .. }: Submitted) -> Page {
    let answer = visitor.ask(Method::DELETE, &format!("/keys/{id}"), None).await;
    visitor.told("/settings", &answer, "Revoked. Its sessions end with it.")
}
