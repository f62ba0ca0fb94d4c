//! Asks the merge what to do about each member, and what has to be known for its answer to be carried out.

use std::collections::BTreeMap;

use super::{Item, Missing, Pass};
use crate::domain::mapping::MappingState;
use crate::domain::merge::{Action, Context, Halt, Reading, Reason, Sent, Side, decide, recovered};
use crate::domain::person::Choice;
use crate::domain::trigger::Seen;
use crate::store::mappings::Mapping;
use crate::worker::{PassError, Worker};

impl Worker {
    /// Decides every member that was read; afterwards those with an action are to be written.
    pub(super) async fn decide(&self, pass: &mut Pass) -> Result<(), PassError> {
        for n in pass.open() {
            let item = &mut pass.items[n];
            let mapping = pass.mappings.get(&item.member.campaign_id).filter(|_| item.order.is_none());
            let Some(mapping) = mapping else { continue };
            decide_item(item, mapping);
            stay_parked(item, mapping);
            if item.is_open() {
                check_status(item, pass.campaigns.get(&mapping.campaign_id.to_string()));
            }
        }
        if pass.dry.is_some() {
            return Ok(());
        }
        self.guard_removals(pass).await?;
        self.announce(pass).await
    }

    /// Holds back removals that are more than the mapping usually sees.
    pub(in crate::worker) async fn guard_removals(&self, pass: &mut Pass) -> Result<(), PassError> {
        let mut removals: BTreeMap<String, Vec<(usize, String, Side)>> = BTreeMap::new();
        for n in pass.open() {
            let item = &pass.items[n];
            let Some(action) = item.decision.as_ref().map(|d| &d.action).filter(|a| a.is_removal()) else { continue };
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
            let allowed = self.store.guard(&mapping.id, &lane, &members, &limits).await?;
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

fn decide_item(item: &mut Item, mapping: &Mapping) {
    let halt = match mapping.state {
        MappingState::Paused | MappingState::Removing => Some(Halt::Paused),
        _ if item.member.frozen => Some(Halt::Frozen),
        _ => None,
    };
    let context = Context {
        map: &mapping.status_map,
        steps: &mapping.steps,
        policies: &mapping.policies,
        halt,
        after_merge: item.member.after_merge,
    };
    let base = match &item.member.sent {
        Some(sent) => recovered(item.member.base.as_ref(), sent, &item.marketo, &item.salesforce),
        None => item.member.base.as_ref(),
    };
    let base = base.filter(|base| base.holds(&mapping.status_map));
    let decision = decide(&context, base, &item.marketo, &item.salesforce);
    let wants_person = decision.action.needs_person().then(|| decision.action.side()).flatten();
    item.decision = Some(decision);
    match (wants_person, &item.missing) {
        (Some(Side::Salesforce), Some(Missing::Salesforce(choice))) => hold(item, refusal(choice)),
        (Some(Side::Marketo), Some(Missing::Marketo(choice))) => hold(item, refusal(choice)),
        _ => {}
    }
}

/// A reconciliation does not try again what a vendor has refused, or who could be several, unless a side has moved or the
/// mapping was changed since: no attempt would help, and each would cost calls.
fn stay_parked(item: &mut Item, mapping: &Mapping) {
    let member = &item.member;
    let parked = [Reason::VendorRejected, Reason::AmbiguousPerson, Reason::SecondRecord];
    let Some(reason) = parked.into_iter().find(|r| member.reason.as_deref() == Some(r.as_str())) else { return };
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
fn refusal<Id>(choice: &Choice<Id>) -> Option<Reason> {
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
