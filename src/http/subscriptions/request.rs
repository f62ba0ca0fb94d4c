//! What a subscription is asked to be, and what is wrong with it.
//!
//! Owns the checks, so that whoever subscribes is told at once what would never work. Names are looked at when they are
//! resolved, at each delivery; here only what is written.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};
use utoipa::ToSchema;

use super::super::extract::Since;
use super::super::refusal::{Answer, Refusal};
use crate::domain::address::{is_local_name, is_public};
use crate::domain::ids::SalesforceId;
use crate::domain::subscription::{OperationalType, Wanted};
use crate::domain::trigger::TransitionKind;
use crate::problem::FieldError;
use crate::store::subscriptions::{NewSubscription, Subscription, SubscriptionChange, Target};

/// Entries in one list.
const MOST: usize = 500;
const LONGEST_URL: usize = 2000;
const LONGEST_TEXT: usize = 255;

/// A subscription as it is asked for: `url` or `marketo_smart_campaign_id`, and which events. A list that is left out or empty lets
/// everything through; several values mean any of them. In a change, what is left out stays as it is, and a list that is given
/// replaces the one that is there.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = SubscriptionRequest, example = json!({"url": "https://example.com/hooks/campaigns", "types": ["campaign.member.added"],
    "campaign_ids": ["7015g000000XYZABCD"], "new_statuses": ["Registered"], "enabled": true}))]
pub(super) struct Asked {
    /// Where events are posted to, over https.
    url: Option<String>,
    /// A smart campaign with the trigger *Campaign is Requested*, which is requested for the people.
    marketo_smart_campaign_id: Option<i64>,
    description: Option<String>,
    /// `campaign.member.added`, `.removed`, `.status_changed`, which are meant when none is named; operational ones have to be
    /// named: `sync.mapping.failed`, `sync.removals.waiting`, `sync.source.silent`, `sync.quota.exhausted`,
    /// `sync.subscription.disabled`.
    types: Option<Vec<String>>,
    /// 15 or 18 characters.
    campaign_ids: Option<Vec<String>>,
    program_ids: Option<Vec<i64>>,
    /// The status, of a removed member the last that it held.
    statuses: Option<Vec<String>>,
    old_statuses: Option<Vec<String>>,
    new_statuses: Option<Vec<String>>,
    /// `false` pauses; `true`, which a new one is, also starts one that this service has disabled.
    enabled: Option<bool>,
}

/// Gathers what is wrong, so that it can be mended in one go.
#[derive(Default)]
struct Wrong(Vec<FieldError>);

impl Wrong {
    fn add(&mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.0.push(FieldError::new(field, code, message));
    }
}

impl Asked {
    /// The lists, laid over those there are.
    fn lists(self, mut wanted: Wanted, of_people: bool, wrong: &mut Wrong) -> Wanted {
        if let Some(types) = self.types {
            check_types(&types, of_people, wrong);
            wanted.types = types;
        }
        if let Some(ids) = self.campaign_ids {
            wanted.campaign_ids = campaigns(ids, wrong);
        }
        if let Some(ids) = self.program_ids {
            within("program_ids", ids.len(), wrong);
            wanted.program_ids = ids;
        }
        let statuses = [
            ("statuses", self.statuses, &mut wanted.statuses),
            ("old_statuses", self.old_statuses, &mut wanted.old_statuses),
            ("new_statuses", self.new_statuses, &mut wanted.new_statuses),
        ];
        for (field, given, kept) in statuses {
            let Some(given) = given else { continue };
            within(field, given.len(), wrong);
            for (n, status) in given.iter().enumerate() {
                if status.is_empty() || status.chars().count() > LONGEST_TEXT {
                    wrong.add(
                        format!("{field}[{n}]"),
                        "invalid",
                        "has to be the name of a status, 1 to 255 characters",
                    );
                }
            }
            *kept = given;
        }
        wanted
    }
}

