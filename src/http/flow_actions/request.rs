//! What is asked for by a flow action, as it comes in: from a program, or from a "Call Webhook" step in Marketo.
//!
//! Owns the leniency that Marketo's templates need (any content type, digits in strings, doubled quotes) and the reasons for which
//! one person of many is rejected. Must not know whether campaign, status or people exist.

use std::collections::HashSet;

use axum::Json as AxumJson;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::extract::{refuse_nul, refused_body, refused_bytes};
use super::super::refusal::{Answer, Refusal};
use crate::domain::flow_action::FlowAction;
use crate::domain::ids::{PersonType, SalesforceId, SalesforceObject};
use crate::domain::rendered::mended;
use crate::store::flow_actions::Named;
use crate::store::outbox::Subject;

/// People in one request.
const MOST_PEOPLE: usize = 10_000;
/// Characters in an address (RFC 5321, 4.5.3.1).
const LONGEST_ADDRESS: usize = 254;

/// What is to be done, and with whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"campaign_id": "7015g000000XYZABCD", "status": "Registered", "people": [{"marketo_id": 318592}, {"email": "a@b.c"}, {"salesforce_id": "00Q5g000000XYZAAA2"}]}))]
pub(in crate::http) struct FlowActionRequest {
    /// Any campaign that our user sees, mapped or not; 15 or 18 characters.
    campaign_id: String,
    /// One of the campaign's statuses; a removal heeds none.
    status: Option<String>,
    /// At most 10,000.
    people: Option<Vec<NamedPerson>>,
    /// The program that the request comes from. When it is mapped, no lead or member is created by implication: its mapping does.
    program_id: Option<Loose>,
    /// In place of `people`, for a "Call Webhook" step in Marketo, which is about one person.
    #[serde(rename = "leadId")]
    lead_id: Option<Loose>,
}

/// One person, by exactly one of these.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NamedPerson {
    #[serde(skip_serializing_if = "Option::is_none")]
    marketo_id: Option<Loose>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Of a lead or a contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    salesforce_id: Option<String>,
}

/// A number, or digits in a string.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum Loose {
    Number(i64),
    Text(String),
}

impl Loose {
    /// None where Marketo had nothing to put in.
    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.trim().is_empty() || text.trim_start().starts_with("{{"))
    }

    /// A whole number above 0.
    fn id(&self) -> Option<i64> {
        let number = match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => Some(text.trim()).filter(|t| t.bytes().all(|c| c.is_ascii_digit()))?.parse().ok(),
        };
        number.filter(|number| *number > 0)
    }
}

/// A body whatever its declared type, mended where Marketo's rendering broke it.
pub(in crate::http) struct Rendered(pub(in crate::http) FlowActionRequest);

impl<S: Send + Sync> FromRequest<S> for Rendered {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| refused_bytes(rejection.status()))?;
        let bytes = match serde_json::from_slice::<Value>(&bytes) {
            Ok(_) => bytes,
            Err(_) => {
                let text = String::from_utf8_lossy(&bytes);
                let text = mended(text.trim_start_matches('\u{feff}'));
                let is_json = serde_json::from_str::<Value>(&text).is_ok();
                if is_json { text.into() } else { bytes }
            }
        };
        refuse_nul(&bytes)?;
        AxumJson::from_bytes(&bytes).map(|AxumJson(body)| Self(body)).map_err(refused_body)
    }
}

/// A request of which everything is well that can be seen without asking.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) campaign_id: SalesforceId,
    pub(super) status: Option<String>,
    pub(super) program_id: Option<i64>,
    pub(super) people: Vec<Named>,
}

impl FlowActionRequest {
    pub(super) fn checked(self, action: FlowAction) -> Answer<Asked> {
        let campaign_id: SalesforceId = self
            .campaign_id
            .trim()
            .parse()
            .map_err(|error| Refusal::field("campaign_id", "invalid", format!("{error}")))?;
        if campaign_id.object() != Some(SalesforceObject::Campaign) {
            return Err(Refusal::field("campaign_id", "invalid", "is not the id of a campaign: those begin with 701"));
        }
        // One body does for all three; a removal heeds no status.
        let status = self.status.filter(|status| action != FlowAction::Remove && !status.is_empty());
        if action != FlowAction::Remove && status.is_none() {
            let message = "is missing: one of the campaign's statuses is needed";
            return Err(Refusal::field("status", "required", message));
        }
        let program_id = self.program_id.filter(|id| !id.is_empty());
        let invalid = || Refusal::field("program_id", "invalid", "has to be a whole number above 0");
        let program_id = program_id.map(|id| id.id().ok_or_else(invalid)).transpose()?;
        Ok(Asked { campaign_id, status, program_id, people: named(self.people, self.lead_id)? })
    }
}

fn named(people: Option<Vec<NamedPerson>>, lead_id: Option<Loose>) -> Answer<Vec<Named>> {
    let people = match (people, lead_id.filter(|id| !id.is_empty())) {
        (Some(_), Some(_)) => {
            return Err(Refusal::field("leadId", "unused", "stands in place of people: leave one of them out"));
        }
        (Some(people), None) => people,
        (None, Some(id)) => vec![NamedPerson { marketo_id: Some(id), ..NamedPerson::default() }],
        (None, None) => Vec::new(),
    };
    if people.is_empty() {
        return Err(Refusal::field("people", "required", "has nobody: name 1 to 10,000 people, or leadId"));
    }
    if people.len() > MOST_PEOPLE {
        let message = format!("has {} people: at most 10,000 fit into one request", people.len());
        return Err(Refusal::field("people", "too-many", message));
    }
    let mut seen = HashSet::new();
    Ok(people
        .into_iter()
        .map(|person| match subject(&person) {
            Ok((subject, shown)) if seen.insert(subject.clone()) => {
                Named { person: shown.to_string(), subject: Ok(subject) }
            }
            Ok((_, shown)) => Named { person: shown.to_string(), subject: Err("duplicate") },
            Err(reason) => Named { person: serde_json::to_string(&person).unwrap_or_default(), subject: Err(reason) },
        })
        .collect())
}

/// By what a person is found, and as whom it is shown; else why it is rejected.
fn subject(person: &NamedPerson) -> Result<(Subject, Value), &'static str> {
    let some =
        |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let marketo_id = person.marketo_id.as_ref().filter(|id| !id.is_empty());
    match (marketo_id, some(&person.email), some(&person.salesforce_id)) {
        (Some(id), None, None) => {
            let id = id.id().ok_or("invalid_marketo_id")?;
            Ok((Subject::Marketo(id), json!({ "marketo_id": id })))
        }
        (None, Some(email), None) => {
            let (name, domain) = email.rsplit_once('@').ok_or("invalid_email")?;
            let plain = !email.chars().any(|c| c.is_whitespace() || c.is_control());
            if name.is_empty() || domain.is_empty() || !plain || email.chars().count() > LONGEST_ADDRESS {
                return Err("invalid_email");
            }
            Ok((Subject::Email(email.to_lowercase()), json!({ "email": email })))
        }
        (None, None, Some(id)) => {
            let id: SalesforceId = id.parse().map_err(|_| "invalid_salesforce_id")?;
            PersonType::of(&id).ok_or("not_a_person")?;
            Ok((Subject::Salesforce(id.clone()), json!({ "salesforce_id": id })))
        }
        (None, None, None) => Err("no_id"),
        _ => Err("several_ids"),
    }
}
