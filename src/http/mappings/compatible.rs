//! Whether a program and a campaign can be mapped, and whether a map translates all that it has to.
//!
//! Asks the vendors by reading alone: whatever is refused has changed nothing on either side. What has to be made for a
//! mapping is made by `campaign`, once nothing is left to be refused.

use super::campaign::{Plan, add_statuses, begin, create, name_of, refuse_taken, wanted_statuses};
use super::pair::{Pair, read, read_program};
use super::shown::{MappingPatch, NewMapping};
use super::status_match;
use crate::connector::{Campaign, Program};
use crate::domain::ids::{ProgramId, SalesforceId, SalesforceObject};
use crate::domain::mapping::{Direction, MappingState, Policies};
use crate::domain::merge::Side;
use crate::domain::provision::Wanted;
use crate::domain::status::{Problem, RowDirection, StatusDifference, StatusMap, StatusRow, Steps, nearest};
use crate::domain::warning::Warning;
use crate::http::ApiState;
use crate::http::refusal::{Answer, Refusal};
use crate::problem::FieldError;
use crate::store::mappings::{Found, Mapping, MappingFilter, Options};
use crate::store::plans::Draft;

/// Membership of these sends mail.
const MAILING_TYPES: [&str; 2] = ["engagement", "email"];

pub(super) fn already_mapped(mapping_id: String) -> Refusal {
    let detail = "the program or the campaign is in another mapping";
    Refusal::new(409, "already-mapped", "Already mapped", detail).with("mapping_id", mapping_id)
}

/// Stands for a campaign that is still to be made; no campaign has it.
const NO_CAMPAIGN: &str = "701000000000000AAA";

/// The mapping that a request describes, once both vendors agree that it can be. Where it asks for that, the campaign or
/// its missing statuses are created, which is the last step: whatever is refused has changed nothing. In a dry run they are
/// only named.
pub(super) async fn draft(api: &ApiState, new: NewMapping, dry_run: bool) -> Answer<Draft> {
    if new.program_id < 1 {
        return Err(Refusal::field("program_id", "invalid", "has to be a number above 0"));
    }
    match &new.create_campaign {
        Some(_) if new.campaign_id.is_some() => {
            let message = "is for a campaign that is to be made: leave out either this or campaign_id";
            Err(Refusal::field("create_campaign", "contradiction", message))
        }
        Some(_) => with_new_campaign(api, new, dry_run).await,
        None => with_campaign(api, new, dry_run).await,
    }
}

fn labels(wanted: &[Wanted]) -> Vec<String> {
    wanted.iter().map(|status| status.label.clone()).collect()
}

async fn with_campaign(api: &ApiState, new: NewMapping, dry_run: bool) -> Answer<Draft> {
    let campaign_id = campaign_id(new.campaign_id.as_deref())?;
    refuse_mapped(api, new.program_id, Some(&campaign_id)).await?;
    let (mut pair, mut campaign) = read(api, new.program_id, &campaign_id).await?;
    let policies = new.policies.merge(&api.policies);
    refuse_unsuitable(&pair.program, &policies, options(&new))?;
    let given = new.status_map.clone().map(|rows| StatusMap { rows });
    let lacking = match new.provision_statuses {
        true => pair.lacking(wanted_statuses(&pair, given.as_ref(), "provision_statuses")?),
        false => Vec::new(),
    };
    let (status_map, custom_map) = translations(api, &pair, new.status_map.clone(), &policies, &lacking).await?;
    check_gate(&pair.steps(), &status_map, &policies)?;
    if !lacking.is_empty() && !dry_run {
        campaign = add_statuses(api, &campaign_id, &lacking).await?;
        pair.campaign = Some(campaign.clone());
    }
    let mapping = mapping(api, &new, (pair, campaign), policies, (status_map, custom_map));
    Ok(Draft { mapping, new_statuses: labels(&lacking), new_campaign: false })
}

