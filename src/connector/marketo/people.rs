//! Marketo's people ("leads" in its API): read by id or key, created.
//!
//! Owns the fields that are asked for, with the configured ones that hold Salesforce ids; an instance that does not have
//! them is read without.
//!
//! Source: Adobe, "Leads"; "Fields" on why `sfdcId` itself is of no use.

use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::{Map, Value, json};

use super::super::chunk;
use super::super::errors::{Write, as_record_error, record_error};
use super::super::{ConnectorError, MARKETO_BATCH, MarketoPerson, NewPerson, PersonKey, RecordError, RecordResults};
use super::envelope::{Envelope, joined, text};
use super::{MarketoClient, broken, refused_with};
use crate::domain::ids::{MarketoId, SalesforceId, SalesforceObject};

/// Bytes of an address that the values may take; Marketo refuses 8 KB and the rest is path, fields and token.
pub(super) const ADDRESS_ROOM: usize = 7000;
/// "Field not found".
const UNKNOWN_FIELD: &str = "1006";
/// After this long, an instance that did not have the configured fields is asked for them again.
const FIELDS_AGAIN: Duration = Duration::from_hours(1);

type Row = Map<String, Value>;

impl MarketoClient {
    fn person_fields(&self, linked: bool) -> String {
        let settings = &self.shared.settings;
        let mut fields = vec!["id", "email", "firstName", "lastName", "company"];
        if linked {
            for field in [&settings.salesforce_lead_field, &settings.salesforce_contact_field] {
                if !fields.contains(&field.as_str()) {
                    fields.push(field);
                }
            }
        }
        fields.join(",")
    }

    /// A person of a row; none without an id.
    pub(super) fn person(&self, row: &Row) -> Option<MarketoPerson> {
        let settings = &self.shared.settings;
        let id = row.get("id").and_then(|id| id.as_i64().or_else(|| id.as_str()?.parse().ok()))?;
        let linked = |object| {
            let fields = [&settings.salesforce_lead_field, &settings.salesforce_contact_field];
            let mut ids = fields.into_iter().filter_map(|field| text(row, field)?.parse::<SalesforceId>().ok());
            ids.find(|id| id.object() == Some(object))
        };
        Some(MarketoPerson {
            id,
            email: text(row, "email"),
            first_name: text(row, "firstName"),
            last_name: text(row, "lastName"),
            company: text(row, "company"),
            salesforce_lead_id: linked(SalesforceObject::Lead),
            salesforce_contact_id: linked(SalesforceObject::Contact),
        })
    }

    /// A listing of people with all fields that the instance has.
    pub(super) async fn with_person_fields(
        &self,
        endpoint: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Envelope<Vec<Row>>, ConnectorError> {
        let now = self.shared.clock.monotonic();
        let unknown = &self.shared.fields_unknown_until;
        let skip = *unknown.lock().unwrap_or_else(PoisonError::into_inner) > now;
        let ask = async |linked: bool| {
            let fields = self.person_fields(linked);
            self.get(endpoint, path, &[query, &[("fields", fields.as_str())]].concat()).await
        };
        if !skip {
            match ask(true).await {
                Err(error) if refused_with(&error, &[UNKNOWN_FIELD]) => tracing::warn!(
                    %error, "Marketo has no such person fields for Salesforce ids; people are read without them"
                ),
                outcome => return outcome,
            }
        }
        let envelope = ask(false).await?;
        if !skip {
            *unknown.lock().unwrap_or_else(PoisonError::into_inner) = now + FIELDS_AGAIN;
        }
        Ok(envelope)
    }

    pub(super) async fn read_people(&self, key: &str, values: &[String]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        let runs = chunk::runs(values, MARKETO_BATCH, ADDRESS_ROOM, 3);
        Ok(try_join_all(runs.into_iter().map(|run| self.people_of(key, run))).await?.concat())
    }

    async fn people_of(&self, key: &str, values: &[String]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        let values = values.join(",");
        let query = [("filterType", key), ("filterValues", values.as_str()), ("batchSize", "300")];
        let mut people = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let paged = [&query[..], token.as_deref().map(|token| ("nextPageToken", token)).as_slice()].concat();
            let page = self.with_person_fields("people", "/rest/v1/leads.json", &paged).await?;
            let next = page.next(token.as_deref())?;
            for row in page.rows()? {
                people.push(self.person(&row).ok_or_else(|| broken(false, "a person came without an id"))?);
            }
            match next {
                Some(next) => token = Some(next),
                None => return Ok(people),
            }
        }
    }

    pub(super) async fn read_people_by(
        &self,
        key: PersonKey,
        values: &[String],
    ) -> Result<Vec<MarketoPerson>, ConnectorError> {
        let settings = &self.shared.settings;
        let field = match key {
            PersonKey::Email => "email",
            PersonKey::SalesforceLead => &settings.salesforce_lead_field,
            PersonKey::SalesforceContact => &settings.salesforce_contact_field,
        };
        // A comma would make two values of one, and no address that Marketo takes has one.
        let values: Vec<String> = values.iter().filter(|v| !v.is_empty() && !v.contains(',')).cloned().collect();
        let runs = chunk::runs(&values, MARKETO_BATCH, ADDRESS_ROOM, 3);
        match try_join_all(runs.into_iter().map(|run| self.people_or_halves(field, run))).await {
            // Nobody has a value in a field that does not exist.
            Err(error) if key != PersonKey::Email && refused_with(&error, &[UNKNOWN_FIELD]) => Ok(Vec::new()),
            outcome => Ok(outcome?.concat()),
        }
    }

