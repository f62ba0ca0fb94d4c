//! One pass over members: identify, read, decide, create, write. Live sync, first sync and reconciliation all come here.
//!
//! A pass holds no transaction while it calls a vendor, and what it cannot do for one member it puts down as that
//! member's fate and goes on with the others. Recording is the caller's, in one transaction.

mod apart;
mod candidates;
mod create;
mod created;
mod decide;
mod dry;
mod finish;
mod follow;
mod identify;
mod order;
mod quota;
pub(super) mod read;
mod seconds;
mod unfinished;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::points::Point;
use super::{PassError, Worker};
use crate::connector::{
    Campaign, CampaignMember, ConnectorError, MarketoPerson, RecordError, SalesforcePerson, Vendor,
};
use crate::domain::ids::{MarketoId, SalesforceId};
use crate::domain::merge::{Action, Base, Decision, Reading, Reason, Side};
use crate::domain::own_writes::Edit;
use crate::domain::person::Choice;
use crate::domain::trigger::{DetectedBy, Seen};
use crate::store::lanes::Lease;
use crate::store::mappings::Mapping;
use crate::store::members::Member;
use crate::store::record::{Heard, VendorError};

pub(super) use apart::{Suspects, may_be_one};
pub(super) use dry::{Dry, made};
pub(super) use finish::{heard, settle};
pub(super) use order::Order;

/// A member on its way through a pass.
#[derive(Debug)]
pub(super) struct Item {
    pub member: Member,
    /// Positions of the rows of the outbox that brought it here; none in a run.
    pub causes: Vec<usize>,
    /// Salesforce's value as it was recorded before this pass.
    pub seen: Seen,
    pub marketo: Reading,
    pub salesforce: Reading,
    /// Salesforce's row, where there is one.
    pub row: Option<CampaignMember>,
    /// The person as read in this pass, where it had to be.
    pub marketo_person: Option<MarketoPerson>,
    pub salesforce_person: Option<SalesforcePerson>,
    /// Who the missing half would be, where one is missing.
    pub missing: Option<Missing>,
    pub decision: Option<Decision>,
    /// What both had agreed on, as it was decided by.
    pub base: Option<Base>,
    /// An edit in Salesforce that our last write may have overtaken.
    pub edit: Option<Edit>,
    /// One that it did overtake.
    pub overtaken: Option<Edit>,
    /// The flow action that brought it here, which decides in place of the merge.
    pub order: Option<Order>,
    /// Whether a mapping carries to Marketo what a flow action did.
    pub mapped: bool,
    /// Salesforce's value as written and read back.
    pub written: Seen,
    /// A write of ours has succeeded in this pass.
    pub wrote: bool,
    /// The last call that was to write: to whom, and from when to when.
    pub called: Option<(Vendor, i64, i64)>,
    pub fate: Fate,
    /// How a call that it was part of failed as a whole.
    pub whole: Option<Whole>,
}

/// How a call failed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// Refused: nothing of it was carried out.
    Refused,
    /// No answer, or none that can be read.
    Unanswered(Vendor),
    /// Held back by a limit, a lock, credentials, a permission, or by ourselves: no record's fault.
    Held,
}

/// The half of a person that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Salesforce(Choice<SalesforceId>),
    Marketo(Choice<MarketoId>),
}

/// Where a pass has to leave a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// On its way, or through.
    Open,
    /// Another attempt; `counted` when it is the member's own trouble and not the vendor's.
    Retry { reason: Reason, after: Option<Duration>, counted: bool, error: Option<VendorError> },
    /// Waits for a change by a person.
    Parked { reason: Reason, error: Option<VendorError> },
    /// The person became one with another, whose id it is where known: looked at anew as that one.
    Joined { into: Option<String> },
    /// The lane was lost to another worker: nothing may be recorded.
    Lost,
}

