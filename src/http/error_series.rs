//! Errors of the vendors over time, by code.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Json, Parameters};
use super::refusal::Answer;
use super::schema::Time;
use super::timeseries::{Span, points, span};
use crate::store::spent::ErrorSeries;

/// Codes that are shown by themselves; the others are one more.
const MOST: usize = 8;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(show))
}

/// Errors over time.
#[derive(Serialize, ToSchema)]
#[schema(as = ErrorsOverTime)]
struct ErrorsBody {
    #[schema(example = "5m")]
    step: String,
    /// Those met most often first, at most eight; all others together last, with the code `other`.
    codes: Vec<CodeBody>,
}

/// Errors with one code.
#[derive(Serialize, ToSchema)]
#[schema(as = ErrorsOfCode)]
struct CodeBody {
    /// Null of `other`.
    #[schema(example = "salesforce")]
    vendor: Option<String>,
    #[schema(example = "UNABLE_TO_LOCK_ROW")]
    code: String,
    total: i64,
    /// Pairs of the time at which a step begins and how many there were, one for each step.
    #[schema(value_type = Vec<Vec<serde_json::Value>>, example = json!([["2026-11-23T20:05:00Z", 12], ["2026-11-23T20:10:00Z", 0]]))]
    points: Vec<(Time, i64)>,
}

/// Show errors over time, by code
///
/// What the vendors said to attempts at changes, also to those that were tried again and went well; by the minute, for the last 31
/// days.
#[utoipa::path(
    get, path = "/stats/errors", operation_id = "show_errors_over_time", tag = "stats",
    params(
        ("from" = Option<String>, Query, description = "RFC 3339; an hour before `to` unless given"),
        ("to" = Option<String>, Query, description = "RFC 3339; now unless given"),
        ("step" = Option<String>, Query, description = "Whole minutes, as `1m`, `15m`, `1h`, `1d`; `1m` unless given, and at most 1,500 steps"),
    ),
    responses((status = 200, description = "The codes that there were, a point for each step", body = ErrorsBody))
)]
async fn show(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<ErrorsBody>> {
    let Span { from, to, step, step_text } = span(&api, &mut given)?;
    given.end()?;
    let mut all = api.store.errors_by_code(from, to).await?;
    let others = all.split_off(all.len().min(MOST));
    let of = |vendor: Option<String>, code: String, counts: &BTreeMap<i64, i64>| CodeBody {
        vendor,
        code,
        total: counts.values().sum(),
        points: points(true, counts, (from, to, step))
            .into_iter()
            .map(|(at, n)| (Time::of(at), n.unwrap_or(0)))
            .collect(),
    };
    let mut codes: Vec<CodeBody> =
        all.into_iter().map(|ErrorSeries { vendor, code, counts }| of(Some(vendor), code, &counts)).collect();
    if !others.is_empty() {
        let mut rest: BTreeMap<i64, i64> = BTreeMap::new();
        for (minute, n) in others.into_iter().flat_map(|series| series.counts) {
            *rest.entry(minute).or_default() += n;
        }
        codes.push(of(None, "other".to_owned(), &rest));
    }
    Ok(Json(ErrorsBody { step: step_text, codes }))
}
