//! Asks the merge what to do about each member, and what has to be known for its answer to be carried out.

use std::collections::BTreeMap;

use super::{Item, Missing, Pass};
use crate::domain::ids::SalesforceId;
use crate::domain::mapping::MappingState;
use crate::domain::merge::{
    Action, Base, Context, Halt, Reading, Reason, Rule, Sent, Side, decide, decide_account, decide_overtaken,
    recovered, resolve,
};
use crate::domain::own_writes::{Edit, OwnWrite};
use crate::domain::person::Choice;
use crate::domain::trigger::Seen;
use crate::store::mappings::Mapping;
use crate::worker::{PassError, Worker};

impl Worker {
    /// Decides every member that was read; afterwards those with an action are to be written.
    pub(super) async fn decide(&self, pass: &mut Pass) -> Result<(), PassError> {
        let us = self.user_id();
        for n in pass.open() {
            let item = &mut pass.items[n];
            let mapping = pass.mappings.get(&item.member.campaign_id).filter(|_| item.order.is_none());
            let Some(mapping) = mapping else { continue };
            if item.member.person.is_account() {
                item.decision = Some(decide_account(&item.salesforce));
                continue;
            }
            decide_item(item, mapping, us.as_ref());
            stay_parked(item, mapping);
            if item.is_open() {
                check_status(item, pass.campaigns.get(&mapping.campaign_id.to_string()));
            }
            self.break_loop(item);
        }
        if pass.dry.is_some() {
            return Ok(());
        }
        self.guard_removals(pass).await?;
        self.announce(pass).await
    }

    /// Leaves a member alone whom somebody keeps setting back to what we have changed: the two would go on for ever.
    fn break_loop(&self, item: &mut Item) {
        let (most, window) = self.settings.loop_breaker;
        let since = self.store.now() - window;
        let Some((side, to)) = item.action().and_then(|action| Some((action.side()?, action.status()))) else { return };
        let writes = &item.member.own_writes;
        let asked_for = item.member.resolution.is_some();
        if item.is_open() && !asked_for && writes.sets_back(side, to, since) && writes.alternations(since) >= most {
            item.member.frozen = true;
            item.park(Reason::LoopDetected);
        }
    }

    /// Holds back removals that are more than the mapping usually sees.
    pub(in crate::worker) async fn guard_removals(&self, pass: &mut Pass) -> Result<(), PassError> {
        let mut removals: BTreeMap<String, Vec<(usize, String, Side)>> = BTreeMap::new();
        for n in pass.open() {
            let item = &pass.items[n];
            // A person has named this one.
            let decision = item.decision.as_ref().filter(|_| item.member.resolution.is_none());
            let Some(action) = decision.map(|d| &d.action).filter(|a| a.is_removal()) else { continue };
            if let Some(side) = action.side() {
                removals.entry(item.member.campaign_id.clone()).or_default().push((n, item.member.id.clone(), side));
            }
        }
        for (lane, proposed) in removals {
            let Some(mapping) = pass.mappings.get(&lane) else { continue };
            let members: Vec<_> = proposed.iter().map(|(_, id, side)| (id.clone(), *side)).collect();
            let mut limits = self.settings.guard;
            if limits.percent < 100 && members.iter().any(|(_, side)| pass.empty.contains(&side.other())) {
                // The other side reads as empty: perhaps it only does not show us anybody.
                (limits.members, limits.percent) = (-1, -1);
            }
            let is_undo = pass.items[proposed[0].0].decision.as_ref().is_some_and(|d| d.rule == Rule::Undo);
            let allowed = match is_undo {
                true => self.store.guard_undo(&mapping.id, &lane, &members, &limits).await?,
                false => self.store.guard(&mapping.id, &lane, &members, &limits).await?,
            };
            for (n, id, _) in proposed {
                if !allowed.contains(&id) {
                    pass.items[n].park(Reason::RemovalWaiting);
                }
            }
        }
        Ok(())
    }

    /// Stores what is about to be sent, so that a lost answer can be understood.
    pub(in crate::worker) async fn announce(&self, pass: &mut Pass) -> Result<(), PassError> {
        let mut announced = Vec::new();
        for n in pass.open() {
            let item = &mut pass.items[n];
            if let Some(sent) = item.decision.as_ref().and_then(Sent::of) {
                item.member.sent = Some(sent);
                let (now, window) = (self.store.now(), self.settings.loop_breaker.1);
                if let Some(write) = own_write(item, now) {
                    item.member.own_writes.announce(write, now - window);
                }
                announced.push(n);
            }
        }
        if announced.is_empty() {
            return Ok(());
        }
        let members = announced.iter().map(|n| pass.items[*n].member.clone()).collect();
        pass.leases = self.store.announce(&pass.leases, members).await?;
        pass.drop_lost();
        announced.iter().for_each(|n| pass.items[*n].member.stored = true);
        Ok(())
    }
}

