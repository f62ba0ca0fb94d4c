//! Smart campaigns as assets: list them, find one, switch a trigger campaign on and off.
//!
//! Owns how they look in both API families. No call writes what fires a campaign or what it does. Firing is `campaigns`.

use serde_json::{Value, json};

use super::call::Call;
use super::campaigns::{SmartCampaign, Trigger};
use super::envelope::{Answer, Refusal, asset_date, lead_date};
use super::paging;
use super::world::World;

fn asset(world: &World, campaign: &SmartCampaign) -> Value {
    let is_trigger = campaign.trigger.is_some();
    let status = match (is_trigger, campaign.active) {
        (false, _) => "Never Run",
        (true, true) => "Active",
        (true, false) => "Inactive",
    };
    let folder =
        campaign.program_id.map_or(json!({"id": 1, "type": "Folder"}), |id| json!({"id": id, "type": "Program"}));
    let date = asset_date(world.started);
    json!({
        "id": campaign.id, "name": campaign.name, "description": "", "createdAt": date, "updatedAt": date,
        "folder": folder, "status": status, "type": if is_trigger { "trigger" } else { "batch" }, "isSystem": false,
        "isActive": is_trigger && campaign.active, "isRequestable": campaign.trigger == Some(Trigger::Requested),
        "isCommunicationLimitEnabled": false, "recurrence": {"weekdayOnly": false}, "qualificationRuleType": "any",
        "workspace": "Default", "smartListId": campaign.id, "flowId": campaign.id,
        "computedUrl": format!("{}/#SC{}A1", world.base_url, campaign.id),
    })
}

fn found(world: &World, id: i64) -> Result<&SmartCampaign, Refusal> {
    world.campaigns.get(&id).ok_or_else(|| Refusal::new(702, format!("Smart Campaign[id = {id}] not found")))
}

/// `GET asset/v1/smartCampaigns.json`
pub fn browse(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let (offset, count) = call.asset_page(world)?;
    let all = world.campaigns.values().filter(|campaign| call.param("isActive") != Some("true") || campaign.active);
    Ok(Answer::Assets(all.skip(offset).take(count).map(|campaign| asset(world, campaign)).collect()))
}

/// `GET asset/v1/smartCampaign/{id}.json`
pub fn get(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    Ok(Answer::Assets(vec![asset(world, found(world, call.id())?)]))
}

/// `GET asset/v1/smartCampaign/byName.json`
pub fn by_name(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let name = call.asset_text("name")?;
    let named = world.campaigns.values().filter(|campaign| campaign.name == name);
    Ok(Answer::Assets(named.map(|campaign| asset(world, campaign)).collect()))
}

/// `POST asset/v1/smartCampaign/{id}/activate.json`
pub fn activate(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    set_active(world, call, true)
}

/// `POST asset/v1/smartCampaign/{id}/deactivate.json`
pub fn deactivate(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    set_active(world, call, false)
}

fn set_active(world: &mut World, call: &Call, active: bool) -> Result<Answer, Refusal> {
    let id = call.id();
    if found(world, id)?.trigger.is_none() {
        return Err(Refusal::new(709, "Only trigger campaigns are activated"));
    }
    if let Some(campaign) = world.campaigns.get_mut(&id) {
        campaign.active = active;
    }
    Ok(Answer::Assets(vec![json!({"id": id})]))
}

fn lead_form(world: &World, campaign: &SmartCampaign) -> Value {
    let program = campaign.program_id.and_then(|id| world.programs.get(&id));
    let date = lead_date(world.started);
    json!({
        "id": campaign.id, "name": campaign.name, "type": if campaign.trigger.is_some() { "trigger" } else { "batch" },
        "workspaceName": "Default", "programName": program.map(|program| program.name.as_str()), "programId": program.map(|program| program.id),
        "createdAt": date, "updatedAt": date, "active": campaign.trigger.is_some() && campaign.active,
    })
}

/// `GET rest/v1/campaigns.json`
pub fn list(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let (ids, names, programs) = (call.ids("id")?, call.list("name"), call.list("programName"));
    let size = call.batch_size(world)?;
    let after = call.param("nextPageToken").map_or(Ok(0), |token| paging::read("campaigns", token))?;
    let wanted = |campaign: &&SmartCampaign| {
        let program = campaign.program_id.and_then(|id| world.programs.get(&id));
        campaign.id > after
            && (ids.is_empty() || ids.contains(&campaign.id))
            && (names.is_empty() || names.contains(&campaign.name))
            && (programs.is_empty() || program.is_some_and(|program| programs.contains(&program.name)))
    };
    let mut rows: Vec<&SmartCampaign> = world.campaigns.values().filter(wanted).take(size + 1).collect();
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|last| paging::issue("campaigns", last.id));
    Ok(Answer::Page { records: rows.iter().map(|row| lead_form(world, row)).collect(), next, more: None })
}

/// `GET rest/v1/campaigns/{id}.json`
pub fn one(world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let campaign = world.campaigns.get(&call.id()).ok_or_else(|| Refusal::new(1013, "Campaign not found"))?;
    Ok(Answer::Records(vec![lead_form(world, campaign)]))
}
