//! Members that a flow action has named: what is to be written, and what is recorded of it.
//!
//! The command decides (`domain::flow_action`), not the merge; reading, creating and writing are the same as everybody's. What
//! came of it reaches Marketo as any other change in Salesforce does, by a hint that is left for the merge. Must not know how
//! commands are put in order.

use serde_json::json;

use super::decide::check_status;
use super::finish::{Finished, SOON, seen_of, settle, text};
use super::{Fate, Item, Missing, Pass};
use crate::domain::flow_action::{Command, FlowAction, Skip, Verdict};
use crate::domain::ids::SalesforceId;
use crate::domain::mapping::Direction;
use crate::domain::merge::{Action, Reason, Side};
use crate::domain::person::Choice;
use crate::domain::trigger::{DetectedBy, Origin, Seen, read_then_written};
use crate::store::lanes::Claimed;
use crate::store::mappings::Mapping;
use crate::store::record::{End, Recorded};
use crate::worker::{PassError, Worker};

/// Salesforce's clock may be behind ours by this much when it is asked whether a write is younger than its announcement.
const SKEW_MILLIS: i64 = 60_000;

/// A command on its way, and what it came to.
#[derive(Debug)]
pub(in crate::worker) struct Order {
    command: Command,
    change_id: String,
    /// When an earlier attempt was about to be sent, epoch milliseconds.
    announced_at: Option<i64>,
    /// What is to be written.
    pub(super) action: Action,
    skipped: Option<Skip>,
    /// What an earlier attempt wrote has arrived, although its answer was lost.
    arrived: bool,
}

impl Order {
    pub(in crate::worker) fn new(command: Command, change: &Claimed) -> Self {
        let (change_id, announced_at) = (change.id.clone(), change.announced_at);
        Self { command, change_id, announced_at, action: Action::Nothing, skipped: None, arrived: false }
    }
}

impl Worker {
    /// Decides the orders of a pass; afterwards those with an action are announced and to be written.
    pub(super) async fn decide_orders(&self, pass: &mut Pass) -> Result<(), PassError> {
        let us = self.user_id();
        let mut announced = Vec::new();
        let mut unknown = Vec::new();
        for n in pass.open() {
            let item = &mut pass.items[n];
            if item.order.is_none() {
                continue;
            }
            decide_order(item, pass.mappings.get(&item.member.campaign_id), us.as_ref());
            if item.is_open() {
                check_status(item, pass.campaigns.get(&item.member.campaign_id));
            }
            let acts = item.is_open() && item.action().is_some_and(|action| action.side().is_some());
            let Some(order) = item.order.as_ref().filter(|_| acts) else { continue };
            announced.push((item.member.campaign_id.clone(), order.change_id.clone()));
            if item.seen == Seen::Unknown {
                // On record before it changes, or the first read of the campaign would take what we write for what was there.
                item.seen = seen_of(&item.salesforce);
                item.member.salesforce = item.seen.clone();
                unknown.push(n);
            }
        }
        if announced.is_empty() {
            return Ok(());
        }
        if !unknown.is_empty() {
            let members = unknown.iter().map(|n| pass.items[*n].member.clone()).collect();
            pass.leases = self.store.announce(&pass.leases, members).await?;
            unknown.iter().for_each(|n| pass.items[*n].member.stored = true);
        }
        pass.leases = self.store.announce_commands(&pass.leases, &announced).await?;
        pass.drop_lost();
        Ok(())
    }

    /// What is to be recorded of an order.
    pub(super) fn finish_order(&self, mut item: Item, by: DetectedBy, changes: &[Claimed], finished: &mut Finished) {
        let now = self.store.now();
        let end = match &item.fate {
            Fate::Open | Fate::Lost => match item.order.as_ref().and_then(|order| order.skipped) {
                Some(skip) => End::Skipped { reason: skip.to_string() },
                None => End::Applied,
            },
            // Found as who it is now by the next attempt.
            Fate::Joined { .. } => End::Later { due_at: now + SOON },
            Fate::Retry { reason: Reason::Waiting, after, .. } => {
                let pause = after.map_or(SOON, |after| i64::try_from(after.as_millis()).unwrap_or(SOON));
                End::Later { due_at: now + pause }
            }
            Fate::Retry { .. } | Fate::Parked { .. } => self.end_of(&mut item, changes),
        };
        finished.settled.extend(item.causes.iter().map(|n| settle(&changes[*n], end.clone())));
        if let Fate::Joined { into } = item.fate {
            finished.work.extend(into.map(|person| self.look_again(&item.member.campaign_id, person)));
            return;
        }
        let (lane, person, before) =
            (item.member.campaign_id.clone(), item.member.person.id.clone(), item.member.salesforce.clone());
        let mapped = item.mapped;
        if let Some(recorded) = record_of(item, by, &end) {
            if mapped && recorded.member.salesforce != before {
                finished.work.push(self.look_again(&lane, person));
            }
            finished.members.push(recorded);
        }
    }
}

