//! What Salesforce is asked, and the lines that rest on who we are there: credentials, version, licence, quota.
//!
//! Must not know Marketo.

use std::collections::BTreeMap;

use crate::connector::salesforce::{DailyRequests, DuplicateRule, ObjectDescribe, SalesforceUser};
use crate::connector::{Campaign, Salesforce, SalesforceIdentity, Vendor};
use crate::store::mappings::Mapping;

use super::questions::{Answer, Gap, Lines, Questions, Stopped};
use super::{Configured, Diagnosis, Item, unique};

pub(super) const CREDENTIALS: &str = "salesforce_credentials";
const VERSION: &str = "api_version";
pub(super) const MARKETING_USER: &str = "marketing_user";
const QUOTA: &str = "salesforce_quota";
/// From this version on a call may say that a duplicate rule is only to warn.
const DUPLICATE_RULE_HEADER: f64 = 52.0;
/// Part of the day's calls from which on somebody should look, in percent.
const NEARLY_USED: u64 = 80;

/// What Salesforce answered.
pub(super) struct Facts {
    stopped: Option<Stopped>,
    identity: Answer<SalesforceIdentity>,
    versions: Answer<Vec<String>>,
    quota: Answer<DailyRequests>,
    pub user: Answer<SalesforceUser>,
    pub campaign: Answer<Option<ObjectDescribe>>,
    pub member: Answer<Option<ObjectDescribe>>,
    pub status: Answer<Option<ObjectDescribe>>,
    pub lead: Answer<Option<ObjectDescribe>>,
    pub rules: Answer<Vec<DuplicateRule>>,
    pub campaigns: Answer<BTreeMap<String, Campaign>>,
}

impl Facts {
    /// Our user lacks the licence, which is seen in other lines as well.
    pub(super) fn no_marketing_user(&self) -> bool {
        self.user.as_ref().is_ok_and(|user| !user.marketing_user)
    }

    /// Our user, as an administrator finds it.
    pub(super) fn user_name(&self) -> &str {
        self.user.as_ref().map_or("the integration user", |user| &user.username)
    }
}

/// Asks everything that the lines rest on.
pub(super) async fn ask(diagnosis: &Diagnosis, mappings: &[Mapping]) -> Facts {
    let salesforce = &diagnosis.salesforce;
    let lines = Lines { vendor: Vendor::Salesforce, credentials: CREDENTIALS, quota: QUOTA };
    let mut questions = Questions::new(lines, diagnosis.store.clock());
    if !diagnosis.configured.salesforce {
        let remedy = "set salesforce.login_url (the My Domain, Setup > My Domain), salesforce.client_id and salesforce.client_secret";
        questions.stop(CREDENTIALS, Item::fail(CREDENTIALS, "Salesforce is not configured", remedy));
    }
    let identity = questions.ask(salesforce.log_in_anew()).await;
    let versions = questions.ask(salesforce.versions()).await;
    if let Ok(versions) = &versions
        && !versions.contains(&diagnosis.configured.api_version)
    {
        questions.stop(VERSION, no_such_version(versions, &diagnosis.configured));
    }
    let quota = questions.ask(salesforce.daily_requests()).await;
    let user = questions.ask(salesforce.user()).await;
    let campaign = questions.ask(salesforce.describe("Campaign")).await;
    let member = questions.ask(salesforce.describe("CampaignMember")).await;
    let status = questions.ask(salesforce.describe("CampaignMemberStatus")).await;
    let lead = questions.ask(salesforce.describe("Lead")).await;
    let rules = questions.ask(salesforce.duplicate_rules()).await;
    let ids = unique(mappings, |mapping| mapping.campaign_id.clone());
    let campaigns = if ids.is_empty() { Ok(Vec::new()) } else { questions.ask(salesforce.campaigns(&ids)).await };
    Facts {
        stopped: questions.end(),
        identity,
        versions,
        quota,
        user,
        campaign,
        member,
        status,
        lead,
        rules,
        campaigns: campaigns.map(|found| found.into_iter().map(|c| (c.id.to_string(), c)).collect()),
    }
}

