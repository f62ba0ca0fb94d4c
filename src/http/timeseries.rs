//! Figures over time, for charts.
//!
//! Owns how minutes become steps. What is counted is the store's.

use std::collections::BTreeMap;

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Json, Parameters};
use super::refusal::{Answer, Refusal};
use super::schema::Time;
use crate::config::parse_duration;
use crate::store::figures::{MINUTE, Metric};

/// Points of one answer.
const MOST: i64 = 1_500;
/// How far back it goes unless told otherwise, in minutes.
const BACK: i64 = 60;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default().routes(routes!(show))
}

/// One metric over time.
#[derive(Serialize, ToSchema)]
#[schema(as = Timeseries)]
struct SeriesBody {
    metric: Metric,
    #[schema(example = "5m")]
    step: String,
    /// Pairs of the time at which a step begins and its value, one for each step. Counts of a step are added and 0 where nothing
    /// happened; of latencies and the backlog the greatest counts, and null is none.
    #[schema(value_type = Vec<Vec<serde_json::Value>>, example = json!([["2026-11-23T20:05:00Z", 12], ["2026-11-23T20:10:00Z", 0]]))]
    points: Vec<(Time, Option<i64>)>,
}

/// Show figures over time
///
/// By the minute, for the last 31 days. Counts of the present minute grow until it is over; calls and the backlog are known by
/// the minute before.
#[utoipa::path(
    get, path = "/stats/timeseries", operation_id = "show_timeseries", tag = "stats",
    params(
        ("metric" = Metric, Query, description = "What is shown"),
        ("from" = Option<String>, Query, description = "RFC 3339; an hour before `to` unless given"),
        ("to" = Option<String>, Query, description = "RFC 3339; now unless given"),
        ("step" = Option<String>, Query, description = "Whole minutes, as `1m`, `15m`, `1h`, `1d`; `1m` unless given, and at most 1,500 steps"),
    ),
    responses((status = 200, description = "A point for each step", body = SeriesBody))
)]
async fn show(State(api): State<ApiState>, mut given: Parameters) -> Answer<Json<SeriesBody>> {
    let names: Vec<_> = Metric::ALL.iter().map(|metric| metric.as_str()).collect();
    let metric = given.one_of("metric", &names)?.and_then(|name| name.parse::<Metric>().ok());
    let metric = metric.ok_or_else(|| Refusal::field("metric", "required", "is missing"))?;
    let Span { from, to, step, step_text } = span(&api, &mut given)?;
    given.end()?;
    let values = api.store.figures(metric, from, to).await?;
    let points = points(metric.adds_up(), &values, (from, to, step));
    let points = points.into_iter().map(|(at, value)| (Time::of(at), value)).collect();
    Ok(Json(SeriesBody { metric, step: step_text, points }))
}

/// Which minutes are shown, and how many at once; in milliseconds.
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) step: i64,
    pub(super) step_text: String,
}

/// `from`, `to` and `step`.
pub(super) fn span(api: &ApiState, given: &mut Parameters) -> Answer<Span> {
    let to = time(given, "to")?.unwrap_or_else(|| api.store.clock().now().as_millisecond());
    let step_text = given.one("step")?.unwrap_or_else(|| "1m".to_owned());
    let step = parse_duration(&step_text).ok().and_then(|step| i64::try_from(step.as_millis()).ok());
    let step = step.filter(|step| *step >= MINUTE && step % MINUTE == 0);
    let step = step.ok_or_else(|| Refusal::field("step", "invalid", "has to be whole minutes, such as 1m, 15m, 1h"))?;
    let from = time(given, "from")?.unwrap_or(to - BACK.max(step / MINUTE) * MINUTE);
    if from >= to {
        return Err(Refusal::field("from", "invalid", "has to be before to"));
    }
    let from = from.div_euclid(step) * step;
    if (to - from) / step > MOST {
        return Err(Refusal::field("step", "too-short", format!("would make more than {MOST} points")));
    }
    Ok(Span { from, to, step, step_text })
}

fn time(given: &mut Parameters, name: &'static str) -> Answer<Option<i64>> {
    Ok(given.parsed::<Timestamp>(name, "a time in RFC 3339")?.map(Timestamp::as_millisecond))
}

/// A point for each step: the sum of its minutes, or the greatest of them.
pub(super) fn points(
    adds_up: bool,
    values: &BTreeMap<i64, i64>,
    (from, to, step): (i64, i64, i64),
) -> Vec<(i64, Option<i64>)> {
    let steps = (to - from + step - 1) / step;
    let point = |n: i64| {
        let at = from + n * step;
        let of_step = values.range(at..at + step).map(|(_, value)| *value);
        (at, if adds_up { Some(of_step.sum()) } else { of_step.max() })
    };
    (0..steps).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_point() {
        let values = BTreeMap::from([(0, 2), (MINUTE, 3), (3 * MINUTE, 7)]);
        let of = |metric: Metric| points(metric.adds_up(), &values, (0, 5 * MINUTE, 2 * MINUTE));
        let at = |n: i64| n * MINUTE;
        assert_eq!(of(Metric::Received), [(0, Some(5)), (at(2), Some(7)), (at(4), Some(0))]);
        assert_eq!(of(Metric::LatencyP95), [(0, Some(3)), (at(2), Some(7)), (at(4), None)]);
    }
}