async fn with_new_campaign(api: &ApiState, new: NewMapping, dry_run: bool) -> Answer<Draft> {
    refuse_mapped(api, new.program_id, None).await?;
    let (program, channel) = read_program(api, new.program_id).await?;
    let policies = new.policies.merge(&api.policies);
    refuse_unsuitable(&program, &policies, options(&new))?;
    let name = name_of(new.create_campaign.as_ref().and_then(|campaign| campaign.name.as_deref()), &program)?;
    let mut pair = Pair { program, channel, campaign: None };
    let given = new.status_map.clone().map(|rows| StatusMap { rows });
    let wanted = wanted_statuses(&pair, given.as_ref(), "create_campaign")?;
    let (status_map, custom_map) = translations(api, &pair, new.status_map.clone(), &policies, &wanted).await?;
    check_gate(&pair.steps(), &status_map, &policies)?;
    let new_statuses = labels(&wanted);
    let campaign = if dry_run {
        refuse_taken(api, &name).await?;
        let id = NO_CAMPAIGN.parse().map_err(|_| Refusal::not_found("campaign"))?;
        let (campaign_type, statuses) = (Some(pair.program.channel.clone()), Vec::new());
        Campaign { id, name, is_active: true, campaign_type, actual_cost: None, statuses }
    } else {
        let costs = api.marketo.program_costs(&pair.program).await?;
        let intent = begin(api, new.program_id).await?;
        let plan = Plan { program: &pair.program, costs, name, wanted };
        create(api, &intent, &plan).await?
    };
    pair.campaign = Some(campaign.clone());
    let mapping = mapping(api, &new, (pair, campaign), policies, (status_map, custom_map));
    Ok(Draft { mapping, new_statuses, new_campaign: dry_run })
}

fn options(new: &NewMapping) -> Options {
    Options {
        provision_statuses: new.provision_statuses,
        allow_native_sync: new.allow_native_sync,
        allow_program_type: new.allow_program_type,
    }
}