pub(super) fn credentials(facts: &Facts) -> Item {
    match (&facts.identity, Stopped::of(facts.stopped.as_ref(), CREDENTIALS)) {
        (_, Some(item)) => item,
        (Ok(SalesforceIdentity { user_id, organization_id }), None) => {
            Item::ok(CREDENTIALS, format!("logged in as user {user_id} of organisation {organization_id}"))
        }
        (Err(Gap::After(line)), None) => Item::after(CREDENTIALS, line),
        (Err(Gap::Refused { code, message }), None) => {
            let remedy = "see what Salesforce says; the app of salesforce.client_id needs the scope api";
            Item::fail(CREDENTIALS, format!("refused with {code}: {message}"), remedy)
        }
    }
}

fn no_such_version(versions: &[String], configured: &Configured) -> Item {
    let (oldest, newest) = (versions.first().map_or("", String::as_str), versions.last().map_or("", String::as_str));
    let found = format!("the organisation does not serve version {}, but {oldest} to {newest}", configured.api_version);
    Item::fail(VERSION, found, format!("set salesforce.api_version to {newest}"))
}

pub(super) fn api_version(facts: &Facts, configured: &Configured) -> Item {
    if let Some(item) = Stopped::of(facts.stopped.as_ref(), VERSION) {
        return item;
    }
    let version = &configured.api_version;
    match &facts.versions {
        Ok(versions) => {
            let newest = versions.last().map_or("", String::as_str);
            let found = format!("{version} is served, the newest is {newest}");
            if version.parse::<f64>().is_ok_and(|version| version < DUPLICATE_RULE_HEADER) {
                let remedy = format!("set salesforce.api_version to 52.0 or higher, such as {newest}");
                return Item::warn(
                    VERSION,
                    format!("{found}; before 52.0 duplicate rules cannot be told to only warn"),
                    remedy,
                );
            }
            Item::ok(VERSION, found)
        }
        Err(Gap::After(line)) => Item::after(VERSION, line),
        Err(Gap::Refused { code, message }) => {
            let remedy = "see that salesforce.instance_url is the organisation's own address";
            Item::fail(VERSION, format!("the versions are not told ({code}: {message})"), remedy)
        }
    }
}

pub(super) fn marketing_user(facts: &Facts) -> Item {
    match &facts.user {
        Ok(user) if user.marketing_user => Item::ok(MARKETING_USER, format!("{} is a Marketing User", user.username)),
        Ok(user) => {
            let found =
                format!("{} is not a Marketing User: campaigns can be neither created nor changed", user.username);
            let remedy = format!(
                "in Salesforce: Setup > Users > Users > {} > Edit: tick Marketing User; when no licence is left (Setup > Company Information > Feature Licenses) take it from another user",
                user.username
            );
            Item::fail(MARKETING_USER, found, remedy)
        }
        Err(Gap::After(line)) => Item::after(MARKETING_USER, line),
        Err(Gap::Refused { code, message }) => {
            let remedy = "look yourself: Setup > Users > Users > the integration user: Marketing User has to be ticked";
            Item::warn(MARKETING_USER, format!("the user's licences are not shown ({code}: {message})"), remedy)
        }
    }
}

pub(super) fn quota(facts: &Facts) -> Item {
    if let Some(item) = Stopped::of(facts.stopped.as_ref(), QUOTA) {
        return item;
    }
    match &facts.quota {
        Ok(DailyRequests { max, remaining }) => {
            let found = format!("{remaining} of {max} calls in 24 hours are left to all integrations");
            let used = max.saturating_sub(*remaining);
            if used.saturating_mul(100) < max.saturating_mul(NEARLY_USED) {
                return Item::ok(QUOTA, found);
            }
            let remedy = "see in Setup > Company Information and Setup > System Overview who calls; lower limits.salesforce.daily_share, or buy calls";
            Item::warn(QUOTA, found, remedy)
        }
        Err(Gap::After(line)) => Item::after(QUOTA, line),
        Err(Gap::Refused { code, message }) => {
            let remedy = "look yourself: Setup > Company Information > API Requests, Last 24 Hours";
            Item::warn(QUOTA, format!("the limits are not shown ({code}: {message})"), remedy)
        }
    }
}
