//! What changed: queries by `SystemModstamp` in its order, deleted rows included, and the log of deletions.
//!
//! Owns the queries of the pollers and their pages. A page is walked by its locator, so that a row that changes meanwhile is not passed
//! over: it comes again later with its new time. Must not know how far a poller has come.
//!
//! Source: Salesforce, "QueryAll", "sObject Get Deleted"; the latter's seconds are cut off, its span is longer than a minute, it reaches
//! back 15 days, and the next span begins where it says that this one ended.

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::super::changes::{ChangedCampaign, Deletable, Deletions, DepartedPerson, SalesforceLog};
use super::super::client::Call;
use super::super::{CampaignMember, ConnectorError, Page, wire};
use super::read::{Rows, texts};
use super::records::{MEMBER, MemberRow};
use super::soql::any_of;
use super::{SalesforceClient, broken};
use crate::domain::ids::{PersonType, SalesforceId};

const ORDER: &str = "ORDER BY SystemModstamp, Id";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CampaignRow {
    id: SalesforceId,
    #[serde(default)]
    is_deleted: bool,
    #[serde(default, deserialize_with = "wire::optional_time")]
    last_modified_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "wire::optional_time")]
    system_modstamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PersonRow {
    id: SalesforceId,
    #[serde(default)]
    is_deleted: bool,
    #[serde(default)]
    is_converted: bool,
    converted_contact_id: Option<SalesforceId>,
    master_record_id: Option<SalesforceId>,
    #[serde(default, deserialize_with = "wire::optional_time")]
    system_modstamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeletedAnswer {
    deleted_records: Vec<Value>,
    #[serde(default, deserialize_with = "wire::optional_time")]
    earliest_date_available: Option<Timestamp>,
    #[serde(default, deserialize_with = "wire::optional_time")]
    latest_date_covered: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeletedRow {
    id: SalesforceId,
    #[serde(default, deserialize_with = "wire::optional_time")]
    deleted_date: Option<Timestamp>,
}

/// A time in SOQL has no fractions.
fn literal(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// As a parameter of the log of deletions, encoded.
fn parameter(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H%%3A%M%%3A%S%%2B00%%3A00").to_string()
}

#[async_trait]
impl SalesforceLog for SalesforceClient {
    async fn changed_members(
        &self,
        campaigns: &[SalesforceId],
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<CampaignMember>, ConnectorError> {
        let of = any_of("CampaignId", &texts(campaigns));
        let soql =
            format!("SELECT {MEMBER} FROM CampaignMember WHERE {of} AND SystemModstamp >= {} {ORDER}", literal(since));
        let page: Page<MemberRow> = self.page("changed_members", Rows::All, &soql, cursor).await?;
        let Page { rows, next, total, unreadable } = page;
        Ok(Page { rows: self.as_members(Rows::All, rows).await?, next, total, unreadable })
    }

    async fn changed_campaigns(
        &self,
        campaigns: &[SalesforceId],
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<ChangedCampaign>, ConnectorError> {
        let of = any_of("Id", &texts(campaigns));
        let soql = format!(
            "SELECT Id, IsDeleted, LastModifiedDate, SystemModstamp FROM Campaign WHERE {of} AND SystemModstamp >= {} {ORDER}",
            literal(since)
        );
        let page: Page<CampaignRow> = self.page("changed_campaigns", Rows::All, &soql, cursor).await?;
        let read = |row: CampaignRow| ChangedCampaign {
            id: row.id,
            is_deleted: row.is_deleted,
            last_modified: row.last_modified_date,
            system_modstamp: row.system_modstamp,
        };
        let Page { rows, next, total, unreadable } = page;
        Ok(Page { rows: rows.into_iter().map(read).collect(), next, total, unreadable })
    }

    async fn departed_people(
        &self,
        person: PersonType,
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<DepartedPerson>, ConnectorError> {
        let (object, fields, departed) = match person {
            PersonType::Lead => {
                ("Lead", ", IsConverted, ConvertedContactId", "(IsDeleted = true OR IsConverted = true)")
            }
            PersonType::Contact => ("Contact", "", "IsDeleted = true"),
        };
        let soql = format!(
            "SELECT Id, IsDeleted, MasterRecordId, SystemModstamp{fields} FROM {object} WHERE SystemModstamp >= {} AND {departed} {ORDER}",
            literal(since)
        );
        let page: Page<PersonRow> = self.page("departed_people", Rows::All, &soql, cursor).await?;
        let read = |row: PersonRow| DepartedPerson {
            id: row.id,
            is_deleted: row.is_deleted,
            master_record_id: row.master_record_id,
            converted_contact_id: row.converted_contact_id.filter(|_| row.is_converted),
            system_modstamp: row.system_modstamp,
        };
        let Page { rows, next, total, unreadable } = page;
        Ok(Page { rows: rows.into_iter().map(read).collect(), next, total, unreadable })
    }

    async fn deleted(&self, of: Deletable, from: Timestamp, to: Timestamp) -> Result<Deletions, ConnectorError> {
        let object = match of {
            Deletable::CampaignMember => "CampaignMember",
            Deletable::Lead => "Lead",
            Deletable::Contact => "Contact",
        };
        let (start, end) = (parameter(from), parameter(to));
        let target = format!("{}?start={start}&end={end}", self.data_path(&format!("sobjects/{object}/deleted/")));
        let answer: DeletedAnswer = self.ask(Call::read("deleted"), Method::GET, &target, None).await?;
        let covered = answer.latest_date_covered.ok_or_else(|| broken(false, "it is not said what was covered"))?;
        let row = |row: DeletedRow| (row.id, row.deleted_date.unwrap_or(covered));
        let rows = wire::readable(answer.deleted_records, serde_json::from_value);
        let (rows, unreadable) = rows.map_err(|error| broken(false, format!("rows of an unknown form ({error})")))?;
        if unreadable > 0 {
            tracing::warn!(object, unreadable, "rows of the log of deletions of Salesforce could not be read");
        }
        Ok(Deletions {
            rows: rows.into_iter().map(row).collect(),
            // An organisation that does not say has not purged what it was asked for, or it would have refused.
            earliest: answer.earliest_date_available.unwrap_or(from),
            covered,
        })
    }
}