fn mapping(
    api: &ApiState,
    new: &NewMapping,
    (pair, campaign): (Pair, Campaign),
    policies: Policies,
    (status_map, custom_map): (StatusMap, bool),
) -> Mapping {
    let found = pair.found(&status_map, &policies);
    let steps = pair.steps();
    Mapping {
        id: api.store.new_id(),
        program_id: new.program_id,
        campaign_id: campaign.id,
        program_name: pair.program.name,
        campaign_name: campaign.name,
        state: if new.paused { MappingState::Paused } else { MappingState::Active },
        reason: None,
        status_map,
        custom_map,
        steps,
        policies,
        options: options(new),
        found,
        version: 1,
        created_at: 0,
        updated_at: 0,
    }
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
pub(super) async fn refuse_mapped(api: &ApiState, program: ProgramId, campaign: Option<&SalesforceId>) -> Answer<()> {
    let of_program = MappingFilter { program_id: Some(program), ..MappingFilter::default() };
    let of_campaign =
        campaign.map(|id| MappingFilter { campaign_id: Some(id.to_string()), ..MappingFilter::default() });
    for filter in [Some(of_program), of_campaign].into_iter().flatten() {
        if let Some(mapping) = api.store.list_mappings(&filter, "", 1).await?.pop() {
            return Err(already_mapped(mapping.id));
        }
    }
    Ok(())
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
/// `created` are the statuses that the campaign is going to be given.
async fn translations(
    api: &ApiState,
    pair: &Pair,
    given: Option<Vec<StatusRow>>,
    policies: &Policies,
    created: &[Wanted],
) -> Answer<(StatusMap, bool)> {
    let (program, mut campaign) = (pair.program_statuses(), pair.campaign_statuses());
    campaign.extend(created.iter().map(|status| status.label.as_str()));
    let custom = given.is_some();
    let map = given.map_or_else(|| StatusMap::exact(&program, &campaign), |rows| StatusMap { rows });
    let found = differences(pair, &map, &campaign, policies.direction);
    if found.is_empty() {
        return Ok((map, custom));
    }
    let found = status_match::suggest(pair, found);
    let errors = match custom {
        true => found.iter().map(|difference| blame(difference, &map)).collect(),
        false => Vec::new(),
    };
    // A row that is wrong is the request's fault; a status that is left over is how the two sides differ.
    if custom && found.iter().any(|difference| difference.problem != Problem::Untranslated) {
        return Err(Refusal::invalid(errors));
    }
    let detail = match custom {
        true => "the status_map leaves statuses of program or campaign without a translation; give each of them a row",
        false => "the statuses of program and campaign do not match by name; rename them, or give a status_map",
    };
    let differences = status_match::with_members(api, pair, found).await;
    let refusal = Refusal::new(422, "incompatible-statuses", "Incompatible statuses", detail).blaming(errors);
    Err(refusal.with("differences", differences))
}

/// What keeps a map from being used in this direction with these campaign statuses.
pub(super) fn differences(
    pair: &Pair,
    map: &StatusMap,
    campaign: &[&str],
    direction: Direction,
) -> Vec<StatusDifference> {
    let found = map.validate(&pair.program_statuses(), campaign).into_iter();
    found.filter(|difference| difference.matters(pair.is_hidden(&difference.status), direction)).collect()
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
pub(super) async fn changed_mapping(api: &ApiState, mapping: &Mapping, patch: MappingPatch) -> Answer<Mapping> {
    let mut changed = mapping.clone();
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
    changed.options = Options {
        provision_statuses: patch.provision_statuses.unwrap_or(mapping.options.provision_statuses),
        allow_native_sync: patch.allow_native_sync.unwrap_or(mapping.options.allow_native_sync),
        allow_program_type: patch.allow_program_type.unwrap_or(mapping.options.allow_program_type),
    };
    let asks = changed.policies.direction != mapping.policies.direction || changed.options != mapping.options;
    if asks || patch.status_map.is_some() {
        let (mut pair, _) = read(api, mapping.program_id, &mapping.campaign_id).await?;
        let given = match patch.status_map {
            Some(given) => given,
            None => mapping.custom_map.then(|| mapping.status_map.rows.clone()),
        };
        refuse_unsuitable(&pair.program, &changed.policies, changed.options)?;
        let lacking = match changed.options.provision_statuses {
            true => {
                let map = given.clone().map(|rows| StatusMap { rows });
                pair.lacking(wanted_statuses(&pair, map.as_ref(), "status_map")?)
            }
            false => Vec::new(),
        };
        (changed.status_map, changed.custom_map) = translations(api, &pair, given, &changed.policies, &lacking).await?;
        changed.steps = pair.steps();
        check_gate(&changed.steps, &changed.status_map, &changed.policies)?;
        if !lacking.is_empty() {
            pair.campaign = Some(add_statuses(api, &mapping.campaign_id, &lacking).await?);
        }
        let found = pair.found(&changed.status_map, &changed.policies);
        let of_fields = |warning: &&Warning| !warning.code.is_of_statuses();
        let kept = mapping.found.warnings.iter().filter(of_fields).cloned();
        let warnings = found.warnings.into_iter().chain(kept).collect();
        changed.found = Found { warnings, costs: mapping.found.costs, ..found };
    } else if changed.policies.gate != mapping.policies.gate {
        check_gate(&changed.steps, &changed.status_map, &changed.policies)?;
    }
    Ok(changed)
}

/// For the audit log.
pub(super) fn what_changed(before: &Mapping, after: &Mapping) -> String {
    let parts = [
        ("status_map", before.status_map != after.status_map),
        ("policies", before.policies != after.policies),
        ("options", before.options != after.options),
        ("program_name", before.program_name != after.program_name),
        ("campaign_name", before.campaign_name != after.campaign_name),
    ];
    parts.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}
