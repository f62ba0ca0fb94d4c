//! One line for each mapping: whether both sides are there, and every status translates.
//!
//! Compares what the vendors say now with the map that is stored. Must not change the map; that is the mapping's life.

use crate::connector::{Campaign, Channel};
use crate::domain::mapping::MappingState;
use crate::domain::merge::Side;
use crate::domain::status::{NOT_IN_PROGRAM, Problem, StatusDifference, StatusMap};
use crate::store::mappings::Mapping;

use super::questions::{Answer, Gap};
use super::{Item, marketo, salesforce};

/// Most statuses that one line names.
const NAMED: usize = 5;

pub(super) fn statuses(mapping: &Mapping, marketo: &marketo::Facts, salesforce: &salesforce::Facts) -> Item {
    let id = format!("status:{}", mapping.id);
    match sides(mapping, marketo, salesforce) {
        Ok((channel, campaign)) => compared(&id, mapping, channel, campaign),
        Err(Missing::Gap(Gap::After(line))) => Item::after(&id, line),
        Err(Missing::Gap(Gap::Refused { code, message })) => {
            let line = match &salesforce.status {
                _ if salesforce.no_marketing_user() => salesforce::MARKETING_USER,
                Ok(None) => "campaign_member_status_access",
                _ => "campaign_access",
            };
            let found = format!("the statuses are not shown ({code}: {message})");
            match salesforce.campaigns {
                Err(_) => Item::after(&id, line),
                Ok(_) => Item::fail(&id, found, "see what Marketo says"),
            }
        }
        Err(Missing::Thing(found, remedy)) => Item::fail(&id, found, remedy),
    }
}

/// Why the two cannot be compared.
enum Missing {
    Gap(Gap),
    Thing(String, String),
}

fn known<T>(answer: &Answer<T>) -> Result<&T, Missing> {
    answer.as_ref().map_err(|gap| Missing::Gap(gap.clone()))
}

fn sides<'a>(
    mapping: &Mapping,
    marketo: &'a marketo::Facts,
    salesforce: &'a salesforce::Facts,
) -> Result<(&'a Channel, &'a Campaign), Missing> {
    let (programs, channels) = (known(&marketo.programs)?, known(&marketo.channels)?);
    let campaigns = known(&salesforce.campaigns)?;
    let remove = "bring it back or let our user see it, then resume the mapping; or remove the mapping, which leaves the members where they are";
    let Some(program) = programs.get(&mapping.program_id) else {
        let found =
            format!("program {} ({}) is not there, or not ours to see", mapping.program_id, mapping.program_name);
        return Err(Missing::Thing(found, remove.to_owned()));
    };
    let Some(campaign) = campaigns.get(mapping.campaign_id.as_str()) else {
        let found =
            format!("campaign {} ({}) is not there, or not ours to see", mapping.campaign_id, mapping.campaign_name);
        return Err(Missing::Thing(found, remove.to_owned()));
    };
    let Some(channel) = channels.get(&program.channel) else {
        let found = format!("Marketo does not tell the statuses of the channel {:?}", program.channel);
        return Err(Missing::Thing(
            found,
            "in Marketo: Admin > Tags > Channel: see that the channel is there and not hidden".to_owned(),
        ));
    };
    Ok((channel, campaign))
}

fn compared(id: &str, mapping: &Mapping, channel: &Channel, campaign: &Campaign) -> Item {
    let differences = differences(mapping, channel, campaign);
    let name = format!("{} and {}", mapping.program_name, mapping.campaign_name);
    if !differences.is_empty() {
        let named: Vec<String> = differences.iter().take(NAMED).map(told).collect();
        let more = differences.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let remedy = if mapping.custom_map {
            format!("PATCH /api/v1/mappings/{} with a status_map that translates each of them", mapping.id)
        } else {
            format!(
                "name them the same (Marketo: Admin > Tags > Channel; Salesforce: the campaign > Advanced Setup > Campaign Member Statuses), or give the mapping {} a status_map",
                mapping.id
            )
        };
        return Item::fail(id, format!("{name}: {}{more}", named.join("; ")), remedy);
    }
    if mapping.state == MappingState::Failed {
        let why = mapping.reason.as_deref().unwrap_or("unknown");
        let remedy = format!("both sides are there now: POST /api/v1/mappings/{}/resume", mapping.id);
        return Item::fail(id, format!("{name}: the mapping stopped ({why})"), remedy);
    }
    let odd = unequal_success(mapping, channel, campaign);
    if !odd.is_empty() {
        let found = format!(
            "{name}: success in Marketo is not Responded in Salesforce, or the reverse, for: {}",
            odd.join(", ")
        );
        let remedy = "make them the same: Marketo, Admin > Tags > Channel > Success; Salesforce, the campaign > Advanced Setup > Responded";
        return Item::warn(id, found, remedy);
    }
    Item::ok(id, format!("{name}: every status translates"))
}

/// Statuses that keep members from being synced.
fn differences(mapping: &Mapping, channel: &Channel, campaign: &Campaign) -> Vec<StatusDifference> {
    let program: Vec<&str> =
        channel.statuses.iter().map(|s| s.name.as_str()).filter(|name| *name != NOT_IN_PROGRAM).collect();
    let labels: Vec<&str> = campaign.statuses.iter().map(|s| s.label.as_str()).collect();
    let exact;
    let map = if mapping.custom_map {
        &mapping.status_map
    } else {
        exact = StatusMap::exact(&program, &labels);
        &exact
    };
    let hidden = |status: &str| channel.statuses.iter().any(|s| s.name == status && s.hidden);
    let matters =
        |difference: &StatusDifference| difference.matters(hidden(&difference.status), mapping.policies.direction);
    map.validate(&program, &labels).into_iter().filter(matters).collect()
}

fn told(difference: &StatusDifference) -> String {
    let side = match difference.side {
        Side::Marketo => "Marketo",
        Side::Salesforce => "Salesforce",
    };
    let what = match difference.problem {
        Problem::Unknown => "is in the map and not there",
        Problem::Untranslated => "has no translation",
        Problem::Ambiguous => "has more than one translation",
    };
    let near = difference.suggestion.as_ref().map(|near| format!(", the nearest is {near:?}")).unwrap_or_default();
    format!("{:?} of {side} {what}{near}", difference.status)
}

/// Statuses whose translation means a response on one side only.
fn unequal_success(mapping: &Mapping, channel: &Channel, campaign: &Campaign) -> Vec<String> {
    let responded = |label: &str| campaign.statuses.iter().find(|s| s.label == label).map(|s| s.has_responded);
    let translated = |name: &str| {
        if mapping.custom_map {
            mapping.status_map.to_salesforce(name).map(str::to_owned)
        } else {
            Some(name.to_owned())
        }
    };
    let odd = channel.statuses.iter().filter(|status| !status.hidden).filter(|status| {
        translated(&status.name)
            .and_then(|label| responded(&label))
            .is_some_and(|responded| responded != status.success)
    });
    odd.map(|status| status.name.clone()).collect()
}
