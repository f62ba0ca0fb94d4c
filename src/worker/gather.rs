//! From rows of the outbox to the members that they are about.
//!
//! Owns what ends without a read because it says nothing new, and what a hint tells that no read can show any more. Must not
//! decide anything about a member, nor read a vendor but to learn whose a campaign member is.

use std::collections::HashMap;

use super::sync::{Item, Pass, heard, settle};
use super::{PassError, Worker};
use crate::domain::hint::{Hint, Operation};
use crate::domain::merge::SyncState;
use crate::domain::own_writes::Edit;
use crate::domain::trigger::Seen;
use crate::store::lanes::Claimed;
use crate::store::members::Member;
use crate::store::outbox::{ROUTER, Subject};
use crate::store::people::{Half, Person};
use crate::store::record::{End, Settled};

impl Worker {
    /// Finds the members that rows are about. Rows that say nothing new end here, without a read.
    pub(super) async fn gather(&self, pass: &mut Pass, changes: &[Claimed]) -> Result<Vec<Settled>, PassError> {
        let mut settled = Vec::new();
        let mut halves = Vec::new();
        let mut unknown = Vec::new();
        let mut ours = Vec::new();
        for change in changes.iter().filter(|change| change.lane != ROUTER) {
            match &change.subject {
                Subject::Marketo(id) => halves.push(Half::Marketo(*id)),
                Subject::Salesforce(id) => halves.push(Half::Salesforce(id.clone())),
                Subject::Member(id) => unknown.push(id.clone()),
                Subject::Person(id) => ours.push(id.clone()),
                Subject::Email(_) | Subject::Mapping => {}
            }
        }
        let ours = if ours.is_empty() { Vec::new() } else { self.store.people_by_id(&ours).await? };
        let of_member = self.people_of_members(&unknown).await?;
        halves.extend(of_member.values().filter_map(|half| half.clone().ok()));
        let people = if halves.is_empty() { Vec::new() } else { self.store.ensure_people(&halves).await? };
        let mut by_half: HashMap<Half, Person> = HashMap::new();
        for person in people {
            by_half.extend(person.marketo_id.map(|id| (Half::Marketo(id), person.clone())));
            by_half.extend(person.salesforce_id.clone().map(|id| (Half::Salesforce(id), person.clone())));
        }
        let mut wanted: Vec<(usize, Person)> = Vec::new();
        for (n, change) in changes.iter().enumerate().filter(|(_, change)| change.lane != ROUTER) {
            let person = match &change.subject {
                Subject::Marketo(id) => by_half.get(&Half::Marketo(*id)).cloned(),
                Subject::Salesforce(id) => by_half.get(&Half::Salesforce(id.clone())).cloned(),
                Subject::Member(id) => match of_member.get(id) {
                    Some(Ok(half)) => by_half.get(half).cloned(),
                    Some(Err(failure)) => {
                        settled.push(settle(change, self.unread(change, failure)));
                        continue;
                    }
                    None => None,
                },
                // Only commands name an address.
                Subject::Email(_) => None,
                // None for who was joined with somebody else since.
                Subject::Person(id) => ours.iter().find(|person| person.id == *id).cloned(),
                Subject::Mapping => {
                    let end = self.refresh_mapping(pass.mappings.get(&change.lane)).await?;
                    settled.push(settle(change, end));
                    continue;
                }
            };
            match person {
                Some(person) => wanted.push((n, person)),
                None => settled.push(settle(change, End::NoOp)),
            }
        }
        let pairs: Vec<_> = wanted.iter().map(|(n, p)| (changes[*n].lane.clone(), p.id.clone())).collect();
        let stored = if pairs.is_empty() { Vec::new() } else { self.store.members_of(&pairs).await? };
        let mut stored: HashMap<_, _> =
            stored.into_iter().map(|m| ((m.campaign_id.clone(), m.person.id.clone()), m)).collect();
        let mut at: HashMap<(String, String), usize> = HashMap::new();
        for ((n, person), pair) in wanted.into_iter().zip(pairs) {
            let change = &changes[n];
            if let Some(item) = at.get(&pair) {
                pass.items[*item].causes.push(n);
                continue;
            }
            let member = match (stored.remove(&pair), &change.subject) {
                (Some(member), _) if self.says_nothing_new(change, &member) && !again(changes, n) => {
                    settled.push(settle(change, End::NoOp));
                    pass.heard.push(heard(change, &member.id));
                    stored.insert(pair, member);
                    continue;
                }
                (Some(member), _) => member,
                (None, _) => Member::new(self.store.new_id(), change.lane.clone(), person),
            };
            let baseline = pass.leases.iter().any(|l| l.lane == change.lane && l.baseline);
            let mut item = Item::new(member, baseline);
            item.causes.push(n);
            at.insert(pair, pass.items.len());
            pass.items.push(item);
        }
        Ok(settled)
    }

