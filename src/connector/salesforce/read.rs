//! Reads: SOQL queries, cut into calls and followed to their end.
//!
//! Owns the queries and the proof that an answer is whole: a list that is shorter than Salesforce says it is would be read
//! as removals.
//!
//! Source: Salesforce, "Query", "QueryAll"; "SOQL and SOSL Limits".

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{try_join, try_join_all};
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::super::client::{Answer, Call};
use super::super::errors::Fault;
use super::super::{Campaign, ConnectorError, ListedCampaign, Page, SalesforcePerson, wire};
use super::records::{CONTACT, CampaignRow, LEAD, PersonRow, STATUS, StatusRow};
use super::soql::{ROOM, any_of, has, quoted, runs};
use super::{SalesforceClient, broken, read_json, refused_with};
use crate::domain::ids::{PersonType, SalesforceId};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryAnswer<T> {
    total_size: u64,
    done: bool,
    next_records_url: Option<String>,
    records: Vec<T>,
}

/// Whether deleted rows are wanted as well.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    Living,
    All,
}

impl SalesforceClient {
    async fn first_page<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        rows: Rows,
        soql: &str,
    ) -> Result<QueryAnswer<T>, ConnectorError> {
        self.ask(Call::read(endpoint), Method::GET, &self.query_address(rows, soql), None).await
    }

    fn query_address(&self, rows: Rows, soql: &str) -> String {
        let resource = match rows {
            Rows::Living => "query",
            Rows::All => "queryAll",
        };
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", soql).finish();
        format!("{}?{query}", self.data_path(resource))
    }

    pub(super) async fn query<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        rows: Rows,
        soql: String,
    ) -> Result<Vec<T>, ConnectorError> {
        let mut page: QueryAnswer<T> = self.first_page(endpoint, rows, &soql).await?;
        let mut records = Vec::new();
        loop {
            let empty = page.records.is_empty();
            records.append(&mut page.records);
            match page.following(records.len() as u64)? {
                None => return Ok(records),
                Some(_) if empty => return Err(broken(false, "a page without rows says that there are more")),
                Some(next) => page = self.ask(Call::read(endpoint), Method::GET, &next, None).await?,
            }
        }
    }

    pub(super) async fn query_living<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        soql: String,
    ) -> Result<Vec<T>, ConnectorError> {
        self.query(endpoint, Rows::Living, soql).await
    }

    /// One query for each run of values; `soql` is given the condition.
    pub(super) async fn query_in<T: DeserializeOwned, V: AsRef<str>>(
        &self,
        endpoint: &'static str,
        rows: Rows,
        (field, values): (&str, &[V]),
        soql: impl Fn(&str) -> String,
    ) -> Result<Vec<T>, ConnectorError> {
        let queries = runs(values, ROOM).into_iter().map(|run| soql(&any_of(field, run)));
        let parts = try_join_all(queries.map(|soql| self.query(endpoint, rows, soql))).await?;
        Ok(parts.into_iter().flatten().collect())
    }

    pub(super) async fn read_campaigns(&self, ids: &[SalesforceId]) -> Result<Vec<Campaign>, ConnectorError> {
        let ids = texts(ids);
        let statuses = self.query_in::<StatusRow, _>("statuses", Rows::Living, ("CampaignId", &ids), |condition| {
            format!("SELECT {STATUS} FROM CampaignMemberStatus WHERE {condition} ORDER BY SortOrder")
        });
        let (campaigns, statuses) = try_join(self.campaign_rows(&ids), statuses).await?;
        let mut by_campaign: BTreeMap<SalesforceId, Vec<_>> = BTreeMap::new();
        for row in statuses {
            by_campaign.entry(row.campaign_id.clone()).or_default().push(row.read());
        }
        for statuses in by_campaign.values_mut() {
            statuses.sort_by_key(|status| status.sort_order);
        }
        let with_statuses = |row: CampaignRow| {
            let statuses = by_campaign.remove(&row.id).unwrap_or_default();
            row.with(statuses)
        };
        Ok(campaigns.into_iter().map(with_statuses).collect())
    }

    /// Field security may hide a field, which then does not exist for the query; the text that names it is translated, so
    /// that the smaller queries are tried in turn.
    async fn campaign_rows(&self, ids: &[&str]) -> Result<Vec<CampaignRow>, ConnectorError> {
        let mut outcome = Ok(Vec::new());
        for hidden in ["Type, ActualCost", "Type", "ActualCost", ""] {
            let fields = if hidden.is_empty() { String::new() } else { format!(", {hidden}") };
            outcome = self
                .query_in("campaigns", Rows::Living, ("Id", ids), |condition| {
                    format!("SELECT Id, Name, IsActive{fields} FROM Campaign WHERE {condition}")
                })
                .await;
            match &outcome {
                Err(error) if refused_with(error, "INVALID_FIELD") => {
                    tracing::debug!("campaigns have no visible {hidden}");
                }
                _ => break,
            }
        }
        outcome
    }

    pub(super) async fn read_campaigns_like(
        &self,
        text: &str,
        before: Option<&SalesforceId>,
        limit: usize,
    ) -> Result<Vec<ListedCampaign>, ConnectorError> {
        let mut conditions = Vec::new();
        if !text.is_empty() {
            conditions.push(has("Name", text));
        }
        conditions.extend(before.map(|id| format!("Id < {}", quoted(id.as_str()))));
        let only = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let soql = |fields: &str| {
            format!("SELECT Id, Name, IsActive{fields} FROM Campaign{only} ORDER BY Id DESC LIMIT {limit}")
        };
        // Field security may hide the type.
        let rows: Vec<CampaignRow> = match self.query_living("campaigns_like", soql(", Type")).await {
            Err(error) if refused_with(&error, "INVALID_FIELD") => {
                self.query_living("campaigns_like", soql("")).await?
            }
            outcome => outcome?,
        };
        Ok(rows.into_iter().map(CampaignRow::listed).collect())
    }

    /// One page of a query, the first or the one that a cursor names: the number of rows so far and the address of the next ones. A row
    /// that cannot be read is left out of it, and counted.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        rows: Rows,
        soql: &str,
        cursor: Option<&str>,
    ) -> Result<Page<T>, ConnectorError> {
        let (before, target) = match cursor {
            None => (0, self.query_address(rows, soql)),
            Some(cursor) => {
                let (before, next) = cursor.split_once(' ').unwrap_or(("0", cursor));
                (before.parse().unwrap_or(0), next.to_owned())
            }
        };
        let request = |session: &_| self.request(session, &Method::GET, &target, None);
        let (page, unreadable) = self.call(Call::read(endpoint), request, read_page::<T>).await?;
        if unreadable > 0 {
            tracing::warn!(endpoint, unreadable, "rows of a listing of Salesforce could not be read");
        }
        let here = page.records.len() + unreadable;
        let so_far = before + here as u64;
        let next = page.following(so_far)?.map(|next| format!("{so_far} {next}"));
        if next.is_some() && here == 0 {
            return Err(broken(false, "a page without rows says that there are more"));
        }
        Ok(Page { rows: page.records, next, total: Some(page.total_size), unreadable })
    }

    pub(super) async fn read_people(&self, ids: &[SalesforceId]) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        let ids = texts(ids);
        let (leads, contacts): (Vec<&str>, Vec<&str>) = ids.into_iter().partition(|id| id.starts_with("00Q"));
        let contacts: Vec<&str> = contacts.into_iter().filter(|id| id.starts_with("003")).collect();
        let (leads, contacts) = try_join(
            self.persons(PersonType::Lead, Rows::All, ("Id", &leads)),
            self.persons(PersonType::Contact, Rows::All, ("Id", &contacts)),
        )
        .await?;
        Ok([leads, contacts].concat())
    }

    pub(super) async fn read_people_by_email(
        &self,
        emails: &[String],
    ) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        // An empty literal would find everybody without an address.
        let emails: Vec<&str> = emails.iter().map(String::as_str).filter(|email| !email.trim().is_empty()).collect();
        let (leads, contacts) = try_join(
            self.persons(PersonType::Lead, Rows::Living, ("Email", &emails)),
            self.persons(PersonType::Contact, Rows::Living, ("Email", &emails)),
        )
        .await?;
        Ok([leads, contacts].concat())
    }

    /// Leads created by a user since a time.
    pub(super) async fn read_leads_created(
        &self,
        user: &SalesforceId,
        since: Timestamp,
    ) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        let (endpoint, soql) = person_query(PersonType::Lead);
        // A time in SOQL has no fractions.
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let soql = format!("{soql} WHERE CreatedById = '{user}' AND CreatedDate >= {since}");
        let found: Vec<PersonRow> = self.query(endpoint, Rows::Living, soql).await?;
        Ok(found.into_iter().map(|row| row.read(PersonType::Lead)).collect())
    }

    async fn persons(
        &self,
        person: PersonType,
        rows: Rows,
        by: (&str, &[&str]),
    ) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        let (endpoint, soql) = person_query(person);
        let found = self.query_in::<PersonRow, _>(endpoint, rows, by, |condition| format!("{soql} WHERE {condition}"));
        Ok(found.await?.into_iter().map(|row| row.read(person)).collect())
    }

    pub(super) async fn read_people_by_external_id(
        &self,
        values: &[String],
    ) -> Result<Vec<(String, SalesforcePerson)>, ConnectorError> {
        let Some(field) = self.shared.settings.person_external_id_field.as_deref() else { return Ok(Vec::new()) };
        let values: Vec<&str> = values.iter().map(String::as_str).filter(|value| !value.is_empty()).collect();
        let leads = self.keyed_persons(PersonType::Lead, field, &values).await?;
        // The field may be on leads alone.
        let contacts = match self.keyed_persons(PersonType::Contact, field, &values).await {
            Err(error) if refused_with(&error, "INVALID_FIELD") => Vec::new(),
            outcome => outcome?,
        };
        Ok([leads, contacts].concat())
    }

    async fn keyed_persons(
        &self,
        person: PersonType,
        field: &str,
        values: &[&str],
    ) -> Result<Vec<(String, SalesforcePerson)>, ConnectorError> {
        let (endpoint, soql) = person_query(person);
        let soql = soql.replacen("SELECT Id,", &format!("SELECT Id, {field},"), 1);
        let rows: Vec<Map<String, Value>> = self
            .query_in(endpoint, Rows::Living, (field, values), |condition| format!("{soql} WHERE {condition}"))
            .await?;
        let read = |row: Map<String, Value>| {
            // Salesforce answers with the field's own case, whatever case was asked.
            let key = row.iter().find(|(name, _)| name.eq_ignore_ascii_case(field)).and_then(|(_, v)| v.as_str());
            let key = key.unwrap_or_default().to_owned();
            let row: PersonRow =
                serde_json::from_value(Value::Object(row)).map_err(|e| broken(false, e.to_string()))?;
            Ok((key, row.read(person)))
        };
        rows.into_iter().map(read).collect()
    }
}

