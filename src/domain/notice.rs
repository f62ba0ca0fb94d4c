//! Operational events: what is told of the sync itself.
//!
//! Owns what can be told, in which words, and the body that receivers see, which is a CloudEvent like that of a trigger event.
//! They are no part of the log of trigger events and have no position. Must not know when one arises.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::ids::ProgramId;
use super::subscription::{DisabledReason, Happened, OperationalType};

/// What happened, as `data` of the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Notice {
    /// A mapping has stopped; the reason is one of the error catalogue.
    MappingFailed { mapping_id: String, campaign_id: String, program_id: ProgramId, reason: String },
    /// A guard holds removals back.
    RemovalsWaiting { mapping_id: String, campaign_id: String, program_id: ProgramId, guard_id: String, count: usize },
    /// Nothing was heard of a vendor's webhooks for long; since then, where that is known.
    SourceSilent { vendor: String, silent_since: Option<Timestamp> },
    /// A vendor's calls of the day are used up.
    QuotaExhausted { vendor: String },
    /// A subscription was given up.
    SubscriptionDisabled { subscription_id: String, reason: DisabledReason, failing_since: Option<Timestamp> },
}

impl Notice {
    #[must_use]
    pub fn kind(&self) -> OperationalType {
        match self {
            Self::MappingFailed { .. } => OperationalType::MappingFailed,
            Self::RemovalsWaiting { .. } => OperationalType::RemovalsWaiting,
            Self::SourceSilent { .. } => OperationalType::SourceSilent,
            Self::QuotaExhausted { .. } => OperationalType::QuotaExhausted,
            Self::SubscriptionDisabled { .. } => OperationalType::SubscriptionDisabled,
        }
    }

    /// What it is about, as `source` of the event; two with the same source and type are about the same thing.
    #[must_use]
    pub fn source(&self) -> String {
        match self {
            Self::MappingFailed { mapping_id, .. } | Self::RemovalsWaiting { mapping_id, .. } => {
                format!("/mappings/{mapping_id}")
            }
            Self::SourceSilent { vendor, .. } | Self::QuotaExhausted { vendor } => format!("/vendors/{vendor}"),
            Self::SubscriptionDisabled { subscription_id, .. } => format!("/subscriptions/{subscription_id}"),
        }
    }

    /// As far as subscribers ask.
    #[must_use]
    pub fn happened(&self) -> Happened<'_> {
        let (campaign_id, program_id) = match self {
            Self::MappingFailed { campaign_id, program_id, .. }
            | Self::RemovalsWaiting { campaign_id, program_id, .. } => (Some(campaign_id), Some(*program_id)),
            Self::SourceSilent { .. } | Self::QuotaExhausted { .. } | Self::SubscriptionDisabled { .. } => (None, None),
        };
        let campaign_id = campaign_id.map(String::as_str);
        Happened { kind: self.kind().as_str(), campaign_id, program_id, ..Happened::default() }
    }

    /// In a sentence, for people.
    fn message(&self) -> String {
        match self {
            Self::MappingFailed { reason, .. } => {
                format!("the mapping has stopped ({reason}); nothing is written for it until it is resumed")
            }
            Self::RemovalsWaiting { count, .. } => {
                format!("{count} removals wait until a person approves or discards the guard")
            }
            Self::SourceSilent { vendor, .. } => {
                format!("no webhook of {vendor} has come for long; see whether it is still set up there")
            }
            Self::QuotaExhausted { vendor } => {
                format!("the calls of {vendor} are used up for today; changes wait for the vendor's new day")
            }
            Self::SubscriptionDisabled { reason: DisabledReason::Gone, .. } => {
                "the receiver answered 410 Gone; enable the subscription to go on, and replay what it missed".to_owned()
            }
            Self::SubscriptionDisabled { reason: DisabledReason::Failing, .. } => {
                "the receiver has taken nothing for days; mend it, enable the subscription, and replay what it missed"
                    .to_owned()
            }
        }
    }
}

/// An operational event as receivers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationalEvent {
    specversion: &'static str,
    id: Uuid,
    source: String,
    #[serde(rename = "type")]
    kind: OperationalType,
    time: Timestamp,
    datacontenttype: &'static str,
    data: Told,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Told {
    message: String,
    #[serde(flatten)]
    notice: Notice,
}

impl OperationalEvent {
    #[must_use]
    pub fn new(id: Uuid, time: Timestamp, notice: Notice) -> Self {
        Self {
            specversion: "1.0",
            id,
            source: notice.source(),
            kind: notice.kind(),
            time,
            datacontenttype: "application/json",
            data: Told { message: notice.message(), notice },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_a_cloud_event_with_what_happened_and_a_sentence() {
        let notice = Notice::RemovalsWaiting {
            mapping_id: "m1".to_owned(),
            campaign_id: "701".to_owned(),
            program_id: 1044,
            guard_id: "g1".to_owned(),
            count: 60,
        };
        let event = OperationalEvent::new(Uuid::nil(), "2026-11-23T20:05:01Z".parse().unwrap(), notice);
        let expected = r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000000","source":"/mappings/m1","type":"sync.removals.waiting","time":"2026-11-23T20:05:01Z","datacontenttype":"application/json","data":{"message":"60 removals wait until a person approves or discards the guard","mapping_id":"m1","campaign_id":"701","program_id":1044,"guard_id":"g1","count":60}}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), expected);
    }
}
