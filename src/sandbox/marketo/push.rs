//! The two older ways into a program: Push Lead, and the status call for those who are members already.
//!
//! Owns their rules. Push always upserts and leaves activity 145; the older status call changes existing members only. Both take the
//! step rule from `rules`.

use serde_json::{Value, json};

use super::call::{Call, record_id};
use super::envelope::{Answer, Refusal, skipped};
use super::lead_writes;
use super::log::kind;
use super::rules::Move;
use super::world::{Cause, World};

/// `POST leads/push.json`
///
/// UNVERIFIED: the status when `programStatus` is left out; the first one of the channel, as with a form or an import.
pub fn push(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let text = |name: &str| call.body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("programName").ok_or_else(|| Refusal::missing("programName"))?;
    let program_id =
        world.program_named(name).map_err(|_| Refusal::new(1013, format!("Program '{name}' not found")))?;
    let first = world.statuses(program_id)?.iter().find(|status| status.step != 0).map(|status| status.name.clone());
    let status = text("programStatus").map(str::to_owned).or(first).unwrap_or_default();
    if !world.statuses(program_id)?.iter().any(|known| known.name == status && known.step != 0) {
        return Err(Refusal::new(1025, "Program status not found"));
    }
    let Answer::Records(mut records) = lead_writes::sync(world, call)? else { return Ok(Answer::Records(Vec::new())) };
    for record in &mut records {
        let Some(id) = record["id"].as_i64() else { continue };
        let attributes = vec![
            ("Reason", text("reason").unwrap_or_default().into()),
            ("Source", text("source").unwrap_or_default().into()),
        ];
        world.record(kind::PUSH_LEAD, id, Some(program_id), name.to_owned(), attributes);
        world.change_status(program_id, id, &status, Cause::Api)?;
    }
    Ok(Answer::Records(records))
}

/// `POST leads/programs/{id}/status.json`
pub fn set_status_of_members(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let program_id = call.id();
    world.program(program_id)?;
    let input = call.input(world)?;
    let status = call.body.get("status").and_then(Value::as_str).filter(|name| !name.is_empty());
    let status = status.ok_or_else(|| Refusal::missing("status"))?;
    if !world.statuses(program_id)?.iter().any(|known| known.name == status && known.step != 0) {
        return Err(Refusal::new(1025, "Program status not found"));
    }
    let mut records = Vec::with_capacity(input.len());
    for record in &input {
        let moved = record_id(record, "id").and_then(|id| {
            if world.memberships.get(program_id, id).is_none() {
                return Err(Refusal::new(1013, "Membership not found"));
            }
            world.change_status(program_id, id, status, Cause::Api).map(|outcome| (id, outcome))
        });
        records.push(match moved {
            Ok((id, Move::Created | Move::Updated)) => json!({"id": id, "status": "updated"}),
            Ok((_, Move::Same | Move::Past)) => {
                skipped(None, 1037, "Lead skipped because it is already in or past this status")
            }
            Err(refusal) => skipped(None, refusal.code, &refusal.message),
        });
    }
    Ok(Answer::Records(records))
}