fn decide_item(item: &mut Item, mapping: &Mapping, us: Option<&SalesforceId>) {
    let halt = match mapping.state {
        MappingState::Paused | MappingState::Removing => Some(Halt::Paused),
        // Whoever says which side is right has seen what happened.
        _ if item.member.frozen && item.member.resolution.is_none() => Some(Halt::Frozen),
        _ => None,
    };
    let context = Context {
        map: &mapping.status_map,
        steps: &mapping.steps,
        policies: &mapping.policies,
        halt,
        after_merge: item.member.after_merge,
    };
    let (m, s) = (&item.marketo, &item.salesforce);
    item.member.own_writes.read(m, s);
    let base = match &item.member.sent {
        Some(sent) => recovered(item.member.base.as_ref(), sent, m, s),
        None => item.member.base.as_ref(),
    };
    let holds = |base: &Base| base.holds(&mapping.status_map);
    let base = base.filter(|base| holds(base)).cloned();
    let decision = match (item.member.resolution, overtaken(item, us)) {
        (Some(winner), _) => resolve(&context, winner, base.as_ref(), m, s),
        (None, Some((edit, write))) => {
            let before = write.base.as_ref().filter(|base| holds(base));
            let decision = decide_overtaken(&context, before, m, s, &edit.status);
            let decision = decision.unwrap_or_else(|| decide(&context, base.as_ref(), m, s));
            item.overtaken = (!matches!(decision.rule, Rule::P1 | Rule::P2)).then_some(edit);
            decision
        }
        (None, None) => decide(&context, base.as_ref(), m, s),
    };
    item.base = base;
    let wants_person = decision.action.needs_person().then(|| decision.action.side()).flatten();
    item.decision = Some(decision);
    match (wants_person, &item.missing) {
        (Some(Side::Salesforce), Some(Missing::Salesforce(choice))) => hold(item, refusal(choice)),
        (Some(Side::Marketo), Some(Missing::Marketo(choice))) => hold(item, refusal(choice)),
        _ => {}
    }
}

/// The edit that our last write has overtaken, and that write, when what it wrote still stands.
fn overtaken(item: &Item, us: Option<&SalesforceId>) -> Option<(Edit, OwnWrite)> {
    let (edit, us) = (item.edit.as_ref()?, us?);
    let write = item.member.own_writes.overtook(edit, us)?;
    let stands = match (&item.salesforce, &item.row, &write.to) {
        (Reading::Status(now), Some(row), Some(to)) => {
            now == to
                && row.last_modified_by.as_ref() == Some(us)
                && row.system_modstamp.is_some_and(|at| at >= edit.at)
        }
        (Reading::Absent, _, None) => true,
        _ => false,
    };
    stands.then(|| (edit.clone(), write.clone()))
}

/// What is about to be written, with what it was found to be.
fn own_write(item: &Item, at: i64) -> Option<OwnWrite> {
    let action = &item.decision.as_ref()?.action;
    let side = action.side()?;
    let (reading, row) = match side {
        Side::Salesforce => (&item.salesforce, item.row.as_ref()),
        Side::Marketo => (&item.marketo, None),
    };
    Some(OwnWrite {
        at,
        side,
        from: reading.status().map(str::to_owned),
        to: action.status().map(str::to_owned),
        by: row.and_then(|row| row.last_modified_by.clone()),
        row: row.map(|row| row.id.clone()),
        read_at: row.and_then(|row| row.system_modstamp).map(jiff::Timestamp::as_millisecond),
        base: item.base.clone(),
        done: false,
    })
}

/// A reconciliation does not try again what a vendor has refused, or who could be several, unless a side has moved or the
/// mapping was changed since: no attempt would help, and each would cost calls. Who is known by now could be several no more.
fn stay_parked(item: &mut Item, mapping: &Mapping) {
    let member = &item.member;
    let parked = [Reason::VendorRejected, Reason::AmbiguousPerson, Reason::SecondRecord];
    let Some(reason) = parked.into_iter().find(|r| member.reason.as_deref() == Some(r.as_str())) else { return };
    if reason != Reason::VendorRejected && item.missing.is_none() {
        return;
    }
    let same = |reading: &Reading, seen: &Seen| match reading {
        Reading::Status(status) => *seen == Seen::Status(status.clone()),
        Reading::Absent => *seen == Seen::Absent,
        Reading::Gone | Reading::Unreadable => false,
    };
    let acts = item.decision.as_ref().is_some_and(|d| d.action.side().is_some());
    let unchanged = same(&item.marketo, &member.marketo) && same(&item.salesforce, &member.salesforce);
    if item.is_open() && item.causes.is_empty() && acts && unchanged && mapping.updated_at <= member.updated_at {
        item.park(reason);
    }
}

fn hold(item: &mut Item, reason: Option<Reason>) {
    if let Some(reason) = reason {
        item.park(reason);
    }
}

/// Why nobody may be created, if so.
pub(super) fn refusal<Id>(choice: &Choice<Id>) -> Option<Reason> {
    match choice {
        // All candidates are linked: this is the second record of somebody who is a member by another.
        Choice::Ambiguous(ids) if ids.len() == 1 => Some(Reason::SecondRecord),
        Choice::Ambiguous(_) => Some(Reason::AmbiguousPerson),
        Choice::CreateRefused => Some(Reason::PersonUnknown),
        Choice::Create | Choice::Link(_) => None,
    }
}

/// Salesforce turns a status that the campaign does not have into the default, and says that all is well.
pub(super) fn check_status(item: &mut Item, campaign: Option<&crate::connector::Campaign>) {
    let Some(Action::AddToSalesforce(status) | Action::ChangeInSalesforce(status)) = item.action() else {
        return;
    };
    if campaign.is_some_and(|c| !c.statuses.iter().any(|s| s.label == *status)) {
        item.park(Reason::IncompatibleStatus);
    }
}
