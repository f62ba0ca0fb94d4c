//! The usage and error reports, and the list of partitions.
//!
//! Owns nothing: the numbers are the limits'. These calls count like any other.

use serde_json::json;

use super::call::Call;
use super::envelope::{Answer, Refusal};
use super::world::World;

/// `GET stats/usage.json`
pub fn usage_today(world: &mut World, _: &Call) -> Result<Answer, Refusal> {
    Ok(Answer::Records(world.limits.usage_report(world.now(), 1)))
}

/// `GET stats/usage/last7days.json`
pub fn usage_week(world: &mut World, _: &Call) -> Result<Answer, Refusal> {
    Ok(Answer::Records(world.limits.usage_report(world.now(), 7)))
}

/// `GET stats/errors.json`
pub fn errors_today(world: &mut World, _: &Call) -> Result<Answer, Refusal> {
    Ok(Answer::Records(world.limits.error_report(world.now(), 1)))
}

/// `GET stats/errors/last7days.json`
pub fn errors_week(world: &mut World, _: &Call) -> Result<Answer, Refusal> {
    Ok(Answer::Records(world.limits.error_report(world.now(), 7)))
}

/// `GET leads/partitions.json`: there is one.
pub fn partitions(_: &mut World, _: &Call) -> Result<Answer, Refusal> {
    Ok(Answer::Records(vec![json!({"id": 1, "name": "Default"})]))
}
