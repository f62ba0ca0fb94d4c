//! Whether a program and a campaign can be mapped, and whether a map translates all that it has to.
//!
//! Asks the vendors by reading alone: whatever is refused has changed nothing on either side. Must not write.

use super::shown::{MappingPatch, NewMapping};
use super::status_match::{self, Warning};
use crate::connector::{Campaign, Channel, Program, Vendor};
use crate::domain::ids::{SalesforceId, SalesforceObject};
use crate::domain::mapping::{Direction, MappingState, Policies};
use crate::domain::merge::Side;
use crate::domain::status::{
    NOT_IN_PROGRAM, Problem, RowDirection, StatusDifference, StatusMap, StatusRow, Steps, nearest,
};
use crate::http::ApiState;
use crate::http::refusal::{Answer, Refusal};
use crate::problem::FieldError;
use crate::store::mappings::{Mapping, MappingFilter, Options};

/// Membership of these sends mail.
const MAILING_TYPES: [&str; 2] = ["engagement", "email"];

/// What the two vendors say about a pair.
pub(super) struct Pair {
    pub program: Program,
    pub channel: Channel,
    pub campaign: Campaign,
}

impl Pair {
    pub fn program_statuses(&self) -> Vec<&str> {
        let names = self.channel.statuses.iter().map(|status| status.name.as_str());
        names.filter(|name| *name != NOT_IN_PROGRAM).collect()
    }

    pub fn campaign_statuses(&self) -> Vec<&str> {
        self.campaign.statuses.iter().map(|status| status.label.as_str()).collect()
    }

    fn is_hidden(&self, program_status: &str) -> bool {
        self.channel.statuses.iter().any(|status| status.name == program_status && status.hidden)
    }
}

pub(super) fn already_mapped(mapping_id: String) -> Refusal {
    let detail = "the program or the campaign is in another mapping";
    Refusal::new(409, "already-mapped", "Already mapped", detail).with("mapping_id", mapping_id)
}

/// The mapping that a request describes, once both vendors agree that it can be, and what is to be known of it.
pub(super) async fn new_mapping(api: &ApiState, new: NewMapping) -> Answer<(Mapping, Vec<Warning>)> {
    if new.create_campaign.is_some() {
        let message = "campaigns cannot be created here yet: create one in Salesforce and give its campaign_id";
        return Err(Refusal::field("create_campaign", "unsupported", message));
    }
    if new.program_id < 1 {
        return Err(Refusal::field("program_id", "invalid", "has to be a number above 0"));
    }
    let campaign_id = campaign_id(new.campaign_id.as_deref())?;
    refuse_mapped(api, &new, &campaign_id).await?;
    let pair = read(api, new.program_id, &campaign_id).await?;
    let policies = new.policies.merge(&api.policies);
    let options = Options {
        provision_statuses: new.provision_statuses,
        allow_native_sync: new.allow_native_sync,
        allow_program_type: new.allow_program_type,
    };
    refuse_unsuitable(&pair.program, &policies, options)?;
    let (status_map, custom_map) = translations(api, &pair, new.status_map, &policies, new.provision_statuses).await?;
    let warnings = status_match::warnings(&pair, status_match::translated(&status_map));
    let steps = pair.channel.statuses.iter().map(|status| (status.name.clone(), status.step)).collect();
    check_gate(&steps, &status_map, &policies)?;
    let mapping = Mapping {
        id: api.store.new_id(),
        program_id: new.program_id,
        campaign_id,
        program_name: pair.program.name,
        campaign_name: pair.campaign.name,
        state: if new.paused { MappingState::Paused } else { MappingState::Active },
        reason: None,
        status_map,
        custom_map,
        steps,
        policies,
        options,
        version: 1,
        created_at: 0,
        updated_at: 0,
    };
    Ok((mapping, warnings))
}

pub(super) fn campaign_id(given: Option<&str>) -> Answer<SalesforceId> {
    let refused = |code, message: &str| Err(Refusal::field("campaign_id", code, message));
    let Some(given) = given else { return refused("required", "is missing") };
    match given.parse::<SalesforceId>() {
        Ok(id) if id.object() == Some(SalesforceObject::Campaign) => Ok(id),
        Ok(_) => refused("invalid", "is not the id of a campaign, which begins with 701"),
        Err(error) => refused("invalid", &error.to_string()),
    }
}