fn decide_order(item: &mut Item, mapping: Option<&Mapping>, us: Option<&SalesforceId>) {
    item.mapped = mapping.is_some();
    let Some(order) = &mut item.order else { return };
    if mapping.is_some_and(|mapping| mapping.policies.direction == Direction::Observe) {
        return item.park(Reason::Observe);
    }
    let ours = |at: i64| match &item.row {
        Some(row) => {
            let since = row.system_modstamp.is_some_and(|stamp| stamp.as_millisecond() >= at - SKEW_MILLIS);
            since && us.is_some() && row.last_modified_by.as_ref() == us
        }
        None => order.command.action == FlowAction::Remove,
    };
    if order.command.is_done(&item.salesforce) && order.announced_at.is_some_and(ours) {
        order.arrived = true;
        return;
    }
    let verdict = order.command.decide(&item.salesforce, item.member.person.salesforce_id.is_some());
    let nobody = item.marketo_person.is_none();
    match (&item.missing, verdict) {
        (Some(Missing::Salesforce(Choice::Ambiguous(ids))), _) => {
            let second = ids.len() == 1;
            item.park(if second { Reason::SecondRecord } else { Reason::AmbiguousPerson });
        }
        (Some(Missing::Salesforce(Choice::CreateRefused)), _) if nobody => item.park(Reason::PersonUnknown),
        (Some(Missing::Salesforce(Choice::CreateRefused)), Verdict::Do(_)) => item.park(Reason::PersonUnknown),
        (_, Verdict::Do(action)) => order.action = action,
        (_, Verdict::Skip(skip)) => order.skipped = Some(skip),
        (_, Verdict::Hold(Reason::Unreadable)) => item.retry(Reason::Unreadable, None),
        (_, Verdict::Hold(reason)) => item.park(reason),
    }
}

/// The member as it is from now on; none when nothing was learnt of it.
fn record_of(item: Item, read_by: DetectedBy, end: &End) -> Option<Recorded> {
    let Item { mut member, seen, salesforce, row, order, written, wrote, mapped, .. } = item;
    let order = order?;
    let (as_read, written) = match (order.arrived, seen_of(&salesforce)) {
        (true, now) => (Seen::Unknown, now),
        (false, now) => (now, written),
    };
    let now = [written.clone(), as_read.clone()].into_iter().find(|seen| *seen != Seen::Unknown)?;
    if now == Seen::Absent && !member.stored && !wrote {
        return None;
    }
    let by = |by| if by == DetectedBy::Write { Origin::FlowAction } else { Origin::Salesforce };
    let events = read_then_written(&seen, &as_read, &written, read_by);
    let events = events.into_iter().map(|(transition, how)| (transition, how, by(how))).collect();
    let before = member.salesforce.clone();
    // Seen, not written: what a flow action adds is not the mapping's own, and undoing the mapping leaves it.
    member.saw(Side::Salesforce, now);
    match (&member.salesforce, row) {
        (Seen::Status(_), Some(row)) => {
            member.salesforce_modstamp = row.system_modstamp.map(jiff::Timestamp::as_millisecond);
            member.campaign_member_id = Some(row.id);
        }
        (Seen::Absent, _) => member.salesforce_modstamp = None,
        _ => {}
    }
    let changed = member.salesforce != before;
    (member.sync_state, member.reason) = match (mapped, &member.salesforce) {
        (true, _) if changed || !member.stored => ("pending".to_owned(), Some(Reason::Waiting.to_string())),
        (true, _) => (member.sync_state, member.reason),
        (false, Seen::Absent) => ("closed".to_owned(), None),
        (false, _) => ("in_sync".to_owned(), None),
    };
    let outcome = match end {
        End::Applied => ("applied", None),
        End::Skipped { reason } => ("skipped", Some(reason)),
        End::Parked { reason, .. } | End::GivenUp { reason, .. } => ("failed", Some(reason)),
        End::Retry { reason, .. } => ("retried", Some(reason)),
        End::NoOp | End::Superseded | End::Later { .. } => ("later", None),
    };
    let history = vec![(
        "flow_action",
        json!({
            "change_id": order.change_id, "action": order.command.action, "status": order.command.status,
            "salesforce": text(&salesforce), "outcome": outcome.0, "reason": outcome.1, "written": wrote,
        }),
    )];
    Some(Recorded { member, events, history })
}
