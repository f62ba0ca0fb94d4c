//! Health of the process, for whoever starts and stops it.
//!
//! Alive is whoever answers; ready is whoever has a database. A vendor that is down makes neither false: webhooks go on
//! being taken.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::ApiState;
use super::refusal::Answer;

pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

pub(super) async fn ready(State(api): State<ApiState>) -> Answer<Json<Value>> {
    api.store.ping().await?;
    Ok(Json(json!({"status": "ok"})))
}
