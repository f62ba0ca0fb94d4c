//! From what a pass came to, to what is recorded: member state, trigger events, history, and how each row ended.

use serde_json::json;

use super::{Fate, Item, Pass};
use crate::domain::hint::Source;
use crate::domain::merge::{Action, Proposal, Reading, Reason, Rule, Side};
use crate::domain::own_writes::OwnWrites;
use crate::domain::retry;
use crate::domain::trigger::{DetectedBy, Origin, Seen, read_then_written};
use crate::store::lanes::Claimed;
use crate::store::outbox::{Kind, NewWork, Subject};
use crate::store::record::{End, Heard, Recorded, Settled};
use crate::worker::Worker;

/// Pause before a row is tried again that ran into somebody else's work, in milliseconds.
pub(super) const SOON: i64 = 200;

/// What came of a pass.
#[derive(Default)]
pub(in crate::worker) struct Finished {
    pub members: Vec<Recorded>,
    pub settled: Vec<Settled>,
    pub heard: Vec<Heard>,
    /// Members to be looked at again in their lanes.
    pub work: Vec<NewWork>,
}

impl Worker {
    /// What is to be recorded of a pass; `changes` are the rows that its items name as causes.
    pub(in crate::worker) fn finish(&self, pass: &mut Pass, changes: &[Claimed]) -> Finished {
        let mut finished = Finished::default();
        let of_pass = pass.detected_by;
        for mut item in pass.items.drain(..) {
            if item.fate == Fate::Lost {
                continue;
            }
            let source = noticed_by(&item, changes);
            let detected_by = if Source::is_polled(source) { DetectedBy::Poll } else { of_pass };
            if item.order.is_some() {
                self.finish_order(item, detected_by, changes, &mut finished);
                continue;
            }
            let end = self.end_of(&mut item, changes);
            for n in &item.causes {
                finished.settled.push(settle(&changes[*n], end.clone()));
                if !matches!(end, End::Retry { .. } | End::Later { .. }) {
                    finished.heard.push(heard(&changes[*n], &item.member.id));
                }
            }
            match item.fate {
                Fate::Joined { into } => {
                    let again = |person| NewWork { source, ..self.look_again(&item.member.campaign_id, person) };
                    finished.work.extend(into.map(again));
                }
                _ => {
                    if item.wrote && item.decision.as_ref().is_some_and(|d| d.rule == Rule::Overwritten) {
                        let (lane, person) = (&item.member.campaign_id, item.member.person.id.clone());
                        finished.work.push(self.look_again(lane, person));
                    }
                    let comes_again = !item.causes.is_empty() && matches!(end, End::Retry { .. } | End::Later { .. });
                    let row = item.member.campaign_member_id.clone();
                    let recorded = self.record_of(item, detected_by, &end);
                    let member = &recorded.member;
                    if comes_again && row.is_some() && row != member.campaign_member_id {
                        // A change that names the row that was will not find this member again.
                        finished.work.push(self.look_again(&member.campaign_id, member.person.id.clone()));
                    }
                    finished.members.push(recorded);
                }
            }
        }
        finished
    }

    /// A hint of our own about a person in a lane.
    pub(in crate::worker) fn look_again(&self, lane: &str, person: String) -> NewWork {
        NewWork {
            lane: lane.to_owned(),
            mapping_id: None,
            kind: Kind::Hint,
            subject: Subject::Person(person),
            source: "policy",
            payload: None,
            due_at: self.store.now(),
        }
    }

    pub(super) fn end_of(&self, item: &mut Item, changes: &[Claimed]) -> End {
        match &item.fate {
            Fate::Open | Fate::Lost => match item.wrote || arrived_before(item, self.user_id().as_ref()) {
                true => End::Applied,
                false => match item.decision.as_ref().and_then(|d| d.reason).filter(|r| r.state().as_str() == "parked")
                {
                    Some(reason) => End::Parked { reason: reason.to_string(), error: None },
                    None => End::NoOp,
                },
            },
            // The hint that is left for who it is now sees to it.
            Fate::Joined { into: Some(_) } => End::Superseded,
            // By its subject it is found as who it is now.
            Fate::Joined { into: None } => {
                End::Retry { due_at: self.store.now() + SOON, reason: Reason::Waiting.to_string(), error: None }
            }
            Fate::Parked { reason, error } => End::Parked { reason: reason.to_string(), error: error.clone() },
            Fate::Retry { reason, after, counted, error } => {
                let attempts = item.causes.iter().map(|n| changes[*n].attempts).max().unwrap_or(1);
                let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
                if *counted && *reason != Reason::Waiting && retry::exhausted(attempts, self.settings.max_attempts) {
                    let reason = match reason {
                        Reason::Unreadable => Reason::Unreadable,
                        _ => Reason::AttemptsExhausted,
                    };
                    let end = End::GivenUp { reason: reason.to_string(), error: error.clone() };
                    item.fate = Fate::Parked { reason, error: error.clone() };
                    return end;
                }
                // A vendor that is down says so to each row: they come back soon after it does, not after their own backoff.
                let cap = if *counted {
                    self.settings.retry_cap
                } else {
                    self.settings.retry_cap.min(self.settings.lease * 2)
                };
                let backoff = retry::backoff(attempts, self.settings.retry_base, cap, self.seed());
                let due_at = self.store.now() + i64::try_from(after.unwrap_or(backoff).as_millis()).unwrap_or(i64::MAX);
                End::Retry { due_at, reason: reason.to_string(), error: error.clone() }
            }
        }
    }

