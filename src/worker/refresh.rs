//! Program, campaign and their statuses as they are now: what a mapping knows of both is brought up to date.
//!
//! Owns the one-way fields (type, actual cost), the automatic map, statuses that are created on request, and the warnings.
//! Runs in the lane of the mapping: before each whole read, when a webhook or a pass has seen a change, and on a schedule.
//! A change of what is translated decides everybody anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{PassError, Worker};
use crate::connector::provision::provision;
use crate::connector::{Campaign, Channel, ConnectorError, Program};
use crate::domain::mapping::{Direction, MappingState};
use crate::domain::one_way::{self, CampaignChange, CampaignFields, Costs};
use crate::domain::provision::{steps, unsuitable, wanted};
use crate::domain::status::StatusMap;
use crate::domain::warning::{self, CampaignSide, ProgramSide, Warning, WarningCode};
use crate::store::StoreError;
use crate::store::mappings::{Found, Mapping};
use crate::store::record::End;

/// How long what Salesforce lets our user write is taken as known.
const KNOWN: Duration = Duration::from_secs(300);

/// What our user may write of campaigns, and since when that is known, on the monotonic clock.
pub(super) type KnownFields = Arc<Mutex<Option<(Duration, CampaignFields)>>>;

/// What came of a look at program and campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refreshed {
    /// All is as it was known.
    Same,
    /// The mapping was changed.
    Changed,
    /// The mapping has failed, for this reason.
    Gone(&'static str),
}

/// Both sides of a mapping as they are.
struct Sides {
    program: Program,
    costs: Costs,
    channel: Channel,
    campaign: Campaign,
}

impl Worker {
    /// Works off a row about a mapping as a whole.
    pub(super) async fn refresh_mapping(&self, mapping: Option<&Mapping>) -> Result<End, PassError> {
        let Some(mapping) = mapping else { return Ok(End::NoOp) };
        Ok(match self.refresh(mapping).await? {
            Ok(Refreshed::Same) => End::NoOp,
            Ok(Refreshed::Changed | Refreshed::Gone(_)) => End::Applied,
            Err(error) => {
                let due_at = self.store.now() + i64::try_from(self.settings.retry_base.as_millis()).unwrap_or(1000);
                let error = match super::sync::fate_of(&error) {
                    super::sync::Fate::Retry { error, .. } | super::sync::Fate::Parked { error, .. } => error,
                    _ => None,
                };
                End::Retry { due_at, reason: "retrying".to_owned(), error }
            }
        })
    }

    /// Reads both, writes the fields that differ, and stores what is new.
    pub(super) async fn refresh(&self, mapping: &Mapping) -> Result<Result<Refreshed, ConnectorError>, PassError> {
        if mapping.state == MappingState::Removing {
            return Ok(Ok(Refreshed::Same));
        }
        let sides = match self.read_sides(mapping).await {
            Ok(Ok(sides)) => sides,
            Ok(Err(reason)) => {
                self.store.fail_mapping(mapping, reason).await?;
                return Ok(Ok(Refreshed::Gone(reason)));
            }
            Err(error) => return Ok(Err(error)),
        };
        let (written, mut warnings) = match self.write_fields(mapping, &sides).await {
            Ok(outcome) => outcome,
            Err(error) => return Ok(Err(error)),
        };
        let kept =
            warnings.iter().any(|w| matches!(w.code, WarningCode::CostNotWritable | WarningCode::CostUnreadable));
        let costs = if kept || !leads(mapping) { mapping.found.costs } else { sides.costs };
        let Sides { program, channel, campaign, .. } = sides;
        let mut changed = Mapping {
            program_name: program.name.clone(),
            campaign_name: campaign.name.clone(),
            steps: channel.statuses.iter().map(|s| (s.name.clone(), s.step)).collect(),
            ..mapping.clone()
        };
        let labels: Vec<String> = campaign.statuses.iter().map(|s| s.label.clone()).collect();
        if !changed.custom_map {
            let names: Vec<_> = channel.statuses.iter().map(|s| s.name.as_str()).collect();
            changed.status_map = StatusMap::exact(&names, &labels);
        }
        warnings.splice(0..0, of_statuses(&changed, &channel, &campaign));
        warnings.extend(of_native_sync(mapping, &program));
        changed.found = Found { campaign_statuses: Some(labels), costs, warnings };
        self.store.mapping_read(mapping, self.settings.reconcile_interval).await?;
        if let Some(written) = written {
            self.store.note(&mapping.id, "campaign.fields_written", &written).await?;
        }
        if changed == *mapping {
            return Ok(Ok(Refreshed::Same));
        }
        let rerun = changed.steps != mapping.steps || changed.status_map != mapping.status_map;
        match self.store.update_mapping(&changed, rerun, "worker", "read again").await {
            // Somebody changed it at this moment: that has its own run.
            Ok(_) | Err(StoreError::Conflict(_)) => Ok(Ok(Refreshed::Changed)),
            Err(error) => Err(error.into()),
        }
    }

