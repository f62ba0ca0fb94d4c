//! Why can't I see my campaigns? The checklist: every condition of the sync, what was found, and how to mend it.
//!
//! Owns the lines, their order and what each one says. Reads both vendors and the store, and changes nothing on any of them.
//! Asks each thing once, however many lines rest on it; a vendor that fails is not asked again, and the lines that
//! rest on it are skipped with the name of the one to mend first. Must not know who shows the list.

mod access;
mod local;
mod mapped;
mod marketo;
mod questions;
mod salesforce;

use std::time::Duration;

use futures_util::future::join;
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::sync::Mutex;
use url::Url;

use crate::config::Config;
use crate::connector::budget::Priority;
use crate::connector::marketo::MarketoClient;
use crate::connector::salesforce::SalesforceClient;
use crate::domain::closed_list::closed_list;
use crate::store::mappings::{Mapping, MappingFilter};
use crate::store::{Store, StoreError};

/// A list is handed out again for this long, so that many who look cost as much as one.
const FRESH: Duration = Duration::from_secs(3);
/// Most mappings whose statuses are compared: three calls to Marketo, and a few to Salesforce.
const MAPPINGS: i64 = 500;

closed_list! {
    /// How a line stands.
    pub enum CheckState {
        /// Nothing to do.
        Ok = "ok",
        /// It works, and somebody should look at it.
        Warn = "warn",
        /// It keeps something from working.
        Fail = "fail",
        /// It cannot be told, since another line has failed, or there is nothing to tell it of.
        Skip = "skip",
    }
}

/// One line of the checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    pub id: String,
    pub state: CheckState,
    /// What was found, in plain words.
    pub found: String,
    /// Where to click or what to change; none when there is nothing to do.
    pub remedy: Option<String>,
}

impl Item {
    fn new(id: &str, state: CheckState, found: impl Into<String>, remedy: Option<String>) -> Self {
        Self { id: id.to_owned(), state, found: found.into(), remedy }
    }

    /// As text: state, id, what was found, how to mend it.
    #[must_use]
    pub fn line(&self) -> String {
        let remedy = self.remedy.as_deref().unwrap_or_default();
        format!("{:4}  {:29}  {}  {remedy}", self.state.as_str(), self.id, self.found).trim_end().to_owned()
    }

    fn ok(id: &str, found: impl Into<String>) -> Self {
        Self::new(id, CheckState::Ok, found, None)
    }

    fn warn(id: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(id, CheckState::Warn, found, Some(remedy.into()))
    }

    fn fail(id: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(id, CheckState::Fail, found, Some(remedy.into()))
    }

    /// It cannot be told before another line is mended.
    fn after(id: &str, line: &str) -> Self {
        let remedy = format!("mend {line} first, then look again");
        Self::new(id, CheckState::Skip, format!("cannot be told because of {line}"), Some(remedy))
    }

    /// There is nothing to tell it of.
    fn nothing(id: &str, found: &str) -> Self {
        Self::new(id, CheckState::Skip, found, None)
    }
}

/// What the configuration says, as far as the lines rest on it.
#[derive(Clone, Debug)]
struct Configured {
    marketo: bool,
    salesforce: bool,
    api_version: String,
    external_id_field: String,
    create_leads: bool,
    marketo_daily_calls: u64,
    marketo_token: bool,
    salesforce_secret: bool,
    public_url: Option<Url>,
    /// How far the time of a signed webhook may be off.
    tolerance: Duration,
}

impl Configured {
    fn of(config: &Config) -> Self {
        let webhooks = &config.webhooks;
        let salesforce_secret = !webhooks.salesforce_secrets.is_empty() || !webhooks.salesforce_path_tokens.is_empty();
        Self {
            marketo: config.marketo.base_url.is_some() && !config.marketo.client_secret.expose_secret().is_empty(),
            salesforce: config.salesforce.login_url.is_some(),
            api_version: config.salesforce.api_version.clone(),
            external_id_field: config.salesforce.person_external_id_field.clone(),
            create_leads: config.sync.defaults.create_leads,
            marketo_daily_calls: u64::from(config.limits.marketo.daily_calls),
            marketo_token: !webhooks.marketo_tokens.is_empty(),
            salesforce_secret,
            public_url: config.server.public_url.clone(),
            tolerance: webhooks.tolerance,
        }
    }

    /// Where a vendor posts to.
    fn address(&self, path: &str) -> String {
        let base = self.public_url.as_ref().map_or("https://<this service>", |url| url.as_str().trim_end_matches('/'));
        format!("{base}{path}")
    }
}

/// Makes the checklist of one configuration.
pub struct Diagnosis {
    store: Store,
    marketo: MarketoClient,
    salesforce: SalesforceClient,
    configured: Configured,
    last: Mutex<Option<(Duration, Vec<Item>)>>,
}

impl Diagnosis {
    /// With the clients that the service works with, so that the calls are counted with its own.
    #[must_use]
    pub fn new(store: Store, marketo: &MarketoClient, salesforce: &SalesforceClient, config: &Config) -> Self {
        // A person waits for it, and it is a dozen calls.
        let (marketo, salesforce) =
            (marketo.prioritised(Priority::FlowAction), salesforce.prioritised(Priority::FlowAction));
        Self { store, marketo, salesforce, configured: Configured::of(config), last: Mutex::default() }
    }

    /// The checklist, at most a few seconds old.
    ///
    /// # Errors
    /// When the database fails; what a vendor fails at is a line.
    pub async fn checklist(&self) -> Result<Vec<Item>, StoreError> {
        // Whoever comes while it is made waits for that one.
        let mut last = self.last.lock().await;
        let now = self.store.clock().monotonic();
        if let Some((made, items)) = last.as_ref()
            && now.saturating_sub(*made) < FRESH
        {
            return Ok(items.clone());
        }
        let items = self.examine().await?;
        *last = Some((self.store.clock().monotonic(), items.clone()));
        Ok(items)
    }

    async fn examine(&self) -> Result<Vec<Item>, StoreError> {
        let enabled = self.store.sync_enabled().await?;
        let heard = self.store.last_heard().await?;
        let mappings = self.store.list_mappings(&MappingFilter::default(), "", MAPPINGS).await?;
        let (marketo, salesforce) = join(marketo::ask(self, &mappings), salesforce::ask(self, &mappings)).await;
        let configured = &self.configured;
        let mut items = vec![
            local::sync_enabled(enabled),
            marketo::credentials(&marketo),
            salesforce::credentials(&salesforce),
            salesforce::api_version(&salesforce, configured),
            salesforce::marketing_user(&salesforce),
        ];
        items.extend(access::lines(&salesforce, &marketo, configured));
        items.extend([
            marketo::quota(&marketo, configured),
            salesforce::quota(&salesforce),
            marketo::native_sync(&marketo, &mappings),
            local::marketo_webhooks(self, &heard),
            local::salesforce_webhooks(self, &heard),
            local::clock_skew(self),
        ]);
        items.extend(mappings.iter().map(|mapping| mapped::statuses(mapping, &marketo, &salesforce)));
        Ok(items)
    }
}

/// Ids without repetition, in order.
fn unique<T: Ord>(mappings: &[Mapping], id: impl Fn(&Mapping) -> T) -> Vec<T> {
    let mut ids: Vec<T> = mappings.iter().map(id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
