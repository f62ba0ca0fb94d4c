//! Salesforce over its REST API.
//!
//! Owns the settings and the way of one call: session, call, and once more with a fresh session when Salesforce says 401.
//! Logging in, SOQL, reads and writes are in the files below.
//!
//! Source: Salesforce, "REST API Developer Guide".

mod campaigns;
mod changes;
mod checkup;
mod members;
mod read;
mod records;
mod session;
mod soql;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

pub use self::checkup::{DailyRequests, DuplicateRule, FieldDescribe, ObjectDescribe, PicklistValue, SalesforceUser};
use self::session::Session;
use super::budget::{Limits, Priority, Sharing, Wait, runtime_wait};
use super::client::{Answer, Call, InvalidSettings, Line, Usage};
use super::errors::{Fault, Verdict, of_salesforce, of_status};
use super::token::{Held, TokenSlot};
use super::{
    Campaign, CampaignMember, ConnectorError, ListedCampaign, NewCampaign, NewLead, NewMember, Pace, Page,
    RecordResults, Salesforce, SalesforceIdentity, SalesforcePerson, Vendor, wire,
};
use crate::domain::clock::Clock;
use crate::domain::ids::SalesforceId;
use crate::domain::one_way::{CampaignChange, CampaignFields};
use crate::domain::provision::{NewStatus, StatusChange};

/// How to reach one Salesforce organisation.
#[derive(Clone, Debug)]
pub struct SalesforceSettings {
    /// Where the token call goes; for client credentials it must be the organisation's My Domain.
    pub login_url: Url,
    /// Where all other calls go; the token answer says it where this is none.
    pub instance_url: Option<Url>,
    pub client_id: String,
    /// For the client credentials flow.
    pub client_secret: Option<SecretString>,
    /// For the JWT bearer flow.
    pub username: Option<String>,
    /// PEM; set, the JWT bearer flow is used.
    pub private_key: Option<SecretString>,
    /// `60.0`
    pub api_version: String,
    /// The only organisation that is accepted, where set.
    pub organization_id: Option<SalesforceId>,
    /// A unique external id field of Lead that we may write.
    pub person_external_id_field: Option<String>,
    /// Whether the organisation's lead assignment rules run on leads that we create.
    pub auto_assign: bool,
    pub limits: Limits,
}

impl SalesforceSettings {
    /// Five calls at once and half of the organisation's daily calls.
    #[must_use]
    pub fn usual_limits() -> Limits {
        Limits {
            concurrency: 5,
            window: None,
            daily_calls: None,
            daily_share: Some(0.5),
            timeout: Duration::from_secs(25),
        }
    }

    fn check(&self) -> Result<(), InvalidSettings> {
        let bad = |text: &str| Err(InvalidSettings(format!("salesforce.{text}")));
        for (name, url) in [("login_url", Some(&self.login_url)), ("instance_url", self.instance_url.as_ref())] {
            if url.is_some_and(|url| !matches!(url.scheme(), "http" | "https")) {
                return bad(&format!("{name} must be an http or https address"));
            }
        }
        if !self.api_version.chars().all(|c| c.is_ascii_digit() || c == '.') || self.api_version.is_empty() {
            return bad("api_version must be a number such as 60.0");
        }
        if self.person_external_id_field.as_deref().is_some_and(|field| !soql::is_field_name(field)) {
            return bad("person_external_id_field must be the API name of a field");
        }
        match (&self.private_key, &self.username, &self.client_secret) {
            (Some(_), None, _) => bad("username is needed with private_key"),
            (None, _, None) => bad("client_secret or private_key must be set"),
            _ => Ok(()),
        }
    }
}

/// A client of one organisation. Copies share session, budget and circuit.
#[derive(Clone)]
pub struct SalesforceClient {
    shared: Arc<Shared>,
    priority: Priority,
}

struct Shared {
    settings: SalesforceSettings,
    clock: Clock,
    line: Line,
    key: Option<jsonwebtoken::EncodingKey>,
    session: TokenSlot<Session>,
}

/// One error of an answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    error_code: String,
    #[serde(default)]
    message: String,
}

impl SalesforceClient {
    /// A client; nothing is called yet.
    ///
    /// # Errors
    /// `InvalidSettings` naming the setting that is wrong, the private key included.
    pub fn new(settings: SalesforceSettings, clock: Clock) -> Result<Self, InvalidSettings> {
        Self::with_wait(settings, clock, runtime_wait())
    }

