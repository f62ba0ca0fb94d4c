//! Writes: Collections of up to 200 records, and single rows where Collections say too little.
//!
//! Owns the bodies and the joining of results by position. Nothing is ever all-or-none: one bad record must not hold up
//! the others.
//!
//! Source: Salesforce, "sObject Collections", "sObject Rows", "Assignment Rule Header".

use futures_util::future::join_all;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::client::{Answer, Call};
use super::super::errors::{Fault, Write, as_record_error, record_error};
use super::super::{
    ConnectorError, NewLead, NewMember, Reaction, RecordError, RecordResults, SALESFORCE_BATCH, Vendor,
};
use super::{SalesforceClient, broken, read_json, refusal};
use crate::domain::ids::{PersonType, SalesforceId};

/// The call that creates leads.
const LEADS: &str = "create_leads";

/// The result of one record.
#[derive(Deserialize)]
pub(super) struct Saved {
    pub id: Option<SalesforceId>,
    success: bool,
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    status_code: String,
    #[serde(default)]
    message: String,
}

impl Saved {
    pub fn outcome(&self, write: Write) -> Result<(), RecordError> {
        match self.errors.first() {
            None if self.success => Ok(()),
            None => Err(record_error(write, "", "refused without a reason")),
            Some(problem) => Err(record_error(write, &problem.status_code, &problem.message)),
        }
    }

    pub fn created(&self, write: Write) -> Result<Result<SalesforceId, RecordError>, ConnectorError> {
        match (self.outcome(write), &self.id) {
            (Err(error), _) => Ok(Err(error)),
            (Ok(()), Some(id)) => Ok(Ok(id.clone())),
            (Ok(()), None) => Err(broken(true, "a created record has no id")),
        }
    }
}

/// The matches of a duplicate rule, in the error of a single row. Salesforce spells the first key like this.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DuplicateRefusal {
    error_code: String,
    #[serde(default)]
    message: String,
    #[serde(rename = "duplicateResut", alias = "duplicateResult")]
    duplicates: Option<DuplicateResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DuplicateResult {
    #[serde(default)]
    match_results: Vec<MatchResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MatchResult {
    #[serde(default)]
    match_records: Vec<MatchRecord>,
}

#[derive(Deserialize)]
struct MatchRecord {
    record: MatchedRow,
}

#[derive(Deserialize)]
struct MatchedRow {
    #[serde(rename = "Id")]
    id: SalesforceId,
}

impl SalesforceClient {
    /// One Collections call. A result for each record, or it is open what was written.
    pub(super) async fn collection(
        &self,
        endpoint: &'static str,
        method: Method,
        target: &str,
        records: Vec<Value>,
    ) -> Result<Vec<Saved>, ConnectorError> {
        let count = records.len();
        let body = json!({ "allOrNone": false, "records": records });
        let call = Call::write(endpoint);
        let request = |session: &super::session::Session| {
            let request = self.request(session, &method, target, Some(&body))?;
            Ok(if endpoint == LEADS { self.assigning(request) } else { request })
        };
        whole(self.call(call, request, read_json).await?, count)
    }

    /// Assignment rules give a new lead to somebody else and send mails; they run unless told not to.
    fn assigning(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.header("Sforce-Auto-Assign", if self.shared.settings.auto_assign { "TRUE" } else { "FALSE" })
    }

    pub(super) async fn write_new_members(
        &self,
        members: &[NewMember],
    ) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        at_most_a_batch(members.len())?;
        let record = |member: &NewMember| {
            let person =
                if PersonType::of(&member.person_id) == Some(PersonType::Lead) { "LeadId" } else { "ContactId" };
            json!({ "attributes": { "type": "CampaignMember" }, "CampaignId": member.campaign_id,
                    person: member.person_id, "Status": member.status })
        };
        let records = members.iter().map(record).collect();
        let target = self.data_path("composite/sobjects");
        let saved = self.collection("create_members", Method::POST, &target, records).await?;
        saved.iter().map(|saved| saved.created(Write::SalesforceCreate)).collect()
    }

    pub(super) async fn write_statuses(
        &self,
        members: &[(SalesforceId, String)],
    ) -> Result<RecordResults<()>, ConnectorError> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        at_most_a_batch(members.len())?;
        let record = |(id, status): &(SalesforceId, String)| json!({ "attributes": { "type": "CampaignMember" }, "id": id, "Status": status });
        let records = members.iter().map(record).collect();
        let target = self.data_path("composite/sobjects");
        let saved = self.collection("update_members", Method::PATCH, &target, records).await?;
        Ok(saved.iter().map(|saved| saved.outcome(Write::SalesforceUpdate)).collect())
    }

    pub(super) async fn write_deletions(
        &self,
        endpoint: &'static str,
        ids: &[SalesforceId],
    ) -> Result<RecordResults<()>, ConnectorError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        at_most_a_batch(ids.len())?;
        let list: Vec<&str> = ids.iter().map(SalesforceId::as_str).collect();
        let target = format!("{}?ids={}&allOrNone=false", self.data_path("composite/sobjects"), list.join(","));
        let saved: Vec<Saved> = self.ask(Call::write(endpoint), Method::DELETE, &target, None).await?;
        Ok(whole(saved, ids.len())?.iter().map(|saved| saved.outcome(Write::SalesforceDelete)).collect())
    }

    pub(super) async fn write_leads(&self, leads: &[NewLead]) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        at_most_a_batch(leads.len())?;
        let field = self.shared.settings.person_external_id_field.as_deref();
        let upserted = |lead: &NewLead| field.is_some() && lead.external_id.is_some();
        let mut results: Vec<Option<Result<SalesforceId, RecordError>>> = vec![None; leads.len()];
        for upsert in [true, false] {
            let at: Vec<usize> = (0..leads.len()).filter(|&n| upserted(&leads[n]) == upsert).collect();
            if at.is_empty() {
                continue;
            }
            let (method, resource) = match field.filter(|_| upsert) {
                Some(field) => (Method::PATCH, format!("composite/sobjects/Lead/{field}")),
                None => (Method::POST, "composite/sobjects".to_owned()),
            };
            let records = at.iter().map(|&n| lead_record(&leads[n], field, true)).collect();
            let outcomes = match self.collection(LEADS, method, &self.data_path(&resource), records).await {
                Ok(saved) => saved.iter().map(|s| s.created(Write::SalesforceCreate)).collect::<Result<Vec<_>, _>>()?,
                Err(error) if results.iter().all(Option::is_none) => return Err(error),
                // What came before is written, and must not be lost for this.
                Err(error) => vec![Err(as_record_error(&error)); at.len()],
            };
            for (at, outcome) in at.into_iter().zip(outcomes) {
                results[at] = Some(outcome);
            }
        }
        let named = results.into_iter().flatten().zip(leads).map(|(outcome, lead)| self.with_matches(outcome, lead));
        Ok(join_all(named).await)
    }

    /// A Collections error does not say which records a duplicate rule found; the same lead sent alone does.
    async fn with_matches(
        &self,
        outcome: Result<SalesforceId, RecordError>,
        lead: &NewLead,
    ) -> Result<SalesforceId, RecordError> {
        match outcome {
            Err(error) if matches!(error.reaction, Reaction::Duplicates(_)) => self.create_alone(lead).await,
            outcome => outcome,
        }
    }

    async fn create_alone(&self, lead: &NewLead) -> Result<SalesforceId, RecordError> {
        let body = lead_record(lead, self.shared.settings.person_external_id_field.as_deref(), false);
        let target = self.data_path("sobjects/Lead");
        let request = |session: &super::session::Session| {
            Ok(self.assigning(self.request(session, &Method::POST, &target, Some(&body))?))
        };
        self.call(Call::write("create_lead"), request, read_single)
            .await
            .unwrap_or_else(|error| Err(as_record_error(&error)))
    }
}