/// Told before the vendors are asked: whoever repeats a request wants to know this, not what has changed since.
async fn refuse_mapped(api: &ApiState, new: &NewMapping, campaign: &SalesforceId) -> Answer<()> {
    let of_program = MappingFilter { program_id: Some(new.program_id), ..MappingFilter::default() };
    let of_campaign = MappingFilter { campaign_id: Some(campaign.to_string()), ..MappingFilter::default() };
    for filter in [of_program, of_campaign] {
        if let Some(mapping) = api.store.list_mappings(&filter, "", 1).await?.pop() {
            return Err(already_mapped(mapping.id));
        }
    }
    Ok(())
}

async fn read(api: &ApiState, program_id: i64, campaign_id: &SalesforceId) -> Answer<Pair> {
    let Some(program) = api.marketo.program(program_id).await? else {
        let detail = format!("Marketo has no program {program_id}, or our user does not see it");
        return Err(Refusal::new(422, "unknown-program", "Unknown program", detail));
    };
    pair_of(api, program, campaign_id).await
}

/// The campaign and the channel that belong to a program.
pub(super) async fn pair_of(api: &ApiState, program: Program, campaign_id: &SalesforceId) -> Answer<Pair> {
    let Some(campaign) = api.salesforce.campaigns(std::slice::from_ref(campaign_id)).await?.pop() else {
        let detail = format!("Salesforce has no campaign {campaign_id}, or our user does not see it");
        return Err(Refusal::new(422, "unknown-campaign", "Unknown campaign", detail));
    };
    let Some(channel) = api.marketo.channel(&program.channel).await? else {
        let detail = format!("{} does not tell the statuses of the channel {:?}", Vendor::Marketo, program.channel);
        return Err(Refusal::new(502, "vendor-error", "Vendor error", detail));
    };
    Ok(Pair { program, channel, campaign })
}

fn refuse_unsuitable(program: &Program, policies: &Policies, options: Options) -> Answer<()> {
    if MAILING_TYPES.contains(&program.program_type.as_str()) && !options.allow_program_type {
        let detail = format!(
            "membership of a program of type {} sends mail; allow_program_type maps it nevertheless",
            program.program_type
        );
        return Err(Refusal::new(422, "unsupported-program-type", "Unsupported program type", detail));
    }
    if let Some(sfdc_id) = &program.sfdc_id
        && !options.allow_native_sync
        && policies.direction != Direction::Observe
    {
        let detail = format!(
            "Marketo's own sync has the program in campaign {sfdc_id}; end it there, map with direction observe, or allow_native_sync"
        );
        return Err(Refusal::new(409, "native-sync-active", "Native sync active", detail));
    }
    Ok(())
}

/// The map that was given, or the automatic one; refused when it leaves a status of either side without a translation.
async fn translations(
    api: &ApiState,
    pair: &Pair,
    given: Option<Vec<StatusRow>>,
    policies: &Policies,
    provision: bool,
) -> Answer<(StatusMap, bool)> {
    let (program, campaign) = (pair.program_statuses(), pair.campaign_statuses());
    let custom = given.is_some();
    let map = given.map_or_else(|| StatusMap::exact(&program, &campaign), |rows| StatusMap { rows });
    let found = differences(pair, &map, policies.direction);
    if found.is_empty() {
        return Ok((map, custom));
    }
    let found = status_match::suggest(pair, found);
    if custom {
        return Err(Refusal::invalid(found.iter().map(|difference| blame(difference, &map)).collect()));
    }
    let missing: Vec<&str> = found.iter().filter(|d| d.side == Side::Marketo).map(|d| d.status.as_str()).collect();
    if provision && !missing.is_empty() {
        let message = format!(
            "campaign statuses cannot be created here yet: add them to the campaign in Salesforce: {}",
            missing.join(", ")
        );
        return Err(Refusal::field("provision_statuses", "unsupported", message));
    }
    let detail = "the statuses of program and campaign do not match by name; rename them, or give a status_map";
    let differences = status_match::with_members(api, pair, found).await;
    Err(Refusal::new(422, "incompatible-statuses", "Incompatible statuses", detail).with("differences", differences))
}

/// What keeps a map from being used in this direction.
pub(super) fn differences(pair: &Pair, map: &StatusMap, direction: Direction) -> Vec<StatusDifference> {
    let found = map.validate(&pair.program_statuses(), &pair.campaign_statuses()).into_iter();
    found.filter(|difference| matters(difference, pair, direction)).collect()
}

/// Whether a difference keeps the two from being mapped. A hidden status is given to nobody any more, and in a mapping of
/// one direction nothing is translated from its target.
fn matters(difference: &StatusDifference, pair: &Pair, direction: Direction) -> bool {
    let untranslated = difference.problem == Problem::Untranslated;
    let hidden = difference.side == Side::Marketo && pair.is_hidden(&difference.status);
    let target = matches!(
        (direction, difference.side),
        (Direction::MarketoToSalesforce, Side::Salesforce) | (Direction::SalesforceToMarketo, Side::Marketo)
    );
    !(untranslated && (hidden || target))
}