    fn record_of(&self, item: Item, detected_by: DetectedBy, end: &End) -> Recorded {
        let Item { mut member, seen, marketo, salesforce, row, decision, overtaken, written, wrote, fate, .. } = item;
        let mut history = Vec::new();
        if wrote {
            member.own_writes.arrived();
        }
        let settled = matches!(fate, Fate::Open | Fate::Parked { .. });
        if let Some(edit) = overtaken.filter(|_| settled) {
            let stands = member.own_writes.last_in_salesforce().and_then(|write| write.to.clone());
            member.own_writes.heeded(&edit);
            let brought_back = decision.as_ref().is_some_and(|d| d.rule == Rule::Overwritten);
            history.push((
                "overwritten",
                json!({"status": edit.status, "by": edit.by, "at": edit.at.to_string(), "now": stands, "brought_back": brought_back}),
            ));
        }
        if fate == (Fate::Parked { reason: Reason::LoopDetected, error: None }) {
            history.push(("frozen", json!({"writes": member.own_writes})));
        }
        let as_read = seen_of(&salesforce);
        let origin = match (row.as_ref().and_then(|r| r.last_modified_by.as_ref()), self.user_id()) {
            // What the merge writes it announces here; a flow action does not.
            (Some(by), Some(us)) if *by == us && !wrote && member.sent.is_none() => Origin::FlowAction,
            (Some(by), Some(us)) if *by == us && !wrote => Origin::Marketo,
            _ => Origin::Salesforce,
        };
        let written_by = match decision.as_ref().map(|d| d.rule.as_str()) {
            Some(rule) if rule.contains('R') || rule == Rule::Undo.as_str() => Origin::Policy,
            Some(rule) if rule == Rule::Resolved.as_str() => Origin::Policy,
            Some(rule) if rule == Rule::Overwritten.as_str() => Origin::Salesforce,
            _ => Origin::Marketo,
        };
        let events = read_then_written(&seen, &as_read, &written, detected_by)
            .into_iter()
            .map(|(transition, by)| (transition, by, if by == DetectedBy::Write { written_by } else { origin }))
            .collect::<Vec<_>>();

        let before =
            (member.marketo.clone(), member.salesforce.clone(), member.base.clone(), member.sync_state.clone());
        let action = decision.as_ref().map_or(Action::Nothing, |d| d.action.clone());
        // Before the first read of a campaign, somebody of whom no lead or contact was known says nothing about the one
        // they turn out to be, who may have been in it all along.
        let nobody = member.person.salesforce_id.is_none() || fate != Fate::Open;
        let as_read = if seen == Seen::Unknown && as_read == Seen::Absent && nobody { Seen::Unknown } else { as_read };
        if member.salesforce == Seen::Unknown {
            member.salesforce = seen;
        }
        member.saw(Side::Salesforce, as_read);
        member.wrote(Side::Salesforce, written);
        if let Some(row) = row.filter(|_| matches!(member.salesforce, Seen::Status(_))) {
            member.salesforce_modstamp = row.system_modstamp.map(jiff::Timestamp::as_millisecond);
            member.campaign_member_id = Some(row.id);
        } else if member.salesforce == Seen::Absent {
            member.salesforce_modstamp = None;
        }
        let marketo_now = match (&fate, &action) {
            (Fate::Open, Action::AddToMarketo(s) | Action::ChangeInMarketo(s) | Action::ReaddToMarketo(s)) if wrote => {
                Seen::Status(s.clone())
            }
            (Fate::Open, Action::RemoveFromMarketo) if wrote => Seen::Absent,
            _ => Seen::Unknown,
        };
        member.saw(Side::Marketo, seen_of(&marketo));
        member.wrote(Side::Marketo, marketo_now);
        match (&fate, &decision) {
            (Fate::Open, Some(decision)) => {
                member.base.clone_from(&decision.next_base);
                // A removal that has arrived leaves nobody on either side: what is left is not worth another look.
                let nobody = decision.reason.is_none()
                    && (&member.marketo, &member.salesforce) == (&Seen::Absent, &Seen::Absent);
                member.sync_state = match decision.action {
                    Action::Close => "closed".to_owned(),
                    _ if wrote && nobody => "closed".to_owned(),
                    _ => decision.state.to_string(),
                };
                member.reason = decision.reason.map(|r| r.to_string());
                member.rule = Some(decision.rule.as_str().to_owned());
                if !matches!(decision.rule, Rule::P1 | Rule::P2) {
                    member.sent = None;
                }
                if decision.ends_merge() {
                    member.after_merge = false;
                }
                member.would = decision.would.as_ref().map(Proposal::of);
            }
            (Fate::Retry { reason, .. } | Fate::Parked { reason, .. }, decision) => {
                member.would = None;
                member.sync_state = reason.state().to_string();
                member.reason = Some(reason.to_string());
                member.rule = decision.as_ref().map(|d| d.rule.as_str().to_owned()).or(member.rule);
            }
            // A campaign without a mapping is only watched.
            _ => {
                let there = matches!(member.salesforce, Seen::Status(_));
                member.sync_state = if there { "in_sync" } else { "closed" }.to_owned();
                member.reason = None;
            }
        }
        let halted = decision.as_ref().is_some_and(|d| matches!(d.rule, Rule::P1 | Rule::P2));
        if member.resolution.is_some() && settled && !halted {
            member.resolved = member.resolution.take();
            member.frozen = false;
            member.own_writes = OwnWrites::default();
        }
        if wrote
            || fate != Fate::Open
            || !events.is_empty()
            || before
                != (member.marketo.clone(), member.salesforce.clone(), member.base.clone(), member.sync_state.clone())
        {
            history.push((
                "decided",
                json!({
                    "marketo": text(&marketo), "salesforce": text(&salesforce),
                    "base": before.2, "rule": member.rule, "action": describe(&action), "written": wrote,
                    "state": member.sync_state, "reason": member.reason, "error": error_of(end),
                }),
            ));
        }
        history.extend(written_entry(&action, wrote, &member, end));
        Recorded { member, events, history }
    }
}