    /// Both sides, or which of them is gone.
    async fn read_sides(&self, mapping: &Mapping) -> Result<Result<Sides, &'static str>, ConnectorError> {
        let Some(program) = self.marketo.program(mapping.program_id).await? else { return Ok(Err("program_gone")) };
        let id = &mapping.campaign_id;
        let Some(campaign) = self.salesforce.campaigns(std::slice::from_ref(id)).await?.pop() else {
            return Ok(Err("campaign_gone"));
        };
        let Some(channel) = self.marketo.channel(&program.channel).await? else { return Ok(Err("channel_gone")) };
        let costs = self.marketo.program_costs(&program).await?;
        let campaign = self.add_statuses(mapping, &channel, campaign).await?;
        Ok(Ok(Sides { program, costs, channel, campaign }))
    }

    /// Creates the statuses that the campaign lacks, where that was asked for. What cannot be created is warned of later,
    /// as any status without a counterpart is.
    async fn add_statuses(
        &self,
        mapping: &Mapping,
        channel: &Channel,
        campaign: Campaign,
    ) -> Result<Campaign, ConnectorError> {
        if !mapping.options.provision_statuses || mapping.policies.direction == Direction::Observe {
            return Ok(campaign);
        }
        let visible = channel.statuses.iter().filter(|s| !s.hidden).map(|s| (s.name.as_str(), s.step, s.success));
        let translate = |name| if mapping.custom_map { mapping.status_map.to_salesforce(name) } else { Some(name) };
        let mut wanted = wanted(visible, translate);
        wanted.retain(|one| unsuitable(std::slice::from_ref(one)).is_none());
        let existing: Vec<_> = campaign.statuses.iter().map(crate::connector::provision::existing).collect();
        if steps(&wanted, &existing, false).is_empty() {
            return Ok(campaign);
        }
        match provision(&*self.salesforce, &campaign.id, &wanted, false).await {
            Err(ConnectorError::Refused { code, message, .. }) => {
                tracing::warn!(campaign = %campaign.id, %code, %message, "statuses could not be created");
                Ok(campaign)
            }
            outcome => outcome,
        }
    }

    /// Writes type and actual cost where they differ; what was written, for the audit log, and what could not be.
    async fn write_fields(
        &self,
        mapping: &Mapping,
        sides: &Sides,
    ) -> Result<(Option<String>, Vec<Warning>), ConnectorError> {
        if !leads(mapping) {
            return Ok((None, Vec::new()));
        }
        let fields = self.campaign_fields().await?;
        let (now, costs) = (&sides.campaign, mapping.found.costs);
        let (campaign_type, no_type) =
            one_way::campaign_type(&sides.program.channel, now.campaign_type.as_deref(), fields.campaign_type.as_ref());
        let (actual_cost, no_cost) =
            one_way::actual_cost(sides.costs, costs, now.actual_cost, fields.actual_cost.as_ref());
        let mut warnings: Vec<Warning> = no_type.into_iter().chain(no_cost).collect();
        let mut written = BTreeMap::new();
        let parts = [
            CampaignChange { campaign_type, ..CampaignChange::default() },
            CampaignChange { actual_cost, ..CampaignChange::default() },
        ];
        // One after the other, so that one that is refused does not hold up the other.
        for change in parts.into_iter().filter(|change| !change.is_empty()) {
            match self.salesforce.update_campaign(&mapping.campaign_id, &change).await {
                Ok(()) => {
                    written.extend(change.campaign_type.map(|value| ("Type", value)));
                    let amount = |cost: Option<f64>| cost.map_or_else(|| "empty".to_owned(), |cost| cost.to_string());
                    written.extend(change.actual_cost.map(|cost| ("ActualCost", amount(cost))));
                }
                Err(ConnectorError::Refused { code, message, .. }) => {
                    let cost = change.actual_cost.is_some();
                    let which = if cost { WarningCode::CostNotWritable } else { WarningCode::TypeNotWritable };
                    let field = if cost { "ActualCost" } else { "Type" };
                    warnings
                        .push(Warning::new(which, format!("Salesforce refuses Campaign.{field} ({code}): {message}")));
                }
                Err(error) => return Err(error),
            }
        }
        let text = written.iter().map(|(field, value)| format!("{field}: {value}")).collect::<Vec<_>>().join(", ");
        Ok(((!text.is_empty()).then_some(text), warnings))
    }

    /// What Salesforce lets us write of campaigns: the same for all of them, so asked for once in a while.
    async fn campaign_fields(&self) -> Result<CampaignFields, ConnectorError> {
        let now = self.store.clock().monotonic();
        let fresh = KNOWN.min(self.settings.reconcile_interval);
        let known = self.fields.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, fields)) = known.filter(|(since, _)| now.saturating_sub(*since) < fresh) {
            return Ok(fields);
        }
        let fields = self.salesforce.campaign_fields().await?;
        *self.fields.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, fields.clone()));
        Ok(fields)
    }
}

/// Whether the program leads the campaign: nothing is written to a campaign that is only observed, or is the source.
fn leads(mapping: &Mapping) -> bool {
    let direction = matches!(mapping.policies.direction, Direction::Both | Direction::MarketoToSalesforce);
    direction && mapping.state == MappingState::Active
}

fn of_statuses(mapping: &Mapping, channel: &Channel, campaign: &Campaign) -> Vec<Warning> {
    let program = channel.statuses.iter().map(|s| ProgramSide { name: &s.name, success: s.success, hidden: s.hidden });
    let campaign = campaign.statuses.iter().map(|s| CampaignSide { label: &s.label, has_responded: s.has_responded });
    let (program, campaign): (Vec<_>, Vec<_>) = (program.collect(), campaign.collect());
    warning::of_statuses(&mapping.status_map, &program, &campaign, mapping.policies.direction)
}

fn of_native_sync(mapping: &Mapping, program: &Program) -> Option<Warning> {
    let sfdc_id = program.sfdc_id.as_ref()?;
    let message = format!(
        "Marketo's own sync has the program in campaign {sfdc_id} and works against this mapping: end it there, or map with direction observe"
    );
    let fights = !mapping.options.allow_native_sync && mapping.policies.direction != Direction::Observe;
    fights.then(|| Warning::new(WarningCode::NativeSyncActive, message))
}