fn check_types(types: &[String], of_people: bool, wrong: &mut Wrong) {
    within("types", types.len(), wrong);
    let triggers = TransitionKind::ALL.iter().map(|kind| kind.as_str());
    let operational: Vec<_> = OperationalType::ALL.iter().map(|kind| kind.as_str()).collect();
    let known: Vec<_> = triggers.chain(operational.iter().copied()).collect();
    for (n, kind) in types.iter().enumerate() {
        if !known.contains(&kind.as_str()) {
            wrong.add(format!("types[{n}]"), "unknown", format!("has to be one of {}", known.join(", ")));
        } else if of_people && operational.contains(&kind.as_str()) {
            let message = "is about nobody for whom a smart campaign could be requested; subscribe a url to it";
            wrong.add(format!("types[{n}]"), "conflicting", message);
        }
    }
}

fn campaigns(ids: Vec<String>, wrong: &mut Wrong) -> Vec<String> {
    within("campaign_ids", ids.len(), wrong);
    let mut parsed = Vec::with_capacity(ids.len());
    for (n, id) in ids.into_iter().enumerate() {
        match id.parse::<SalesforceId>() {
            Ok(id) if id.prefix() == "701" => parsed.push(id.to_string()),
            Ok(_) => wrong.add(format!("campaign_ids[{n}]"), "invalid", format!("{id} is not the id of a campaign")),
            Err(error) => wrong.add(format!("campaign_ids[{n}]"), "invalid", error.to_string()),
        }
    }
    parsed
}

fn within(field: &str, count: usize, wrong: &mut Wrong) {
    if count > MOST {
        wrong.add(field, "invalid", format!("may have {MOST} entries at the most"));
    }
}

/// Whether private addresses, and plain HTTP with them, may be delivered to.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Private(pub bool);

fn check_url(text: &str, private: Private, wrong: &mut Wrong) -> Option<Target> {
    let before = wrong.0.len();
    let mut bad = |code, message: String| wrong.add("url", code, message);
    if text.len() > LONGEST_URL {
        bad("invalid", format!("may have {LONGEST_URL} characters at the most"));
        return None;
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            bad("invalid", format!("is not a URL: {error}"));
            return None;
        }
    };
    match url.scheme() {
        "https" => {}
        "http" if private.0 => {}
        "http" => bad("invalid", "has to be https; http is for limits.allow_private_targets alone".to_owned()),
        other => bad("invalid", format!("has to be https, and not {other}")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        bad("invalid", "may not carry a name or password, since it is shown; deliveries are signed instead".to_owned());
    }
    if url.fragment().is_some() {
        bad("invalid", "may not have a fragment, which is never sent".to_owned());
    }
    let refused = match url.host() {
        Some(Host::Ipv4(address)) => !is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => !is_public(IpAddr::V6(address)),
        Some(Host::Domain(name)) => is_local_name(name),
        None => true,
    };
    if refused && !private.0 {
        bad(
            "private",
            "is a private or local address, which is not delivered to (limits.allow_private_targets)".to_owned(),
        );
    }
    (wrong.0.len() == before).then(|| Target::Url(url.into()))
}

fn check_smart_campaign(id: i64, wrong: &mut Wrong) -> Target {
    if id < 1 {
        wrong.add("marketo_smart_campaign_id", "invalid", "has to be the number of a smart campaign");
    }
    Target::SmartCampaign(id)
}

fn check_description(text: &str, wrong: &mut Wrong) {
    if text.chars().count() > LONGEST_TEXT || text.contains('\0') {
        wrong.add("description", "invalid", "may have 255 characters at the most");
    }
}

impl Asked {
    /// A new subscription.
    pub(super) fn creation(self, private: Private) -> Answer<NewSubscription> {
        let mut wrong = Wrong::default();
        let target = match (&self.url, self.marketo_smart_campaign_id) {
            (Some(url), None) => check_url(url, private, &mut wrong),
            (None, Some(id)) => Some(check_smart_campaign(id, &mut wrong)),
            (Some(_), Some(_)) => {
                let message = "a subscription has a url or a marketo_smart_campaign_id; make two";
                wrong.add("marketo_smart_campaign_id", "conflicting", message);
                None
            }
            (None, None) => {
                wrong.add("url", "required", "a url or a marketo_smart_campaign_id is needed");
                None
            }
        };
        let description = self.description.clone().unwrap_or_default();
        check_description(&description, &mut wrong);
        let (of_people, enabled) = (self.marketo_smart_campaign_id.is_some(), self.enabled.unwrap_or(true));
        let wanted = self.lists(Wanted::default(), of_people, &mut wrong);
        match target {
            Some(target) if wrong.0.is_empty() => {
                Ok(NewSubscription { target, description, wanted, enabled, secret: None })
            }
            _ => Err(Refusal::invalid(wrong.0)),
        }
    }