/// What was written, and what the vendor said to it.
fn written_entry(
    action: &Action,
    wrote: bool,
    member: &crate::store::members::Member,
    end: &End,
) -> Option<(&'static str, serde_json::Value)> {
    let side = action.side()?;
    let refused = error_of(end);
    if !wrote && refused.is_null() {
        return None;
    }
    let held = match side {
        Side::Marketo => &member.marketo,
        Side::Salesforce => &member.salesforce,
    };
    let held = if let Seen::Status(status) = held { json!(status) } else { serde_json::Value::Null };
    let answer = if refused.is_null() { json!("accepted") } else { refused };
    Some((
        "written",
        json!({"side": side, "action": describe(action)["name"], "status": action.status(), "answer": answer, "held": held}),
    ))
}

/// The source of our next look at a member: a poll where nothing but polls brought us here, so that what is found is told as found by one.
fn noticed_by(item: &Item, changes: &[Claimed]) -> &'static str {
    let sources = || item.causes.iter().map(|n| changes[*n].source.as_str());
    let polled = [Source::Marketo, Source::Salesforce].map(Source::polled);
    match sources().all(Source::is_polled) {
        true => polled.into_iter().find(|known| sources().next() == Some(*known)).unwrap_or("policy"),
        false => "policy",
    }
}

/// The values agree because a write of ours arrived whose answer was lost.
fn arrived_before(item: &Item, us: Option<&crate::domain::ids::SalesforceId>) -> bool {
    item.member.sent.is_some()
        && item.decision.as_ref().is_some_and(|d| d.action == Action::Nothing && d.reason.is_none())
        && (item.row.is_none() || item.row.as_ref().and_then(|r| r.last_modified_by.as_ref()) == us)
}

/// What a row told of a member, for its history.
pub(in crate::worker) fn heard(change: &Claimed, member: &str) -> Heard {
    Heard { change_id: change.id.clone(), lane: change.lane.clone(), member_id: member.to_owned() }
}

pub(in crate::worker) fn settle(change: &Claimed, end: End) -> Settled {
    let kind = if change.kind == Kind::FlowAction.as_str() { Kind::FlowAction } else { Kind::Hint };
    Settled { id: change.id.clone(), lane: change.lane.clone(), subject: change.subject.clone(), kind, end }
}

pub(super) fn seen_of(reading: &Reading) -> Seen {
    match reading {
        Reading::Unreadable => Seen::Unknown,
        Reading::Gone | Reading::Absent => Seen::Absent,
        Reading::Status(status) => Seen::Status(status.clone()),
    }
}

pub(super) fn text(reading: &Reading) -> serde_json::Value {
    match reading {
        Reading::Unreadable => json!({"unreadable": true}),
        Reading::Gone => json!({"gone": true}),
        Reading::Absent => serde_json::Value::Null,
        Reading::Status(status) => json!(status),
    }
}

fn describe(action: &Action) -> serde_json::Value {
    json!({"name": action.name(), "status": action.status()})
}

fn error_of(end: &End) -> serde_json::Value {
    match end {
        End::Retry { error: Some(e), .. }
        | End::Parked { error: Some(e), .. }
        | End::GivenUp { error: Some(e), .. } => {
            json!({"vendor": e.vendor, "code": e.code, "message": e.message})
        }
        _ => serde_json::Value::Null,
    }
}