/// The row of a given map that a difference is about, else the whole map.
fn blame(difference: &StatusDifference, map: &StatusMap) -> FieldError {
    let (name, side): (fn(&StatusRow) -> &str, _) = match difference.side {
        Side::Marketo => (|row| &row.program_status, "program_status"),
        Side::Salesforce => (|row| &row.campaign_status, "campaign_status"),
    };
    // Of two translations the later one is too many; a row that only translates the other way is none.
    let back = match difference.side {
        Side::Marketo => RowDirection::ToMarketo,
        Side::Salesforce => RowDirection::ToSalesforce,
    };
    let counts = |row: &StatusRow| difference.problem != Problem::Ambiguous || row.direction != back;
    let row = map.rows.iter().rposition(|row| name(row) == difference.status && counts(row));
    let status = &difference.status;
    let nearest = difference.suggestion.as_ref().map(|name| format!("; perhaps {name:?} is meant")).unwrap_or_default();
    let (code, message) = match difference.problem {
        Problem::Unknown => ("unknown", format!("there is no status {status:?} in {}{nearest}", difference.side)),
        Problem::Untranslated => {
            ("untranslated", format!("{status:?} of {} has no translation{nearest}", difference.side))
        }
        Problem::Ambiguous => ("ambiguous", format!("{status:?} of {} has more than one translation", difference.side)),
    };
    let field = match (row, difference.problem) {
        (Some(row), Problem::Unknown | Problem::Ambiguous) => format!("status_map[{row}].{side}"),
        _ => "status_map".to_owned(),
    };
    FieldError::new(field, code, message)
}

/// The gate names statuses of the program.
fn check_gate(steps: &Steps, map: &StatusMap, policies: &Policies) -> Answer<()> {
    let program: Vec<&str> = map.rows.iter().map(|row| row.program_status.as_str()).collect();
    let names = policies.gate.iter().flatten().enumerate();
    let unknown = names.filter(|(_, name)| steps.of(name).is_none()).map(|(n, name)| {
        let nearest = nearest(name, &program).map(|name| format!("; perhaps {name:?} is meant")).unwrap_or_default();
        let message = format!("the program has no status {name:?}{nearest}");
        FieldError::new(format!("policies.gate[{n}]"), "unknown", message)
    });
    let errors: Vec<FieldError> = unknown.collect();
    if errors.is_empty() { Ok(()) } else { Err(Refusal::invalid(errors)) }
}

/// A mapping with a patch applied. The vendors are asked only when what is translated may change.
pub(super) async fn changed_mapping(
    api: &ApiState,
    mapping: &Mapping,
    patch: MappingPatch,
) -> Answer<(Mapping, Vec<Warning>)> {
    let (mut changed, mut warnings) = (mapping.clone(), Vec::new());
    for (name, given, field) in [
        ("program_name", patch.program_name, &mut changed.program_name),
        ("campaign_name", patch.campaign_name, &mut changed.campaign_name),
    ] {
        match given.as_deref().map(str::trim) {
            Some("") => return Err(Refusal::field(name, "invalid", "must not be empty")),
            Some(given) => *field = given.to_owned(),
            None => {}
        }
    }
    changed.policies = patch.policies.merge(&mapping.policies);
    if changed.policies.direction != mapping.policies.direction || patch.status_map.is_some() {
        let pair = read(api, mapping.program_id, &mapping.campaign_id).await?;
        let given = match patch.status_map {
            Some(given) => given,
            None => mapping.custom_map.then(|| mapping.status_map.rows.clone()),
        };
        refuse_unsuitable(&pair.program, &changed.policies, mapping.options)?;
        (changed.status_map, changed.custom_map) = translations(api, &pair, given, &changed.policies, false).await?;
        warnings = status_match::warnings(&pair, status_match::translated(&changed.status_map));
        changed.steps = pair.channel.statuses.iter().map(|status| (status.name.clone(), status.step)).collect();
    }
    if changed.policies.gate != mapping.policies.gate {
        check_gate(&changed.steps, &changed.status_map, &changed.policies)?;
    }
    Ok((changed, warnings))
}

/// For the audit log.
pub(super) fn what_changed(before: &Mapping, after: &Mapping) -> String {
    let parts = [
        ("status_map", before.status_map != after.status_map),
        ("policies", before.policies != after.policies),
        ("program_name", before.program_name != after.program_name),
        ("campaign_name", before.campaign_name != after.campaign_name),
    ];
    parts.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}
