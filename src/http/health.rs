//! Health of the process, for whoever starts and stops it.
//!
//! Alive is whoever answers; ready is whoever has a database. A vendor that is down makes neither false: webhooks go on
//! being taken.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use serde_json::{Value, json};

use super::ApiState;
use super::refusal::{Answer, Refusal};
use crate::store::StoreError;

/// A database that says nothing for so long is away; whoever asks has an answer within two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);

pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

pub(super) async fn ready(State(api): State<ApiState>) -> Answer<Json<Value>> {
    answered(api.store.ping(), PATIENCE).await?;
    Ok(Json(json!({"status": "ok"})))
}

async fn answered<T>(ping: impl Future<Output = Result<T, StoreError>>, patience: Duration) -> Answer<T> {
    let Ok(pong) = tokio::time::timeout(patience, ping).await else {
        let detail = "the database does not answer in time";
        return Err(Refusal::new(503, "unavailable", "Unavailable", detail).header(header::RETRY_AFTER, "1"));
    };
    Ok(pong?)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn a_database_that_hangs_is_as_good_as_away() {
        let hangs = std::future::pending::<Result<(), StoreError>>();
        let refusal = answered(hangs, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(refusal.into_response().status().as_u16(), 503);
        assert!(answered(async { Ok(7) }, PATIENCE).await.is_ok());
    }
}