    /// 1003 is also "too many results" (1,000): fewer values then bring fewer.
    async fn people_or_halves(&self, field: &str, values: &[String]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        let mut people = Vec::new();
        let mut runs = vec![values];
        while let Some(run) = runs.pop() {
            match self.people_of(field, run).await {
                Err(error) if run.len() > 1 && refused_with(&error, &["1003"]) => {
                    let (first, second) = run.split_at(run.len() / 2);
                    runs.extend([second, first]);
                }
                outcome => people.extend(outcome?),
            }
        }
        Ok(people)
    }

    pub(super) async fn write_people(&self, people: &[NewPerson]) -> Result<RecordResults<MarketoId>, ConnectorError> {
        let unkeyed = "a person needs an e-mail address or a Salesforce id to be created under";
        let mut results: RecordResults<MarketoId> =
            vec![Err(record_error(Write::MarketoCreate, "NO_KEY", unkeyed)); people.len()];
        let mut first = true;
        for key in [PersonKey::Email, PersonKey::SalesforceLead, PersonKey::SalesforceContact] {
            let at: Vec<usize> = (0..people.len()).filter(|&n| key_of(&people[n]) == Some(key)).collect();
            if at.is_empty() {
                continue;
            }
            let group: Vec<&NewPerson> = at.iter().map(|&n| &people[n]).collect();
            let outcomes = match self.create_by(key, &group).await {
                Ok(outcomes) => outcomes,
                Err(error) if first => return Err(error),
                // What came before is written, and must not be lost for this.
                Err(error) => vec![Err(as_record_error(&error)); at.len()],
            };
            first = false;
            for (at, outcome) in at.into_iter().zip(outcomes) {
                results[at] = outcome;
            }
        }
        Ok(results)
    }

    async fn create_by(
        &self,
        key: PersonKey,
        people: &[&NewPerson],
    ) -> Result<RecordResults<MarketoId>, ConnectorError> {
        let outcome = self.create_call(key, people, true).await;
        match outcome {
            // The whole call is refused for a field, so nothing was made; the link is then kept on our side alone.
            Err(error) if key == PersonKey::Email && refused_with(&error, &[UNKNOWN_FIELD, "1011"]) => {
                self.create_call(key, people, false).await
            }
            outcome => outcome,
        }
    }

    async fn create_call(
        &self,
        key: PersonKey,
        people: &[&NewPerson],
        linked: bool,
    ) -> Result<RecordResults<MarketoId>, ConnectorError> {
        let lookup = match key {
            PersonKey::Email => "email",
            PersonKey::SalesforceLead => &self.shared.settings.salesforce_lead_field,
            PersonKey::SalesforceContact => &self.shared.settings.salesforce_contact_field,
        };
        let input: Vec<Value> = people.iter().map(|person| self.new_row(person, key, linked)).collect();
        let body = json!({ "action": "createOnly", "lookupField": lookup, "input": input });
        let rows = joined(self.post("create_people", "/rest/v1/leads.json", &body).await?, people.len())?;
        let created = |row: &super::envelope::Written| -> Result<Result<MarketoId, RecordError>, ConnectorError> {
            match row.outcome(Write::MarketoCreate) {
                Ok(()) => row.person().map(Ok).ok_or_else(|| broken(true, "a created person has no id")),
                Err(error) => Ok(Err(error)),
            }
        };
        rows.iter().map(created).collect()
    }

    fn new_row(&self, person: &NewPerson, key: PersonKey, linked: bool) -> Value {
        let mut row = Map::new();
        let fields = [("email", &person.email), ("firstName", &person.first_name), ("lastName", &person.last_name)];
        for (field, value) in fields.into_iter().chain([("company", &person.company)]) {
            if let Some(value) = value {
                row.insert(field.to_owned(), json!(value));
            }
        }
        if let Some(id) = person.salesforce_id.as_ref().filter(|_| linked)
            && let Some(field) = self.link_field(id)
            // The native fields belong to Marketo's own sync; they are given only where they are the key.
            && (key != PersonKey::Email || !field.starts_with("sfdc"))
        {
            row.insert(field.to_owned(), json!(id));
        }
        Value::Object(row)
    }

    fn link_field(&self, id: &SalesforceId) -> Option<&str> {
        match id.object()? {
            SalesforceObject::Lead => Some(&self.shared.settings.salesforce_lead_field),
            SalesforceObject::Contact => Some(&self.shared.settings.salesforce_contact_field),
            _ => None,
        }
    }
}

/// Under what a person is created: the address, else the Salesforce id. Without either a second try would make a second
/// person.
fn key_of(person: &NewPerson) -> Option<PersonKey> {
    if person.email.as_deref().is_some_and(|email| !email.trim().is_empty()) {
        return Some(PersonKey::Email);
    }
    match person.salesforce_id.as_ref()?.object()? {
        SalesforceObject::Lead => Some(PersonKey::SalesforceLead),
        SalesforceObject::Contact => Some(PersonKey::SalesforceContact),
        _ => None,
    }
}
