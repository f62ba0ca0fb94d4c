//! Marketo Engage over its REST API.
//!
//! Owns the settings, the token and the way of one call: token, call, and once more with a fresh token when Marketo says
//! 601 or 602. The calls themselves are in the files below. Errors come with HTTP 200, so that nothing here trusts a status.
//!
//! Source: Adobe, "Marketo REST API": authentication, error codes, integration best practices.

mod activities;
mod assets;
mod checkup;
mod envelope;
mod members;
mod merges;
mod people;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

pub use self::checkup::Permission;
use self::envelope::Envelope;
use super::budget::{Limits, Priority, Sharing, Wait, runtime_wait};
use super::client::{Answer, Call, InvalidSettings, Line, Usage};
use super::errors::{Fault, MARKETO_WINDOW, Verdict, of_token};
use super::token::TokenSlot;
use super::{
    Channel, ConnectorError, Marketo, MarketoPerson, NewPerson, Pace, Page, PersonKey, Program, ProgramMember,
    RecordResults, Vendor,
};
use crate::domain::clock::Clock;
use crate::domain::ids::{MarketoId, ProgramId};
use crate::domain::one_way::Costs;

/// Central time, where Marketo's day begins; written out, so that no time zone database is needed.
const CENTRAL: &str = "CST6CDT,M3.2.0,M11.1.0";

/// How to reach one Marketo instance.
#[derive(Clone, Debug)]
pub struct MarketoSettings {
    /// Origin of the REST API, `https://123-ABC-456.mktorest.com`.
    pub base_url: Url,
    /// The origin and `/identity`.
    pub identity_url: Url,
    pub client_id: String,
    pub client_secret: SecretString,
    /// REST name of the person field that holds the Salesforce lead id.
    pub salesforce_lead_field: String,
    /// REST name of the person field that holds the Salesforce contact id.
    pub salesforce_contact_field: String,
    pub limits: Limits,
}

impl MarketoSettings {
    /// Half of what Marketo grants a whole instance, as Adobe advises for one integration of several.
    #[must_use]
    pub fn usual_limits() -> Limits {
        Limits {
            concurrency: 5,
            window: Some((50, MARKETO_WINDOW)),
            daily_calls: Some(50_000),
            daily_share: None,
            timeout: Duration::from_secs(25),
        }
    }
}

/// A client of one Marketo instance. Copies share token, budget and circuit.
#[derive(Clone)]
pub struct MarketoClient {
    shared: Arc<Shared>,
    priority: Priority,
}

struct Shared {
    settings: MarketoSettings,
    clock: Clock,
    line: Line,
    token: TokenSlot<SecretString>,
    /// Until when not to ask for the Salesforce fields, since the instance does not have them.
    fields_unknown_until: Mutex<Duration>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    /// Remaining seconds: asking early brings the same token.
    expires_in: u64,
}

#[derive(Deserialize)]
struct TokenRefusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl MarketoClient {
    /// A client; nothing is called yet.
    ///
    /// # Errors
    /// `InvalidSettings` naming the setting that is wrong.
    pub fn new(settings: MarketoSettings, clock: Clock) -> Result<Self, InvalidSettings> {
        Self::with_wait(settings, clock, runtime_wait())
    }