impl Item {
    pub(super) fn new(member: Member, baseline: bool) -> Self {
        let seen = match &member.salesforce {
            Seen::Unknown if baseline => Seen::Absent,
            seen => seen.clone(),
        };
        Self {
            member,
            causes: Vec::new(),
            seen,
            marketo: Reading::Unreadable,
            salesforce: Reading::Unreadable,
            row: None,
            marketo_person: None,
            salesforce_person: None,
            missing: None,
            decision: None,
            base: None,
            edit: None,
            overtaken: None,
            order: None,
            mapped: false,
            written: Seen::Unknown,
            wrote: false,
            called: None,
            fate: Fate::Open,
            whole: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.fate == Fate::Open
    }

    /// What is to be written, once that is decided.
    fn action(&self) -> Option<&Action> {
        match &self.order {
            Some(order) => Some(&order.action),
            None => self.decision.as_ref().map(|decision| &decision.action),
        }
    }

    /// What was different about it: the side that was to follow and how it did not, or why it is held.
    pub(super) fn difference(&self) -> Option<(Option<Side>, &'static str)> {
        match &self.fate {
            Fate::Parked { reason, .. } | Fate::Retry { reason, .. } => return Some((None, reason.as_str())),
            Fate::Joined { .. } | Fate::Lost => return None,
            Fate::Open => {}
        }
        let decision = self.decision.as_ref()?;
        let how = match decision.action {
            Action::AddToSalesforce(_) | Action::AddToMarketo(_) => "missing",
            Action::ChangeInSalesforce(_) | Action::ChangeInMarketo(_) | Action::ReaddToMarketo(_) => "different",
            Action::RemoveFromSalesforce | Action::RemoveFromMarketo => "surplus",
            Action::Nothing | Action::Close => return decision.reason.map(|reason| (None, reason.as_str())),
        };
        Some((decision.action.side(), how))
    }

    fn retry(&mut self, reason: Reason, after: Option<Duration>) {
        self.fate = Fate::Retry { reason, after, counted: true, error: None };
    }

    fn park(&mut self, reason: Reason) {
        self.fate = Fate::Parked { reason, error: None };
    }

    /// A whole call failed for this member among others.
    fn fail(&mut self, error: &ConnectorError) {
        self.fate = fate_of(error);
        self.whole = Some(apart::whole(error));
    }

    /// The vendor refused this one record.
    fn refuse(&mut self, vendor: Vendor, error: &RecordError) {
        let error =
            VendorError { vendor: vendor.to_string(), code: error.code.clone(), message: error.message.clone() };
        self.fate = Fate::Parked { reason: Reason::VendorRejected, error: Some(error) };
    }

    /// The vendor wants this one record to be tried again.
    fn again(&mut self, vendor: Vendor, error: &RecordError) {
        let error =
            VendorError { vendor: vendor.to_string(), code: error.code.clone(), message: error.message.clone() };
        self.fate = Fate::Retry { reason: Reason::Retrying, after: None, counted: true, error: Some(error) };
    }
}

/// What a failed call means for those it was made for.
pub(super) fn fate_of(error: &ConnectorError) -> Fate {
    let vendor_error = |vendor: &Vendor, code: &str, message: &str| {
        Some(VendorError { vendor: vendor.to_string(), code: code.to_owned(), message: message.to_owned() })
    };
    let retry = |reason, after, error| Fate::Retry { reason, after, counted: false, error };
    match error {
        ConnectorError::Unavailable { vendor, detail, retry_after, .. } => {
            retry(Reason::Retrying, *retry_after, vendor_error(vendor, "unavailable", detail))
        }
        ConnectorError::RateLimited { vendor, detail, retry_after } => {
            retry(Reason::Retrying, Some(*retry_after), vendor_error(vendor, "rate_limited", detail))
        }
        ConnectorError::QuotaExhausted { vendor, retry_after } => retry(
            Reason::Quota,
            Some(*retry_after),
            vendor_error(vendor, "quota_exhausted", "the daily quota is used up"),
        ),
        ConnectorError::Unauthorized { vendor, detail } => {
            retry(Reason::Retrying, None, vendor_error(vendor, "unauthorized", detail))
        }
        ConnectorError::Refused { vendor, code, message } => {
            Fate::Parked { reason: Reason::VendorRejected, error: vendor_error(vendor, code, message) }
        }
    }
}

/// The members of a batch and what is known of their lanes.
#[derive(Debug)]
pub(super) struct Pass {
    pub items: Vec<Item>,
    pub leases: Vec<Lease>,
    /// End of the leases, on the monotonic clock.
    pub deadline: Duration,
    /// By lane.
    pub mappings: HashMap<String, Mapping>,
    /// Campaigns as read in this pass, by lane.
    pub campaigns: BTreeMap<String, Campaign>,
    /// Lanes whose program or campaign is gone or cannot be read: no member of theirs is decided.
    pub failed: BTreeMap<String, String>,
    /// People were linked, merged or converted: some items may be about somebody who is somebody else now.
    pub moved: bool,
    /// Those whom others were joined with since their items were loaded: what the items know of them is outdated.
    pub joined: BTreeSet<String>,
    /// All of those so far.
    pub were_joined: BTreeSet<String>,
    /// People of Marketo whose record in Salesforce was deleted, with that record: free to be linked to another one.
    pub departed: BTreeMap<MarketoId, SalesforceId>,
    /// Lanes whose campaign has other statuses than its mapping knows of: the mapping is to be read again.
    pub stale: BTreeSet<String>,
    /// How the changes that are found came to be noticed.
    pub detected_by: DetectedBy,
    /// Rows that were settled without a look, and whom they were about.
    pub heard: Vec<Heard>,
    /// A page of a whole read: where a call that reads fails, nothing is decided and the page is read again.
    pub whole: bool,
    /// Sides whose whole listing showed nobody: what would be removed for that waits for a person.
    pub empty: BTreeSet<Side>,
    /// The first call that failed to read.
    pub unread: Option<ConnectorError>,
    /// A plan: nothing is written anywhere, and this is what it knows.
    pub dry: Option<Dry>,
}

impl Pass {
    pub(super) fn new(
        items: Vec<Item>,
        leases: Vec<Lease>,
        deadline: Duration,
        mappings: &HashMap<String, Mapping>,
        detected_by: DetectedBy,
    ) -> Self {
        Self {
            items,
            leases,
            deadline,
            mappings: mappings.clone(),
            campaigns: BTreeMap::new(),
            failed: BTreeMap::new(),
            moved: false,
            joined: BTreeSet::new(),
            were_joined: BTreeSet::new(),
            departed: BTreeMap::new(),
            stale: BTreeSet::new(),
            detected_by,
            heard: Vec::new(),
            whole: detected_by == DetectedBy::Reconciliation,
            empty: BTreeSet::new(),
            unread: None,
            dry: None,
        }
    }

