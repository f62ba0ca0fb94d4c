//! Channels and programs: the Asset API's calls for them, and their period costs.
//!
//! Owns the two kinds of asset and their wire form. Channels have no write API, and no REST call maps a program to a campaign:
//! `sfdcId` is only read. Must not know members, except that deleting a program forgets them without an activity.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::Call;
use super::envelope::{Answer, Refusal, asset_date, query_date};
use super::lenient;
use super::rules::{NOT_IN_PROGRAM, ProgressionStatus};
use super::world::World;

/// A channel and its progression.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Channel {
    pub id: i64,
    pub name: String,
    /// `program`, `event`, `webinar`, `nurture` or `email`.
    pub applicable_program_type: String,
    /// In order of step, "Not in Program" first.
    pub statuses: Vec<ProgressionStatus>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A period cost: whole units of currency for one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cost {
    /// First day of the period.
    pub start_date: Date,
    /// Amount.
    pub cost: i32,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A tag of a program, as `{"tagType": .., "tagValue": ..}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tag {
    pub tag_type: String,
    pub tag_value: String,
}

/// A program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    pub id: i64,
    pub name: String,
    pub description: String,
    /// `Default`, `Event`, `Event with Webinar`, `Engagement` or `Email`.
    pub kind: String,
    pub channel_id: i64,
    pub folder_id: i64,
    pub workspace: String,
    pub costs: Vec<Cost>,
    pub tags: Vec<Tag>,
    /// Whether an e-mail program is approved ("locked").
    pub approved: bool,
    /// Campaign that Marketo's own sync mapped the program to.
    pub sfdc_id: Option<String>,
    pub sfdc_name: Option<String>,
    /// My Tokens by name, without braces and `my.`.
    pub my_tokens: std::collections::BTreeMap<String, Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl World {
    /// A program as the API shows it.
    pub(super) fn program_json(&self, program: &Program, with_costs: bool) -> Value {
        let prefix = match program.kind.as_str() {
            "Event" | "Event with Webinar" => "ME",
            "Engagement" => "NP",
            "Email" => "EBP",
            _ => "PG",
        };
        let costs = if with_costs && !program.costs.is_empty() { json!(program.costs) } else { Value::Null };
        let tags = if program.tags.is_empty() { Value::Null } else { json!(program.tags) };
        let mut row = json!({
            "id": program.id, "name": program.name, "description": program.description,
            "createdAt": asset_date(program.created_at), "updatedAt": asset_date(program.updated_at),
            "url": format!("{}/#{prefix}{}A1", self.base_url, program.id), "type": program.kind,
            "channel": self.channels.get(&program.channel_id).map(|channel| channel.name.as_str()),
            "folder": {"type": "Folder", "value": program.folder_id, "folderName": "Marketing Activities"},
            "status": status_of(program), "workspace": program.workspace, "tags": tags, "costs": costs, "headStart": false,
        });
        if let Some(id) = &program.sfdc_id {
            row["sfdcId"] = id.as_str().into();
            row["sfdcName"] = program.sfdc_name.as_deref().unwrap_or_default().into();
        }
        row
    }

    /// Adds costs to a program, or puts them in the place of those it has.
    pub(super) fn put_costs(&mut self, id: i64, costs: Vec<Cost>, destructive: bool) {
        let (now, moves) = (self.now(), self.options.cost_moves_updated_at);
        let Some(program) = self.programs.get_mut(&id) else { return };
        if destructive {
            program.costs.clear();
        }
        program.costs.extend(costs);
        if moves {
            program.updated_at = now;
        }
    }
}

/// Only engagement and e-mail programs have one.
fn status_of(program: &Program) -> &'static str {
    match program.kind.as_str() {
        "Engagement" => "on",
        "Email" if program.approved => "locked",
        "Email" => "unlocked",
        _ => "",
    }
}

/// `GET channels.json`
pub fn channels(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let (offset, count) = call.asset_page(world)?;
    Ok(Answer::Assets(world.channels.values().skip(offset).take(count).map(channel_json).collect()))
}

/// `GET channel/byName.json`
pub fn channel_by_name(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = call.asset_text("name")?;
    Ok(Answer::Assets(world.channels.values().filter(|channel| channel.name == name).map(channel_json).collect()))
}

fn channel_json(channel: &Channel) -> Value {
    let statuses: Vec<Value> = channel
        .statuses
        .iter()
        .map(|status| {
            json!({"name": status.name, "step": status.step, "description": null, "hidden": status.hidden, "success": status.success})
        })
        .collect();
    json!({
        "id": channel.id, "name": channel.name, "applicableProgramType": channel.applicable_program_type,
        "progressionStatuses": statuses, "createdAt": asset_date(channel.created_at), "updatedAt": asset_date(channel.updated_at),
    })
}

/// `GET program/{id}.json`
pub fn get(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let program = found(world, call.id())?;
    Ok(Answer::Assets(vec![world.program_json(program, world.options.program_get_has_costs)]))
}

/// A program, or 702.
pub(super) fn found(world: &World, id: i64) -> Result<&Program, Refusal> {
    world.programs.get(&id).ok_or_else(|| Refusal::new(702, format!("Program[id = {id}] not found")))
}

/// `GET program/byName.json`; a name with a comma cannot be searched.
pub fn by_name(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = call.asset_text("name")?;
    let costs = call.param("includeCosts") == Some("true");
    let rows = world.programs.values().filter(|program| program.name == name && !name.contains(','));
    Ok(Answer::Assets(rows.map(|program| world.program_json(program, costs)).collect()))
}

/// `GET programs.json`: no costs here, whatever is asked.
pub fn browse(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let (offset, count) = call.asset_page(world)?;
    let date = |name: &str| match call.param(name) {
        Some(text) => {
            query_date(text).map(Some).ok_or_else(|| Refusal::new(704, format!("Invalid date format: {text}")))
        }
        None => Ok(None),
    };
    let (earliest, latest) = (date("earliestUpdatedAt")?, date("latestUpdatedAt")?);
    let values = call.list("filterValues");
    let matches: fn(&Program, &str) -> bool = match call.param("filterType") {
        None => |_, _| true,
        Some("id" | "programId") => |program, value| program.id.to_string() == value,
        Some("folderId") => |program, value| program.folder_id.to_string() == value,
        Some("workspace") => |program, value| program.workspace == value,
        Some(other) => return Err(Refusal::new(709, format!("Invalid filterType '{other}'"))),
    };
    if call.param("filterType").is_some() && values.is_empty() {
        return Err(Refusal::new(701, "filterValues cannot be blank"));
    }
    let rows = world.programs.values().filter(|program| {
        (values.is_empty() || values.iter().any(|value| matches(program, value)))
            && earliest.is_none_or(|time| program.updated_at >= time)
            && latest.is_none_or(|time| program.updated_at <= time)
            && call.param("status").is_none_or(|status| status_of(program) == status)
    });
    Ok(Answer::Assets(rows.skip(offset).take(count).map(|program| world.program_json(program, false)).collect()))
}

/// `POST programs.json`, form encoded with JSON inside.
pub fn create(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = call.asset_text("name")?.to_owned();
    let kind = program_type(call.asset_text("type")?)?;
    let channel_name = call.asset_text("channel")?;
    let folder_id = folder_of(world, call)?;
    let channel = world.channels.values().find(|channel| channel.name == channel_name);
    let channel = channel.ok_or_else(|| Refusal::new(709, "Channel not found"))?;
    if channel.applicable_program_type != channel_type(kind) {
        return Err(Refusal::new(709, format!("Channel {channel_name} is not applicable to a program of type {kind}")));
    }
    let channel_id = channel.id;
    unused_name(world, &name, None)?;
    let costs = costs_of(world, call)?.unwrap_or_default();
    let tags = tags_of(world, call)?.unwrap_or_default();
    let now = world.now();
    let id = world.asset_id(None);
    let program = Program {
        id,
        name,
        description: call.param("description").unwrap_or_default().into(),
        kind: kind.into(),
        channel_id,
        folder_id,
        workspace: "Default".into(),
        costs,
        tags,
        approved: false,
        sfdc_id: None,
        sfdc_name: None,
        my_tokens: std::collections::BTreeMap::new(),
        created_at: now,
        updated_at: now,
    };
    let row = world.program_json(&program, true);
    world.programs.insert(id, program);
    Ok(Answer::Assets(vec![row]))
}

/// `POST program/{id}.json`: costs append unless `costsDestructiveUpdate` is true; channel, type and mapping cannot be set.
pub fn update(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let id = call.id();
    found(world, id)?;
    let (costs, tags) = (costs_of(world, call)?, tags_of(world, call)?);
    if let Some(name) = call.param("name") {
        unused_name(world, name, Some(id))?;
    }
    let now = world.now();
    if let Some(program) = world.programs.get_mut(&id) {
        if let Some(tags) = tags {
            program.tags = tags;
            program.updated_at = now;
        }
        for (param, text) in [("name", &mut program.name), ("description", &mut program.description)] {
            if let Some(new) = call.param(param).filter(|new| *new != text.as_str()) {
                *text = new.to_owned();
                program.updated_at = now;
            }
        }
    }
    let destructive = call.param("costsDestructiveUpdate") == Some("true");
    if destructive || costs.is_some() {
        world.put_costs(id, costs.unwrap_or_default(), destructive);
    }
    Ok(Answer::Assets(vec![world.program_json(found(world, id)?, true)]))
}

/// `POST program/{id}/delete.json`: the members go without a word in the log.
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let id = call.id();
    found(world, id)?;
    world.delete_program(id);
    Ok(Answer::Assets(vec![json!({"id": id})]))
}

/// The folder that a call names, or 710.
pub(super) fn folder_of(world: &World, call: &Call) -> Result<i64, Refusal> {
    let folder = lenient::parse(call.asset_text("folder")?, world.options.lenient_asset_json);
    let id = folder["id"].as_i64().filter(|_| folder["type"].is_string());
    id.ok_or_else(|| Refusal::new(710, "Parent Folder Not Found"))
}

/// 709 when another program has the name.
pub(super) fn unused_name(world: &World, name: &str, but: Option<i64>) -> Result<(), Refusal> {
    let taken = world.programs.values().any(|program| program.name == name && Some(program.id) != but);
    if taken { Err(Refusal::new(709, format!("Program with name {name} already exists"))) } else { Ok(()) }
}

fn costs_of(world: &World, call: &Call) -> Result<Option<Vec<Cost>>, Refusal> {
    let Some(text) = call.param("costs") else { return Ok(None) };
    let costs = lenient::parse(text, world.options.lenient_asset_json);
    serde_json::from_value(costs).map(Some).map_err(|_| Refusal::invalid_value(text, "costs"))
}

fn tags_of(world: &World, call: &Call) -> Result<Option<Vec<Tag>>, Refusal> {
    let Some(text) = call.param("tags") else { return Ok(None) };
    let tags = lenient::parse(text, world.options.lenient_asset_json);
    serde_json::from_value(tags).map(Some).map_err(|_| Refusal::invalid_value(text, "tags"))
}

/// The display form of a program type, from either spelling.
pub fn program_type(text: &str) -> Result<&'static str, Refusal> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "default" | "program" => "Default",
        "event" => "Event",
        "event with webinar" | "webinar" => "Event with Webinar",
        "engagement" | "nurture" => "Engagement",
        "email" => "Email",
        _ => return Err(Refusal::new(709, format!("Invalid program type '{text}'"))),
    })
}

/// `applicableProgramType` of the channels that a type of program can have.
fn channel_type(kind: &str) -> &'static str {
    match kind {
        "Event" => "event",
        "Event with Webinar" => "webinar",
        "Engagement" => "nurture",
        "Email" => "email",
        _ => "program",
    }
}

/// "Not in Program" and the given statuses, in order of step.
#[must_use]
pub fn progression(mut statuses: Vec<ProgressionStatus>, channel_id: i64) -> Vec<ProgressionStatus> {
    statuses.retain(|status| status.step != 0 && status.name != NOT_IN_PROGRAM);
    statuses.sort_by_key(|status| status.step);
    let absent = ProgressionStatus { id: 0, name: NOT_IN_PROGRAM.into(), step: 0, success: false, hidden: false };
    statuses.insert(0, absent);
    for (position, status) in (0_i64..).zip(&mut statuses) {
        status.id = channel_id * 100 + position;
    }
    statuses
}