/// Reads the answer to a single lead; a refusal of the record is an answer.
fn read_single(answer: &Answer) -> Result<Result<SalesforceId, RecordError>, Fault> {
    if answer.status == 201 {
        let saved: Saved = read_json(answer)?;
        return saved.created(Write::SalesforceCreate).map_err(|error| Fault::unreadable(error.to_string()));
    }
    let refusals: Vec<DuplicateRefusal> = serde_json::from_slice(&answer.body).unwrap_or_default();
    match refusals.into_iter().next() {
        Some(first) if answer.status == 400 => {
            let mut error = record_error(Write::SalesforceCreate, &first.error_code, &first.message);
            if let Reaction::Duplicates(found) = &mut error.reaction {
                let results = first.duplicates.into_iter().flat_map(|duplicates| duplicates.match_results);
                found.extend(results.flat_map(|result| result.match_records).map(|matched| matched.record.id));
            }
            Ok(Err(error))
        }
        _ => Err(refusal(answer)),
    }
}

fn lead_record(lead: &NewLead, external_id_field: Option<&str>, typed: bool) -> Value {
    let mut record = Map::new();
    if typed {
        record.insert("attributes".into(), json!({ "type": "Lead" }));
    }
    record.insert("LastName".into(), json!(lead.last_name));
    record.insert("Company".into(), json!(lead.company));
    record.extend(lead.first_name.as_ref().map(|value| ("FirstName".to_owned(), json!(value))));
    record.extend(lead.email.as_ref().map(|value| ("Email".to_owned(), json!(value))));
    if let (Some(field), Some(value)) = (external_id_field, &lead.external_id) {
        record.insert(field.to_owned(), json!(value));
    }
    Value::Object(record)
}

fn whole(saved: Vec<Saved>, count: usize) -> Result<Vec<Saved>, ConnectorError> {
    if saved.len() == count {
        return Ok(saved);
    }
    Err(broken(true, format!("{} results came for {count} records", saved.len())))
}

pub(super) fn at_most_a_batch(count: usize) -> Result<(), ConnectorError> {
    if count <= SALESFORCE_BATCH {
        return Ok(());
    }
    let message = format!("{count} records in one call of at most {SALESFORCE_BATCH}");
    Err(ConnectorError::Refused { vendor: Vendor::Salesforce, code: "LIMIT_EXCEEDED".into(), message })
}