    /// A call that reads failed, for these.
    fn not_read(&mut self, items: &[usize], error: &ConnectorError) {
        self.unread.get_or_insert_with(|| error.clone());
        for n in items {
            self.items[*n].fail(error);
        }
    }

    /// Whether nothing may be decided, because a page of a whole read could not be read as a whole.
    fn is_cut_short(&self) -> bool {
        self.whole && self.unread.is_some()
    }

    /// Positions of items that are on their way.
    fn open(&self) -> Vec<usize> {
        (0..self.items.len()).filter(|n| self.items[*n].is_open()).collect()
    }

    /// What belongs to a lane that another worker has now is none of ours.
    fn drop_lost(&mut self) {
        let ours: HashSet<&str> = self.leases.iter().map(|lease| lease.lane.as_str()).collect();
        for item in self.items.iter_mut().filter(|item| !ours.contains(item.member.campaign_id.as_str())) {
            item.fate = Fate::Lost;
        }
    }
}

impl Worker {
    /// Takes the members of a pass together as far as they go.
    async fn process_together(&self, pass: &mut Pass) -> Result<(), PassError> {
        self.identify(pass).await?;
        self.read(pass).await?;
        if pass.is_cut_short() {
            return Ok(());
        }
        self.drop_joined(pass).await?;
        self.points.reach(Point::Read)?;
        self.decide(pass).await?;
        if pass.dry.is_some() {
            return self.plan_creations(pass).await;
        }
        self.decide_orders(pass).await?;
        self.points.reach(Point::Decided)?;
        self.create(pass).await?;
        self.drop_joined(pass).await?;
        self.write(pass).await?;
        self.tell_of_quota(pass).await
    }

    /// Items of people who were joined with others since they were loaded: both are looked at anew, as one.
    pub(super) async fn drop_joined(&self, pass: &mut Pass) -> Result<(), PassError> {
        if !std::mem::take(&mut pass.moved) || pass.dry.is_some() {
            return Ok(());
        }
        let people: Vec<_> = pass.items.iter().map(|item| item.member.person.id.clone()).collect();
        let living = self.store.living_people(&people).await?;
        let joined = std::mem::take(&mut pass.joined);
        pass.were_joined.extend(joined.iter().cloned());
        for item in pass.items.iter_mut().filter(|item| !matches!(item.fate, Fate::Joined { .. })) {
            let id = &item.member.person.id;
            if joined.contains(id) {
                item.fate = Fate::Joined { into: Some(id.clone()) };
            } else if !living.contains(id) {
                item.fate = Fate::Joined { into: None };
            }
        }
        Ok(())
    }

    /// To be called before each write: the vendors check no fence, so the lease has to outlast the call, which takes four
    /// fifths of a lease at the most.
    async fn keep_leases(&self, pass: &mut Pass) -> Result<(), PassError> {
        let left = pass.deadline.saturating_sub(self.store.clock().monotonic());
        if left > self.settings.lease * 5 / 6 {
            return Ok(());
        }
        let (kept, deadline) = self.store.renew(&pass.leases, self.settings.lease).await?;
        (pass.leases, pass.deadline) = (kept, deadline);
        pass.drop_lost();
        Ok(())
    }
}
