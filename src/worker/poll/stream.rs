//! The logs that are read, how often, and how long they reach back.
//!
//! Owns the pace. Must not know what a log says.

use std::time::Duration;

use crate::connector::changes::Deletable;
use crate::domain::hint::Source;
use crate::domain::ids::PersonType;

/// One log with a place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Changes of program members, and merges.
    MarketoActivities,
    MarketoDeletions,
    SalesforceMembers,
    SalesforceCampaigns,
    /// Leads or contacts that were deleted, merged or converted.
    SalesforcePeople(PersonType),
    /// Salesforce's log of deletions: what left the recycle bin before we looked is in no query.
    SalesforceDeletions(Deletable),
}

use Deletable::{CampaignMember, Contact, Lead};

/// Every log, with its name in the store.
pub(super) const STREAMS: [(&str, Stream); 9] = [
    ("marketo_activities", Stream::MarketoActivities),
    ("marketo_deletions", Stream::MarketoDeletions),
    ("salesforce_members", Stream::SalesforceMembers),
    ("salesforce_campaigns", Stream::SalesforceCampaigns),
    ("salesforce_leads", Stream::SalesforcePeople(PersonType::Lead)),
    ("salesforce_contacts", Stream::SalesforcePeople(PersonType::Contact)),
    ("salesforce_deleted_members", Stream::SalesforceDeletions(CampaignMember)),
    ("salesforce_deleted_leads", Stream::SalesforceDeletions(Lead)),
    ("salesforce_deleted_contacts", Stream::SalesforceDeletions(Contact)),
];

/// Intervals between two looks at what seldom happens (deletions, merges, conversions, campaigns), and at everything while webhooks
/// come: they tell of most changes by themselves.
const SELDOM: u32 = 5;
/// Webhooks come when the last one is younger than this many intervals.
const FLOWING: u32 = 10;
/// Calls of one vendor in an interval, roughly: a page of changes, and the seldom looks spread over theirs.
const CALLS: u32 = 3;
/// Of the calls that are left for the day, polls may use one in so many.
const SHARE: u64 = 5;
/// However few calls are left, a poll comes again after this long.
const SLOWEST: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is left of a vendor's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub calls: u64,
    pub time: Duration,
}

impl Stream {
    pub fn named(name: &str) -> Option<Self> {
        STREAMS.iter().find(|(known, _)| *known == name).map(|(_, stream)| *stream)
    }

    pub fn source(self) -> Source {
        match self {
            Self::MarketoActivities | Self::MarketoDeletions => Source::Marketo,
            _ => Source::Salesforce,
        }
    }

    /// How far back the log reaches: who comes later has missed something. Marketo prunes deletions after 14 days, Salesforce's recycle
    /// bin and its log of deletions end after 15; how long Marketo keeps other activities is not documented.
    pub fn window(self) -> Duration {
        match self {
            Self::MarketoDeletions => DAY * 14,
            Self::MarketoActivities => DAY * 30,
            _ => DAY * 15,
        }
    }

    fn is_seldom(self) -> bool {
        !matches!(self, Self::MarketoActivities | Self::SalesforceMembers)
    }

    /// Time from the end of one poll to the next.
    ///
    /// One interval, five for what seldom happens and for everything while webhooks come. The interval is stretched so that polls never take
    /// more than a fifth of the calls that are left for the vendor's day, spread over the rest of it.
    pub fn pace(self, interval: Duration, webhooks: bool, left: Option<Allowance>) -> Duration {
        let allowed = left.map_or(Duration::ZERO, |left| match u32::try_from(left.calls / SHARE).unwrap_or(u32::MAX) {
            0 => SLOWEST,
            calls => (left.time * CALLS / calls).min(SLOWEST),
        });
        let factor = if webhooks || self.is_seldom() { SELDOM } else { 1 };
        interval.max(allowed) * factor
    }
}

/// How long after the last webhook of a source they are taken to come.
pub(super) fn flowing(interval: Duration) -> Duration {
    interval * FLOWING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_slower_while_webhooks_come_and_when_calls_are_short() {
        let minute = Duration::from_secs(60);
        let members = Stream::SalesforceMembers;
        let left = |calls, hours: u64| Some(Allowance { calls, time: Duration::from_secs(hours * 3600) });
        assert_eq!(members.pace(minute, false, None), minute);
        assert_eq!(members.pace(minute, true, None), minute * 5);
        assert_eq!(Stream::MarketoDeletions.pace(minute, true, None), minute * 5);
        assert_eq!(members.pace(minute, false, left(50_000, 24)), minute);
        // A developer organisation, half of whose 15,000 calls are ours: 1,500 for polls, three at a time.
        assert_eq!(members.pace(minute, false, left(7_500, 24)).as_secs(), 172);
        assert_eq!(members.pace(minute, false, left(0, 1)), SLOWEST);
        assert_eq!(members.pace(minute, false, left(1_000, 1)), minute);
    }

    #[test]
    fn names_are_of_one_log_each() {
        let names: std::collections::BTreeSet<_> = STREAMS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), STREAMS.len());
        assert!(STREAMS.iter().all(|(name, stream)| Stream::named(name) == Some(*stream)));
        assert_eq!(Stream::named("maintenance"), None);
    }
}
