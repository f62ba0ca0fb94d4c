//! Two model worlds, edited at random, kept the same by the merge and nothing else.
//!
//! The judge knows the edits, the writes and the values, and what the policies promise in words; it does not know the
//! table. Reads fail, writes fail, answers are lost, and people edit between a read and the write that follows it.

mod model;

use std::sync::LazyLock;

use model::{CAMPAIGN, Dice, PROGRAM, World, in_marketo, in_salesforce, marketo_accepts, step};

use super::tests::{map, steps};
use super::*;
use crate::domain::mapping::{Conflict, Direction, Regression, Removal};

const HISTORIES: u64 = 20_000;
static MAP: LazyLock<StatusMap> = LazyLock::new(map);
static STEPS: LazyLock<Steps> = LazyLock::new(steps);

struct History {
    dice: Dice,
    policies: Policies,
    m: World,
    s: World,
    base: Option<Base>,
    after_merge: bool,
    merges: u32,
    state: SyncState,
    reason: Option<Reason>,
    /// Edits since the read of the last write that was recorded.
    edits: u32,
    /// Stored before a write, taken away by the record of its answer.
    sent: Option<Sent>,
    was_deleted_in_salesforce: bool,
    /// What happened, put into words only when a demand fails.
    log: Vec<Box<dyn std::fmt::Debug>>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut dice = Dice { seed, thrown: 0 };
        let policies = Policies {
            direction: dice.one(&[
                Direction::Both,
                Direction::Both,
                Direction::Both,
                Direction::MarketoToSalesforce,
                Direction::SalesforceToMarketo,
                Direction::Observe,
            ]),
            conflict: dice.one(Conflict::ALL),
            regression: dice.one(Regression::ALL),
            removal: dice.one(Removal::ALL),
            gate: dice.one_in(4).then(|| vec!["r".to_owned(), "a".to_owned()]),
            ..Policies::default()
        };
        let log: Vec<Box<dyn std::fmt::Debug>> = vec![Box::new(("seed", seed, policies.clone()))];
        let (m, s) = (World::default(), World::default());
        Self {
            dice,
            policies,
            m,
            s,
            base: None,
            after_merge: false,
            merges: 0,
            state: SyncState::InSync,
            reason: None,
            edits: 0,
            sent: None,
            was_deleted_in_salesforce: false,
            log,
        }
    }

    #[track_caller]
    fn demand(&self, holds: bool, what: &str) {
        let log = || self.log.iter().map(|what| format!("{what:?}")).collect::<Vec<_>>().join("\n");
        assert!(holds, "{what}\n{}\nnow {:?} {:?} base {:?} {:?}", log(), self.m, self.s, self.base, self.reason);
    }

    fn note(&mut self, what: impl std::fmt::Debug + 'static) {
        self.log.push(Box::new(what));
    }

    /// A person does something, on a side of their choice.
    fn edit(&mut self) {
        self.edits += 1;
        match self.dice.below(40) {
            0 => {
                self.m = World { gone: true, removed_by_a_person: true, ..World::default() };
                self.note("deleted in Marketo");
            }
            1 => {
                let buried = self.s.status.or(self.s.buried);
                self.s.set(None, true);
                self.s = World { gone: true, buried, ..self.s };
                self.was_deleted_in_salesforce = true;
                self.note("deleted in Salesforce");
            }
            2..8 if self.s.gone => {
                self.s.gone = false;
                let buried = self.s.buried.take();
                self.s.set(buried, true);
                self.note("undeleted in Salesforce");
            }
            8 => {
                self.after_merge = true;
                self.merges += 1;
                self.note("persons merged");
            }
            9..25 => self.edit_marketo(),
            _ => self.edit_salesforce(),
        }
    }

    fn edit_marketo(&mut self) {
        let to = if self.dice.one_in(4) { None } else { Some(self.dice.one(PROGRAM)) };
        if !self.m.gone && marketo_accepts(&self.m, to) {
            self.m.set(to, true);
            self.note(("Marketo edited to", to));
        }
    }

    fn edit_salesforce(&mut self) {
        let to = if self.dice.one_in(4) { None } else { Some(self.dice.one(CAMPAIGN)) };
        if !self.s.gone {
            self.s.set(to, true);
            self.note(("Salesforce edited to", to));
        }
    }

    fn decide(&self, m: &Reading, s: &Reading) -> Decision {
        let ctx =
            Context { map: &MAP, steps: &STEPS, policies: &self.policies, halt: None, after_merge: self.after_merge };
        let base = self.sent.as_ref().map_or(self.base.as_ref(), |sent| recovered(self.base.as_ref(), sent, m, s));
        decide(&ctx, base, m, s)
    }

    /// The service looks at the member once, and meets with trouble when `rough`. Returns whether it wrote.
    fn pass(&mut self, rough: bool) -> bool {
        let lossy = |history: &mut Self, reading| {
            if rough && history.dice.one_in(6) { Reading::Unreadable } else { reading }
        };
        let (m, s) = (self.m.read(), self.s.read());
        let (m, s) = (lossy(self, m), lossy(self, s));
        let decision = self.decide(&m, &s);
        self.note((m, s, decision.clone()));
        self.judge(&decision);
        let (unedited, merges) = (self.edits, self.merges);
        if rough && self.dice.one_in(6) {
            self.edit();
        }
        let writes = decision.action.side().is_some();
        if writes && (rough && self.dice.one_in(8) || !self.write(&decision.action)) {
            self.note("write failed");
            return true;
        }
        if rough && self.dice.one_in(8) {
            self.sent = Sent::of(&decision).filter(|_| writes).or(self.sent.take());
            self.note("nothing recorded");
            return writes;
        }
        if writes {
            self.edits -= unedited;
        }
        if decision.rule != Rule::P2 {
            self.sent = None;
            // A merge that happened after the read is for the next look.
            self.after_merge &= !decision.ends_merge() || self.merges > merges;
        }
        (self.base, self.state, self.reason) = (decision.next_base, decision.state, decision.reason);
        writes
    }

    /// What no write may do, whatever led to it.
    fn judge(&self, decision: &Decision) {
        let Some(side) = decision.action.side() else { return };
        let (allowed, opposite) = match side {
            Side::Marketo => (Direction::SalesforceToMarketo, &self.s),
            Side::Salesforce => (Direction::MarketoToSalesforce, &self.m),
        };
        self.demand([Direction::Both, allowed].contains(&self.policies.direction), "written the wrong way");
        self.demand(self.edits > 0, "a write without an edit");
        if decision.action.is_removal() {
            self.demand(opposite.removed_by_a_person, "nobody removed it");
            self.demand(self.policies.removal == Removal::Propagate, "was to be kept");
        }
    }

    /// What the vendors do with it; false when they refuse.
    fn write(&mut self, action: &Action) -> bool {
        let named =
            |names: &[&'static str]| action.status().and_then(|to| names.iter().copied().find(|name| *name == to));
        match action {
            Action::Nothing | Action::Close => {}
            Action::AddToSalesforce(_) if self.s.gone || self.s.status.is_some() => return false,
            Action::ChangeInSalesforce(_) if self.s.status.is_none() => return false,
            Action::AddToSalesforce(_) | Action::ChangeInSalesforce(_) => self.s.set(named(CAMPAIGN), false),
            Action::RemoveFromSalesforce => self.s.set(None, false),
            Action::RemoveFromMarketo => self.m.set(None, false),
            Action::ReaddToMarketo(_) if !self.m.gone => self.m.set(named(PROGRAM), false),
            _ if self.m.gone || !marketo_accepts(&self.m, named(PROGRAM)) => return false,
            _ => self.m.set(named(PROGRAM), false),
        }
        true
    }

    /// Everybody stops editing and the vendors answer.
    fn settle(&mut self) {
        let writes = (0..3).filter(|_| self.pass(false)).count();
        self.demand(writes <= 1, "one write must do");
        let settled = (self.base.clone(), self.reason);
        for _ in 0..3 {
            let writes = self.pass(false);
            self.demand(!writes, "a write although everything was settled");
        }
        self.demand(settled == (self.base.clone(), self.reason), "state moves by itself");
        self.demand(self.is_explained(), "neither the same nor explained");
    }

    fn is_same(&self) -> bool {
        match (self.m.status, self.s.status) {
            (None, None) => true,
            (Some(m), Some(s)) => in_salesforce(m) == Some(s) || in_marketo(s) == Some(m),
            _ => false,
        }
    }

    /// Whether the reason that is given for a difference is one that a person would accept.
    fn is_explained(&self) -> bool {
        let (m, s, policies) = (self.m.status, self.s.status, &self.policies);
        let lower = m.zip(s.and_then(in_marketo)).is_some_and(|(m, wanted)| step(wanted) < step(m));
        let Some(reason) = self.reason else { return self.is_same() && self.state == SyncState::InSync };
        let fits = match reason {
            Reason::IncompatibleStatus => {
                m.is_some_and(|m| in_salesforce(m).is_none())
                    || s.is_some_and(|s| in_marketo(s).is_none())
                    || m == Some("v")
            }
            Reason::BelowGate => {
                let status = m.or(s.and_then(in_marketo));
                m.is_some() != s.is_some()
                    && policies.gate.is_some()
                    && status.is_some_and(|status| !["r", "a"].contains(&status))
            }
            Reason::Regression => {
                lower
                    && policies.regression != Regression::Readd
                    && policies.direction != Direction::MarketoToSalesforce
            }
            Reason::ConflictHold => policies.conflict == Conflict::Hold && m.is_some() && s.is_some(),
            Reason::OneWay => ![Direction::Both, Direction::Observe].contains(&policies.direction),
            Reason::KeptApart => {
                m.is_some() != s.is_some() && (policies.removal == Removal::Keep || self.was_deleted_in_salesforce)
            }
            Reason::Observe => policies.direction == Direction::Observe,
            Reason::PersonDeleted => self.s.gone && m.is_some(),
            _ => false,
        };
        fits && !self.is_same() && self.state != SyncState::InSync
    }

    /// From agreement, people edit once more, on one side or on both, and what comes of it is known from the words.
    fn last_edit(&mut self) {
        let in_sync = self.is_same() && self.m.status.is_some() && self.reason.is_none();
        if !in_sync || self.policies.direction != Direction::Both {
            return;
        }
        let before = (self.m.status, self.s.status);
        self.edits += 1;
        match self.dice.below(3) {
            0 => self.edit_marketo(),
            1 => self.edit_salesforce(),
            _ => {
                self.edit_marketo();
                self.edit_salesforce();
            }
        }
        let edited = (self.m.status, self.s.status);
        let expected = if self.is_same() { edited } else { self.promised(before, edited) };
        self.settle();
        let got = (self.m.status, self.s.status);
        self.demand(got == expected, &format!("{before:?} edited to {edited:?} must become {expected:?}"));
    }

    fn promised(&self, before: Pair, (m, s): Pair) -> Pair {
        let to_salesforce = m.and_then(in_salesforce).map_or((m, s), |status| (m, Some(status)));
        let lower = |wanted| m.is_some_and(|m| step(wanted) < step(m));
        let to_marketo = match (s.and_then(in_marketo), self.policies.regression) {
            (None, _) | (Some("v"), _) => (m, s),
            (Some(wanted), Regression::Hold) if lower(wanted) => (m, s),
            (Some(wanted), Regression::Revert) if lower(wanted) => to_salesforce,
            (Some(wanted), _) => (Some(wanted), s),
        };
        let further = s.and_then(in_marketo).is_some_and(|wanted| m.is_none_or(|m| step(wanted) > step(m)));
        match ((m != before.0, s != before.1), (m, s), self.policies.conflict) {
            ((true, false), (None, _), _) | ((false, true), (_, None), _) if self.policies.removal == Removal::Keep => {
                (m, s)
            }
            ((true, false), (None, _), _) | ((false, true), (_, None), _) => (None, None),
            ((true, false), ..) | (_, (_, None), _) => to_salesforce,
            ((false, true), ..) | (_, (None, _), _) => to_marketo,
            (_, _, Conflict::Hold) => (m, s),
            (_, _, Conflict::MarketoWins) => to_salesforce,
            (_, _, Conflict::SalesforceWins) => to_marketo,
            (_, _, Conflict::FurthestProgress) => {
                if further {
                    to_marketo
                } else {
                    to_salesforce
                }
            }
        }
    }
}

type Pair = (Option<&'static str>, Option<&'static str>);

#[test]
fn random_histories_end_the_same_or_explained_and_nothing_is_invented_or_lost() {
    for seed in 0..HISTORIES {
        let mut history = History::new(seed);
        for _ in 0..4 + history.dice.below(20) {
            if history.dice.one_in(2) {
                history.edit();
            } else {
                history.pass(true);
            }
        }
        history.settle();
        for _ in 0..3 {
            history.last_edit();
        }
    }
}
