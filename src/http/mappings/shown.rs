//! The bodies of mappings, as they come in and go out.
//!
//! Must not decide anything; names and nulls are the contract's.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::super::extract::or_default;
use super::super::plans::PlanBody;
use super::super::schema::Time;
use crate::domain::catalogue::{Subject, find};
use crate::domain::mapping::{MappingState, Policies, PolicyPatch};
use crate::domain::status::StatusRow;
use crate::domain::warning::Warning;
use crate::store::mappings::Mapping;
use crate::store::reports::Bridge;

/// A mapping to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"program_id": 1044, "campaign_id": "7015g000000XYZABCD", "policies": {"gate": ["Attended"]}}))]
pub(in crate::http) struct NewMapping {
    /// The Marketo program.
    pub program_id: i64,
    /// The Salesforce campaign, 15 or 18 characters.
    pub campaign_id: Option<String>,
    /// A campaign to be made for the program.
    pub create_campaign: Option<NewCampaign>,
    /// Replaces the automatic map, in which a status translates to the one of exactly the same name.
    pub status_map: Option<Vec<StatusRow>>,
    #[serde(default, deserialize_with = "or_default")]
    #[schema(nullable)]
    pub policies: PolicyPatch,
    /// Missing campaign statuses are created.
    #[serde(default, deserialize_with = "or_default")]
    #[schema(nullable)]
    pub provision_statuses: bool,
    /// Although Marketo's own sync has the program.
    #[serde(default, deserialize_with = "or_default")]
    #[schema(nullable)]
    pub allow_native_sync: bool,
    /// Although membership of the program sends mail (engagement and email programs).
    #[serde(default, deserialize_with = "or_default")]
    #[schema(nullable)]
    pub allow_program_type: bool,
    /// Nothing is applied until it is resumed.
    #[serde(default, deserialize_with = "or_default")]
    #[schema(nullable)]
    pub paused: bool,
}

/// A campaign to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewCampaign {
    /// At most 80 characters; the program's name, shortened where it has to be, unless given.
    pub name: Option<String>,
}

/// What is to change; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"policies": {"conflict": "salesforce_wins", "gate": null}}))]
pub(in crate::http) struct MappingPatch {
    /// Replaces the whole map; null goes back to the automatic one.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Vec<StatusRow>>)]
    pub status_map: Option<Option<Vec<StatusRow>>>,
    #[serde(deserialize_with = "or_default")]
    #[schema(nullable)]
    pub policies: PolicyPatch,
    pub program_name: Option<String>,
    pub campaign_name: Option<String>,
    /// Missing campaign statuses are created, from now on.
    pub provision_statuses: Option<bool>,
    /// Although Marketo's own sync has the program.
    pub allow_native_sync: Option<bool>,
    /// Although membership of the program sends mail.
    pub allow_program_type: Option<bool>,
}

/// A field that is there, be it null; one that is missing never gets here.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// A mapping.
#[derive(Serialize, ToSchema)]
#[schema(as = Mapping)]
pub(in crate::http) struct MappingBody {
    id: String,
    #[schema(example = 1044)]
    program_id: i64,
    program_name: String,
    #[schema(example = "7015g000000XYZABCD")]
    campaign_id: String,
    campaign_name: String,
    state: MappingState,
    /// Why it has failed: `program_gone`, `campaign_gone`, `channel_gone`.
    reason: Option<String>,
    /// How to mend that.
    remedy: Option<&'static str>,
    /// What works otherwise than one may think, as of the last time that both sides were read.
    warnings: Vec<Warning>,
    status_map: Vec<StatusRow>,
    /// Whether the map was given; the automatic one follows the statuses of both sides.
    custom_status_map: bool,
    policies: Policies,
    provision_statuses: bool,
    allow_native_sync: bool,
    allow_program_type: bool,
    created_at: Time,
    updated_at: Time,
}

impl MappingBody {
    pub(in crate::http) fn of(mapping: Mapping) -> Self {
        Self {
            id: mapping.id,
            program_id: mapping.program_id,
            program_name: mapping.program_name,
            campaign_id: mapping.campaign_id.to_string(),
            campaign_name: mapping.campaign_name,
            state: mapping.state,
            remedy: mapping.reason.as_deref().and_then(|reason| find(Subject::Mapping, reason)).map(|entry| entry.how),
            reason: mapping.reason,
            warnings: mapping.found.warnings,
            status_map: mapping.status_map.rows,
            custom_status_map: mapping.custom_map,
            policies: mapping.policies,
            provision_statuses: mapping.options.provision_statuses,
            allow_native_sync: mapping.options.allow_native_sync,
            allow_program_type: mapping.options.allow_program_type,
            created_at: Time::of(mapping.created_at),
            updated_at: Time::of(mapping.updated_at),
        }
    }
}

/// A mapping that was made or changed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct MappingAnswer {
    #[serde(flatten)]
    pub mapping: MappingBody,
    /// The run in which everybody is decided; null when nothing changed that decides.
    pub run_id: Option<String>,
}

/// A mapping in a list.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct MappingListed {
    #[serde(flatten)]
    pub mapping: MappingBody,
    /// Members on either side.
    #[schema(example = 1000)]
    pub members: i64,
    /// How many of them are in sync, or wait below the gate.
    #[schema(example = 980)]
    pub in_agreement: i64,
}

/// A mapping with its bridge.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct MappingDetail {
    #[serde(flatten)]
    pub mapping: MappingBody,
    pub bridge: BridgeBody,
}

/// From one side's members to the other's. `marketo_members` is the sum of `in_sync`, `only_marketo` and `different`, and
/// `salesforce_members` that of `in_sync`, `only_salesforce` and `different`.
#[derive(Serialize, ToSchema)]
#[schema(as = Bridge)]
pub(in crate::http) struct BridgeBody {
    marketo_members: i64,
    salesforce_members: i64,
    in_sync: i64,
    /// By reason.
    only_marketo: BTreeMap<String, i64>,
    /// By reason.
    only_salesforce: BTreeMap<String, i64>,
    /// By reason.
    different: BTreeMap<String, i64>,
}

impl From<Bridge> for BridgeBody {
    fn from(bridge: Bridge) -> Self {
        let sum = |by: &BTreeMap<String, i64>| by.values().sum::<i64>();
        let shared = bridge.in_sync + sum(&bridge.different);
        Self {
            marketo_members: shared + sum(&bridge.only_marketo),
            salesforce_members: shared + sum(&bridge.only_salesforce),
            in_sync: bridge.in_sync,
            only_marketo: bridge.only_marketo,
            only_salesforce: bridge.only_salesforce,
            different: bridge.different,
        }
    }
}

/// A run that was started.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RunStarted {
    pub run_id: String,
}

/// What would be done.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Planned {
    pub plan: PlanBody,
}
