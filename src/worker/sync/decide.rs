//! Asks the merge what to do about each member, and what has to be known for its answer to be carried out.

use super::{Item, Missing, Pass};
use crate::domain::mapping::MappingState;
use crate::domain::merge::{Action, Context, Halt, Reason, Side, decide};
use crate::domain::person::Choice;
use crate::store::mappings::Mapping;
use crate::worker::{PassError, Worker};

impl Worker {
    /// Decides every member that was read; afterwards those with an action are to be written.
    pub(super) async fn decide(&self, pass: &mut Pass) -> Result<(), PassError> {
        for n in pass.open() {
            let item = &mut pass.items[n];
            let Some(mapping) = pass.mappings.get(&item.member.campaign_id) else { continue };
            decide_item(item, mapping);
            if item.is_open() {
                check_status(item, pass.campaigns.get(&mapping.campaign_id.to_string()));
            }
        }
        self.guard_removals(pass).await
    }
}

fn decide_item(item: &mut Item, mapping: &Mapping) {
    let halt = match mapping.state {
        MappingState::Paused => Some(Halt::Paused),
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
    let base = item.member.base.as_ref().filter(|base| base.holds(&mapping.status_map));
    let decision = decide(&context, base, &item.marketo, &item.salesforce);
    let wants_person = decision.action.needs_person().then(|| decision.action.side()).flatten();
    item.decision = Some(decision);
    match (wants_person, &item.missing) {
        (Some(Side::Salesforce), Some(Missing::Salesforce(choice))) => hold(item, refusal(choice)),
        (Some(Side::Marketo), Some(Missing::Marketo(choice))) => hold(item, refusal(choice)),
        _ => {}
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
fn check_status(item: &mut Item, campaign: Option<&crate::connector::Campaign>) {
    let Some(Action::AddToSalesforce(status) | Action::ChangeInSalesforce(status)) = item.decision.as_ref().map(|d| &d.action) else {
        return;
    };
    if campaign.is_some_and(|c| !c.statuses.iter().any(|s| s.label == *status)) {
        item.park(Reason::IncompatibleStatus);
    }
}