    /// A change of one that is there.
    pub(super) fn change(self, stored: &Subscription, private: Private) -> Answer<SubscriptionChange> {
        let mut wrong = Wrong::default();
        let of_people = matches!(stored.target, Target::SmartCampaign(_));
        let target = match (&self.url, self.marketo_smart_campaign_id, of_people) {
            (None, None, _) => None,
            (Some(url), None, false) => check_url(url, private, &mut wrong),
            (None, Some(id), true) => Some(check_smart_campaign(id, &mut wrong)),
            (url, ..) => {
                let field = if url.is_some() { "url" } else { "marketo_smart_campaign_id" };
                wrong.add(field, "conflicting", "the kind of a receiver does not change; make another subscription");
                None
            }
        };
        let (description, enabled) = (self.description.clone(), self.enabled);
        check_description(description.as_deref().unwrap_or_default(), &mut wrong);
        let wanted = self.lists(stored.wanted.clone(), of_people, &mut wrong);
        if !wrong.0.is_empty() {
            return Err(Refusal::invalid(wrong.0));
        }
        let wanted = Some(wanted).filter(|wanted| *wanted != stored.wanted);
        let target = target.filter(|target| *target != stored.target);
        Ok(SubscriptionChange { target, description, wanted, enabled })
    }
}

/// From where events are told again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"since": "2026-11-23T20:05:01Z"}))]
pub(super) struct ReplayBody {
    /// A time in RFC 3339 or a position, exclusive; 0 is the beginning.
    #[schema(value_type = String)]
    since: Value,
}

impl ReplayBody {
    pub(super) fn since(&self) -> Answer<Since> {
        since(&self.since)
    }
}

/// Which deliveries are tried again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetryBody {
    /// Only those that were made after this time, in RFC 3339.
    #[schema(value_type = Option<String>, example = "2026-11-23T20:05:01Z")]
    pub since: Option<jiff::Timestamp>,
}

fn since(value: &Value) -> Answer<Since> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    let position = text.parse().ok().filter(|position: &i64| *position >= 0).map(Since::Position);
    let since = position.or_else(|| text.parse().ok().map(Since::Time));
    since.ok_or_else(|| Refusal::field("since", "invalid", "has to be a time in RFC 3339, or a position"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, private: bool) -> Option<String> {
        let mut wrong = Wrong::default();
        let target = check_url(url, Private(private), &mut wrong);
        assert_eq!(target.is_none(), !wrong.0.is_empty(), "{url}");
        wrong.0.first().map(|error| error.code.to_string())
    }

    #[test]
    fn urls_are_public_and_encrypted_unless_the_operator_says_otherwise() {
        for (url, public, private) in [
            ("https://example.com/hook?x=1", None, None),
            ("https://8.8.8.8:8443/", None, None),
            ("http://example.com/", Some("invalid"), None),
            ("https://10.0.0.1/", Some("private"), None),
            ("https://2130706433/", Some("private"), None),
            ("https://[::1]/", Some("private"), None),
            ("https://localhost:3000/", Some("private"), None),
            ("https://a:b@example.com/", Some("invalid"), Some("invalid")),
            ("https://example.com/#x", Some("invalid"), Some("invalid")),
            ("ftp://example.com/", Some("invalid"), Some("invalid")),
            ("example.com", Some("invalid"), Some("invalid")),
            ("https://", Some("invalid"), Some("invalid")),
        ] {
            assert_eq!((refused(url, false).as_deref(), refused(url, true).as_deref()), (public, private), "{url}");
        }
    }

    #[test]
    fn a_position_may_be_a_number_or_digits() {
        for value in [serde_json::json!(42), serde_json::json!("00000000000000000042")] {
            assert!(matches!(since(&value), Ok(Since::Position(42))));
        }
        assert!(matches!(since(&serde_json::json!("2026-11-23T20:05:01Z")), Ok(Since::Time(_))));
        for value in [serde_json::json!(-1), serde_json::json!(null), serde_json::json!("yesterday")] {
            assert!(since(&value).is_err());
        }
    }
}
