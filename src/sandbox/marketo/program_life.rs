//! Programs by tag, and what becomes of them as a whole: clone, approve, unapprove.
//!
//! Owns those calls. A clone has no period costs and no members (Marketo, "Clone a Program"); only e-mail programs are approved.

use serde_json::{Value, json};

use super::call::Call;
use super::envelope::{Answer, Refusal};
use super::programs::{self, Program};
use super::world::World;

/// `GET program/byTag.json`; the vendor promises no order.
pub fn by_tag(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let (kind, value) = (call.asset_text("tagType")?, call.asset_text("tagValue")?);
    let (offset, count) = call.asset_page(world)?;
    let tagged = |program: &&Program| program.tags.iter().any(|tag| tag.tag_type == kind && tag.tag_value == value);
    let found = world.programs.values().filter(tagged).skip(offset).take(count);
    Ok(Answer::Assets(found.map(|program| world.program_json(program, false)).collect()))
}

/// `POST program/{id}/clone.json`
pub fn clone(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let original = programs::found(world, call.id())?.clone();
    let name = call.asset_text("name")?.to_owned();
    if name.chars().count() > 255 {
        return Err(Refusal::new(709, "name must not be longer than 255 characters"));
    }
    let folder_id = programs::folder_of(world, call)?;
    programs::unused_name(world, &name, None)?;
    let (id, now) = (world.asset_id(None), world.now());
    let description = call.param("description").map_or(original.description.clone(), str::to_owned);
    let program = Program {
        id,
        name,
        description,
        folder_id,
        costs: Vec::new(),
        sfdc_id: None,
        sfdc_name: None,
        approved: false,
        created_at: now,
        updated_at: now,
        ..original
    };
    let row = world.program_json(&program, false);
    world.programs.insert(id, program);
    Ok(Answer::Assets(vec![row]))
}

/// `POST program/{id}/approve.json`
pub fn approve(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    set_approved(world, call, true)
}

/// `POST program/{id}/unapprove.json`
pub fn unapprove(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    set_approved(world, call, false)
}

fn set_approved(world: &mut World, call: &Call, approved: bool) -> Result<Answer, Refusal> {
    let (id, now) = (call.id(), world.now());
    programs::found(world, id)?;
    let Some(program) = world.programs.get_mut(&id) else { return Ok(Answer::Assets(Vec::new())) };
    if program.kind != "Email" {
        return Err(Refusal::new(709, "Only email programs can be approved"));
    }
    if program.approved == approved {
        return Err(Refusal::new(709, "The program is in that state already"));
    }
    program.approved = approved;
    program.updated_at = now;
    Ok(Answer::Assets(vec![json!({"id": Value::from(id)})]))
}