    /// A client that waits for free slots in this way.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_wait(settings: SalesforceSettings, clock: Clock, wait: Wait) -> Result<Self, InvalidSettings> {
        settings.check()?;
        let key = settings.private_key.as_ref().map(session::signing_key).transpose()?;
        // The vendor's own day is a rolling one; ours begins at midnight UTC.
        let line = Line::new(Vendor::Salesforce, settings.limits.clone(), TimeZone::UTC, clock.clone(), wait)?;
        let session = TokenSlot::new(clock.clone());
        Ok(Self { shared: Arc::new(Shared { settings, clock, line, key, session }), priority: Priority::Webhook })
    }

    /// The same client with calls of this priority.
    #[must_use]
    pub fn prioritised(&self, priority: Priority) -> Self {
        Self { shared: Arc::clone(&self.shared), priority }
    }

    /// Shares the budget from now on. What is returned settles with the others, and is to run for as long as calls are made.
    pub fn share_budget(&self, with: Sharing) -> impl Future<Output = ()> + Send + use<> {
        self.shared.line.share(&with);
        let shared = Arc::clone(&self.shared);
        async move { shared.line.keep(&with).await }
    }

    /// What may be shown of the traffic.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.shared.line.usage()
    }

    /// `/services/data/v60.0/...`
    fn data_path(&self, rest: &str) -> String {
        format!("/services/data/v{}/{rest}", self.shared.settings.api_version)
    }

    async fn session(&self, refused: Option<&Arc<Held<Session>>>) -> Result<Arc<Held<Session>>, ConnectorError> {
        self.shared.session.get(refused, self.log_in()).await
    }

    /// One call with the session, and once more when it was refused.
    async fn call<T>(
        &self,
        call: Call,
        request: impl Fn(&Session) -> Result<RequestBuilder, ConnectorError>,
        read: impl Fn(&Answer) -> Result<T, Fault>,
    ) -> Result<T, ConnectorError> {
        let mut refused = None;
        loop {
            let session = self.session(refused.as_ref()).await?;
            let request = request(&session.value)?.bearer_auth(session.value.token.expose_secret());
            match self.shared.line.exchange(call, self.priority, request, &read).await {
                Err(fault) if fault.verdict == Verdict::Refresh && refused.is_none() => refused = Some(session),
                outcome => return outcome.map_err(|fault| fault.into_error(Vendor::Salesforce, call.write)),
            }
        }
    }

    /// A call to a path below the instance.
    async fn ask<T: DeserializeOwned>(
        &self,
        call: Call,
        method: Method,
        target: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, ConnectorError> {
        self.call(call, |session| self.request(session, &method, target, body), read_json).await
    }

    fn request(
        &self,
        session: &Session,
        method: &Method,
        target: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<RequestBuilder, ConnectorError> {
        let url = session.address(target)?;
        let request = self.shared.line.http().request(method.clone(), url);
        Ok(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }
}

/// An answer with data; whatever is neither that nor Salesforce's errors is an outage.
fn read_json<T: DeserializeOwned>(answer: &Answer) -> Result<T, Fault> {
    if matches!(answer.status, 200 | 201) {
        return serde_json::from_slice(&answer.body).map_err(|error| {
            let form = if error.is_data() { format!(" ({error})") } else { String::new() };
            Fault::unreadable(format!("{}{form}", answer.described()))
        });
    }
    Err(refusal(answer))
}

/// An answer that has nothing to say when all went well (204).
fn read_empty(answer: &Answer) -> Result<(), Fault> {
    if answer.status == 204 { Ok(()) } else { Err(refusal(answer)) }
}

fn refusal(answer: &Answer) -> Fault {
    let refusals: Vec<Refusal> = match answer.status {
        400..600 => serde_json::from_slice(&answer.body).unwrap_or_default(),
        _ => Vec::new(),
    };
    match refusals.into_iter().next() {
        Some(Refusal { error_code, message }) => {
            let used_up = answer.api_usage().map(|(used, granted)| used >= granted);
            Fault::of(of_salesforce(answer.status, &error_code, &message, used_up), error_code, message)
        }
        None => Fault::of(of_status(answer.status), "", answer.described()),
    }
}

/// An answer that carries data which cannot be true as it stands.
fn broken(write: bool, detail: impl Into<String>) -> ConnectorError {
    Fault::unreadable(detail).into_error(Vendor::Salesforce, write)
}

fn refused_with(error: &ConnectorError, expected: &str) -> bool {
    matches!(error, ConnectorError::Refused { code, .. } if code == expected)
}

#[async_trait]
impl Salesforce for SalesforceClient {
    fn pace(&self) -> Pace {
        self.shared.line.pace()
    }

    async fn identity(&self) -> Result<SalesforceIdentity, ConnectorError> {
        self.read_identity().await
    }

    async fn campaigns(&self, ids: &[SalesforceId]) -> Result<Vec<Campaign>, ConnectorError> {
        self.read_campaigns(ids).await
    }

    async fn campaigns_like(
        &self,
        text: &str,
        before: Option<&SalesforceId>,
        limit: usize,
    ) -> Result<Vec<ListedCampaign>, ConnectorError> {
        self.read_campaigns_like(text, before, limit).await
    }

    async fn members(
        &self,
        campaigns: &[SalesforceId],
        people: &[SalesforceId],
    ) -> Result<Vec<CampaignMember>, ConnectorError> {
        self.read_members(campaigns, people).await
    }

    async fn members_by_id(&self, ids: &[SalesforceId]) -> Result<Vec<CampaignMember>, ConnectorError> {
        self.read_members_by_id(ids).await
    }

    async fn member_page(
        &self,
        campaign: &SalesforceId,
        cursor: Option<&str>,
    ) -> Result<Page<CampaignMember>, ConnectorError> {
        self.read_member_page(campaign, cursor).await
    }

    async fn member_counts(&self, campaign: &SalesforceId) -> Result<BTreeMap<String, u64>, ConnectorError> {
        self.read_member_counts(campaign).await
    }

    async fn people(&self, ids: &[SalesforceId]) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        self.read_people(ids).await
    }

    async fn people_by_email(&self, emails: &[String]) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        self.read_people_by_email(emails).await
    }

    async fn people_by_external_id(
        &self,
        values: &[String],
    ) -> Result<Vec<(String, SalesforcePerson)>, ConnectorError> {
        self.read_people_by_external_id(values).await
    }

    async fn leads_created(&self, since: Timestamp) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        let us = self.identity().await?.user_id;
        self.read_leads_created(&us, since).await
    }

    async fn guards_leads(&self) -> Result<bool, ConnectorError> {
        match self.duplicate_rules().await {
            Ok(rules) => Ok(rules.iter().any(|rule| rule.object == "Lead")),
            Err(ConnectorError::Refused { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn create_leads(&self, leads: &[NewLead]) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        self.write_leads(leads).await
    }

    async fn create_members(&self, members: &[NewMember]) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        self.write_new_members(members).await
    }

    async fn update_members(&self, members: &[(SalesforceId, String)]) -> Result<RecordResults<()>, ConnectorError> {
        self.write_statuses(members).await
    }

    async fn delete_members(&self, ids: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError> {
        self.write_deletions("delete_members", ids).await
    }

    async fn campaign_fields(&self) -> Result<CampaignFields, ConnectorError> {
        self.read_campaign_fields().await
    }

    async fn campaigns_named(&self, name: &str) -> Result<Vec<SalesforceId>, ConnectorError> {
        self.read_campaigns_named(name).await
    }

    async fn campaigns_created(&self, since: Timestamp) -> Result<Vec<(SalesforceId, String)>, ConnectorError> {
        let us = self.identity().await?.user_id;
        self.read_campaigns_created(&us, since).await
    }

    async fn create_campaign(&self, campaign: &NewCampaign) -> Result<SalesforceId, ConnectorError> {
        self.write_new_campaign(campaign).await
    }

    async fn update_campaign(&self, id: &SalesforceId, change: &CampaignChange) -> Result<(), ConnectorError> {
        self.write_campaign(id, change).await
    }

    async fn create_statuses(
        &self,
        campaign: &SalesforceId,
        statuses: &[NewStatus],
    ) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        self.write_new_statuses(campaign, statuses).await
    }

    async fn update_statuses(&self, changes: &[StatusChange]) -> Result<RecordResults<()>, ConnectorError> {
        self.write_status_changes(changes).await
    }

    async fn delete_statuses(&self, ids: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError> {
        self.write_deletions("delete_statuses", ids).await
    }
}

#[cfg(test)]
mod tests;