    /// A hint that carries what is recorded, by our own user or not newer than what is recorded: an echo, or late.
    fn says_nothing_new(&self, change: &Claimed, member: &Member) -> bool {
        let Some(hint) = change.payload.as_ref().and_then(|text| serde_json::from_str::<Hint>(text).ok()) else {
            return false;
        };
        if member.sync_state != SyncState::InSync.as_str() || member.sent.is_some() {
            return false;
        }
        match hint {
            Hint::ProgramMember { removed: false, status: Some(status), .. } => member.marketo == Seen::Status(status),
            Hint::CampaignMember { status: Some(status), modified_by, modstamp, operation, .. } => {
                let ours = modified_by.is_some() && modified_by == self.user_id();
                let recorded = member.salesforce_modstamp;
                let late = modstamp.is_some_and(|at| recorded.is_some_and(|recorded| at.as_millisecond() <= recorded));
                let deleted = operation == Some(Operation::Delete);
                !deleted && member.salesforce == Seen::Status(status) && (ours || late)
            }
            _ => false,
        }
    }

    /// Edits that hints tell of, and that our last write may have overtaken: no read shows them any more. When two hints became
    /// one row, what each of them carried is in the inbox.
    pub(super) async fn hear_of_edits(&self, pass: &mut Pass, changes: &[Claimed]) -> Result<(), PassError> {
        let Some(us) = self.user_id() else { return Ok(()) };
        let mut merged: HashMap<String, usize> = HashMap::new();
        let mut told: Vec<(usize, String)> = Vec::new();
        for (n, item) in pass.items.iter().enumerate() {
            if item.member.own_writes.last_in_salesforce().is_none() {
                continue;
            }
            for change in item.causes.iter().map(|cause| &changes[*cause]) {
                match (&change.subject, &change.payload) {
                    (Subject::Salesforce(_) | Subject::Member(_), None) => drop(merged.insert(change.id.clone(), n)),
                    (Subject::Salesforce(_) | Subject::Member(_), Some(hint)) => told.push((n, hint.clone())),
                    _ => {}
                }
            }
        }
        if !merged.is_empty() {
            let ids: Vec<String> = merged.keys().cloned().collect();
            let hints = self.store.hints_of_changes(&ids).await?;
            told.extend(hints.into_iter().filter_map(|(change, hint)| Some((*merged.get(&change)?, hint))));
        }
        for (n, hint) in told {
            let Some(edit) = edit_of(&hint) else { continue };
            let item = &mut pass.items[n];
            let newer = item.edit.as_ref().is_none_or(|known| known.at < edit.at);
            if newer && item.member.own_writes.overtook(&edit, &us).is_some() {
                item.edit = Some(edit);
            }
        }
        Ok(())
    }
}

/// The edit of a campaign member that a hint tells of, when it says enough of it.
fn edit_of(hint: &str) -> Option<Edit> {
    match serde_json::from_str(hint).ok()? {
        Hint::CampaignMember { operation: Some(Operation::Delete), .. } => None,
        Hint::CampaignMember { member_id, status, modified_by, modstamp, .. } => {
            Some(Edit { row: member_id, status: status?, by: modified_by?, at: modstamp? })
        }
        _ => None,
    }
}

/// Whether another row of the batch is about the same subject; then this one saves nothing.
fn again(changes: &[Claimed], n: usize) -> bool {
    changes.iter().enumerate().any(|(m, c)| m != n && c.lane == changes[n].lane && c.subject == changes[n].subject)
}