/// A page of a listing, and how many of its rows cannot be read. Row by row only where one of them cannot: that takes twice as long.
fn read_page<T: DeserializeOwned>(answer: &Answer) -> Result<(QueryAnswer<T>, usize), Fault> {
    let whole = match read_json::<QueryAnswer<T>>(answer) {
        Ok(page) => return Ok((page, 0)),
        Err(fault) => fault,
    };
    let Ok(QueryAnswer { total_size, done, next_records_url, records }) = read_json::<QueryAnswer<Value>>(answer)
    else {
        return Err(whole);
    };
    match wire::readable(records, serde_json::from_value::<T>) {
        Ok((records, unreadable)) => Ok((QueryAnswer { total_size, done, next_records_url, records }, unreadable)),
        Err(_) => Err(whole),
    }
}

impl<T> QueryAnswer<T> {
    /// Where the next page is; none at the end, when `so_far` rows must be all there are.
    fn following(&self, so_far: u64) -> Result<Option<String>, ConnectorError> {
        match &self.next_records_url {
            _ if self.done && so_far < self.total_size => {
                Err(broken(false, format!("{so_far} rows came of {}", self.total_size)))
            }
            _ if self.done => Ok(None),
            Some(next) => Ok(Some(next.clone())),
            None => Err(broken(false, "the answer is not the last, and does not say where the next one is")),
        }
    }
}

pub(super) fn texts(ids: &[SalesforceId]) -> Vec<&str> {
    let unique: BTreeSet<&str> = ids.iter().map(SalesforceId::as_str).collect();
    unique.into_iter().collect()
}

fn person_query(person: PersonType) -> (&'static str, String) {
    match person {
        PersonType::Lead => ("leads", format!("SELECT {LEAD} FROM Lead")),
        PersonType::Contact => ("contacts", format!("SELECT {CONTACT} FROM Contact")),
    }
}
