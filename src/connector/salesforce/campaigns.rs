//! Campaigns and their member statuses as they are made and changed.
//!
//! Owns what of the describe is heeded, and the bodies. Must not know why a campaign is written.
//!
//! Source: Salesforce, "sObject Describe", "Campaign" and "CampaignMemberStatus" in the object reference.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::client::Call;
use super::super::errors::Write;
use super::super::{ConnectorError, NewCampaign, RecordResults};
use super::soql::quoted;
use super::write::{Saved, at_most_a_batch};
use super::{SalesforceClient, broken, read_empty};
use crate::domain::ids::SalesforceId;
use crate::domain::one_way::{CampaignChange, CampaignFields, CostField, TypeField};
use crate::domain::provision::{NewStatus, StatusChange};

#[derive(Deserialize)]
struct Described {
    createable: bool,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    name: String,
    updateable: bool,
    #[serde(default)]
    scale: u8,
    #[serde(default)]
    restricted_picklist: bool,
    #[serde(default)]
    picklist_values: Vec<PicklistValue>,
}

#[derive(Deserialize)]
struct PicklistValue {
    active: bool,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IdRow {
    id: SalesforceId,
    #[serde(default)]
    description: Option<String>,
}

impl SalesforceClient {
    pub(super) async fn read_campaign_fields(&self) -> Result<CampaignFields, ConnectorError> {
        let target = self.data_path("sobjects/Campaign/describe");
        let described: Described = self.ask(Call::read("describe_campaign"), Method::GET, &target, None).await?;
        let field = |name: &str| described.fields.iter().find(|field| field.name == name);
        let only = |field: &Field| {
            let values = field.picklist_values.iter().filter(|value| value.active).map(|value| value.value.clone());
            field.restricted_picklist.then(|| values.collect())
        };
        Ok(CampaignFields {
            createable: described.createable,
            campaign_type: field("Type").map(|f| TypeField { updateable: f.updateable, only: only(f) }),
            actual_cost: field("ActualCost").map(|f| CostField { updateable: f.updateable, scale: f.scale }),
        })
    }

    pub(super) async fn read_campaigns_named(&self, name: &str) -> Result<Vec<SalesforceId>, ConnectorError> {
        let soql = format!("SELECT Id FROM Campaign WHERE Name = {}", quoted(name));
        let rows: Vec<IdRow> = self.query_living("campaigns_named", soql).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// A description cannot be filtered by.
    pub(super) async fn read_campaigns_created(
        &self,
        user: &SalesforceId,
        since: Timestamp,
    ) -> Result<Vec<(SalesforceId, String)>, ConnectorError> {
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let soql = format!(
            "SELECT Id, Description FROM Campaign WHERE CreatedById = '{user}' AND CreatedDate >= {since} ORDER BY Id"
        );
        let rows: Vec<IdRow> = self.query_living("campaigns_created", soql).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.description.unwrap_or_default())).collect())
    }

    pub(super) async fn write_new_campaign(&self, new: &NewCampaign) -> Result<SalesforceId, ConnectorError> {
        let mut body = Map::new();
        body.insert("Name".into(), json!(new.name));
        body.insert("Description".into(), json!(new.description));
        body.insert("IsActive".into(), json!(true));
        body.extend(new.campaign_type.as_ref().map(|value| ("Type".to_owned(), json!(value))));
        body.extend(new.actual_cost.map(|cost| ("ActualCost".to_owned(), json!(cost))));
        let target = self.data_path("sobjects/Campaign");
        let body = Value::Object(body);
        let saved: Saved = self.ask(Call::write("create_campaign"), Method::POST, &target, Some(&body)).await?;
        saved.id.ok_or_else(|| broken(true, "a created campaign has no id"))
    }

    pub(super) async fn write_campaign(
        &self,
        id: &SalesforceId,
        change: &CampaignChange,
    ) -> Result<(), ConnectorError> {
        let CampaignChange { name, campaign_type, actual_cost } = change;
        let mut body = Map::new();
        body.extend(name.as_ref().map(|value| ("Name".to_owned(), json!(value))));
        body.extend(campaign_type.as_ref().map(|value| ("Type".to_owned(), json!(value))));
        body.extend(actual_cost.map(|value| ("ActualCost".to_owned(), json!(value))));
        if body.is_empty() {
            return Ok(());
        }
        let body = Value::Object(body);
        let target = self.data_path(&format!("sobjects/Campaign/{id}"));
        let request = |session: &super::session::Session| self.request(session, &Method::PATCH, &target, Some(&body));
        self.call(Call::write("update_campaign"), request, read_empty).await
    }

    pub(super) async fn write_new_statuses(
        &self,
        campaign: &SalesforceId,
        statuses: &[NewStatus],
    ) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        let record = |status: &NewStatus| {
            let mut record = json!({ "attributes": { "type": "CampaignMemberStatus" }, "CampaignId": campaign,
                "Label": status.label, "HasResponded": status.has_responded, "SortOrder": status.sort_order });
            if status.is_default {
                record["IsDefault"] = json!(true);
            }
            record
        };
        let records = statuses.iter().map(record).collect();
        let saved = self.statuses("create_statuses", Method::POST, records).await?;
        saved.iter().map(|saved| saved.created(Write::SalesforceCreate)).collect()
    }

    pub(super) async fn write_status_changes(
        &self,
        changes: &[StatusChange],
    ) -> Result<RecordResults<()>, ConnectorError> {
        let record = |change: &StatusChange| {
            let mut record = Map::new();
            record.insert("attributes".into(), json!({ "type": "CampaignMemberStatus" }));
            record.insert("id".into(), json!(change.id));
            record.extend(change.has_responded.map(|value| ("HasResponded".to_owned(), json!(value))));
            record.extend(change.is_default.map(|value| ("IsDefault".to_owned(), json!(value))));
            Value::Object(record)
        };
        let records = changes.iter().map(record).collect();
        let saved = self.statuses("update_statuses", Method::PATCH, records).await?;
        Ok(saved.iter().map(|saved| saved.outcome(Write::SalesforceUpdate)).collect())
    }

    async fn statuses(
        &self,
        endpoint: &'static str,
        method: Method,
        records: Vec<Value>,
    ) -> Result<Vec<Saved>, ConnectorError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        at_most_a_batch(records.len())?;
        self.collection(endpoint, method, &self.data_path("composite/sobjects"), records).await
    }
}