    /// A client that waits for free slots in this way.
    ///
    /// # Errors
    /// `InvalidSettings` naming the setting that is wrong.
    pub fn with_wait(settings: MarketoSettings, clock: Clock, wait: Wait) -> Result<Self, InvalidSettings> {
        for (name, url) in [("base_url", &settings.base_url), ("identity_url", &settings.identity_url)] {
            if !matches!(url.scheme(), "http" | "https") {
                return Err(InvalidSettings(format!("marketo.{name} must be an http or https address")));
            }
        }
        let fields = [&settings.salesforce_lead_field, &settings.salesforce_contact_field];
        if fields.iter().any(|field| field.is_empty() || field.contains([',', ' '])) {
            return Err(InvalidSettings("marketo.salesforce_..._field must be the REST name of one field".into()));
        }
        let zone = TimeZone::posix(CENTRAL).map_err(|error| InvalidSettings(error.to_string()))?;
        let line = Line::new(Vendor::Marketo, settings.limits.clone(), zone, clock.clone(), wait)?;
        let token = TokenSlot::new(clock.clone());
        let shared = Shared { settings, clock, line, token, fields_unknown_until: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), priority: Priority::Webhook })
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

    /// The token call: GET with everything in the query, not counted against any limit.
    async fn fetch_token(&self) -> Result<(SecretString, Option<Duration>), ConnectorError> {
        let settings = &self.shared.settings;
        let query = [
            ("grant_type", "client_credentials"),
            ("client_id", &settings.client_id),
            ("client_secret", settings.client_secret.expose_secret()),
        ];
        let url = address(&settings.identity_url, "/oauth/token", &query);
        let call = Call { counted: false, ..Call::read("token") };
        let request = self.shared.line.http().get(url);
        let token = self.shared.line.exchange(call, self.priority, request, read_token).await;
        let token = token.map_err(|fault| fault.into_error(Vendor::Marketo, false))?;
        Ok((token.access_token, Some(Duration::from_secs(token.expires_in))))
    }

    /// One call with the token, and once more when the token was refused.
    async fn call<T: DeserializeOwned>(
        &self,
        call: Call,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Envelope<T>, ConnectorError> {
        let line = &self.shared.line;
        let mut refused = None;
        loop {
            let token = self.shared.token.get(refused.as_ref(), self.fetch_token()).await?;
            let request = request().bearer_auth(token.value.expose_secret());
            match line.exchange(call, self.priority, request, Envelope::read).await {
                Err(fault) if fault.verdict == Verdict::Refresh && refused.is_none() => refused = Some(token),
                outcome => return outcome.map_err(|fault| fault.into_error(Vendor::Marketo, call.write)),
            }
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Envelope<T>, ConnectorError> {
        let url = address(&self.shared.settings.base_url, path, query);
        self.call(Call::read(endpoint), || self.shared.line.http().get(url.clone())).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        path: &str,
        body: &Value,
    ) -> Result<Envelope<T>, ConnectorError> {
        let url = address(&self.shared.settings.base_url, path, &[]);
        let http = self.shared.line.http();
        self.call(Call::write(endpoint), || http.request(Method::POST, url.clone()).json(body)).await
    }
}

fn read_token(answer: &Answer) -> Result<TokenAnswer, Fault> {
    if answer.status == 200
        && let Ok(token) = serde_json::from_slice(&answer.body)
    {
        return Ok(token);
    }
    match serde_json::from_slice::<TokenRefusal>(&answer.body) {
        Ok(refusal) if answer.status >= 400 => {
            let verdict = of_token(answer.status, &refusal.error);
            Err(Fault::of(verdict, refusal.error, refusal.error_description))
        }
        _ => Err(Fault::unreadable(format!("the identity service answered {}", answer.described()))),
    }
}

fn address(base: &Url, path: &str, query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(None);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// An answer that carries data which cannot be true as it stands.
fn broken(write: bool, detail: impl Into<String>) -> ConnectorError {
    Fault::unreadable(detail).into_error(Vendor::Marketo, write)
}

fn refused_with(error: &ConnectorError, codes: &[&str]) -> bool {
    matches!(error, ConnectorError::Refused { code, .. } if codes.contains(&code.as_str()))
}

#[async_trait]
impl Marketo for MarketoClient {
    fn pace(&self) -> Pace {
        self.shared.line.pace()
    }

    async fn program(&self, id: ProgramId) -> Result<Option<Program>, ConnectorError> {
        self.read_program(id).await
    }

    async fn program_page(&self, page: usize) -> Result<Vec<Program>, ConnectorError> {
        self.read_program_page(page).await
    }

    async fn program_costs(&self, program: &Program) -> Result<Costs, ConnectorError> {
        self.read_program_costs(program).await
    }

    async fn channel(&self, name: &str) -> Result<Option<Channel>, ConnectorError> {
        self.read_channel(name).await
    }

    async fn members(&self, program: ProgramId, people: &[MarketoId]) -> Result<Vec<ProgramMember>, ConnectorError> {
        self.read_members(program, people).await
    }

    async fn member_page(
        &self,
        program: ProgramId,
        cursor: Option<&str>,
    ) -> Result<Page<(MarketoPerson, ProgramMember)>, ConnectorError> {
        self.read_member_page(program, cursor).await
    }

    async fn member_count(&self, program: ProgramId, status: &str, most: u64) -> Result<Option<u64>, ConnectorError> {
        self.count_members(program, status, most).await
    }

    async fn people(&self, ids: &[MarketoId]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.read_people("id", &ids).await
    }

    async fn people_by(&self, key: PersonKey, values: &[String]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        self.read_people_by(key, values).await
    }

    async fn merges(
        &self,
        losers: &[MarketoId],
        since: Timestamp,
    ) -> Result<BTreeMap<MarketoId, MarketoId>, ConnectorError> {
        self.read_merges(losers, since).await
    }

    async fn set_status(
        &self,
        program: ProgramId,
        status: &str,
        people: &[MarketoId],
    ) -> Result<RecordResults<()>, ConnectorError> {
        self.write_status(program, status, people).await
    }

    async fn remove_members(
        &self,
        program: ProgramId,
        people: &[MarketoId],
    ) -> Result<RecordResults<()>, ConnectorError> {
        self.write_removal(program, people).await
    }

    async fn create_people(&self, people: &[NewPerson]) -> Result<RecordResults<MarketoId>, ConnectorError> {
        self.write_people(people).await
    }
}

#[cfg(test)]
mod tests;
