//! The decision table, row by row.
//!
//! Owns `decide`: the preconditions first, then the rows, then the two policies that rows hand over to. Each choice that
//! the rows leave open is said where it is made. Must not know anything that is not in `Context`.

use super::{Action, Base, Context, Decision, Halt, Presence, Reading, Reason, Rule, Side, SyncState};
use crate::domain::mapping::{Conflict, Direction, Regression, Removal};

/// What has to be done about a member: `m` and `s` are what Marketo and Salesforce say now, `base` what they last agreed
/// on.
#[must_use]
pub fn decide(ctx: &Context<'_>, base: Option<&Base>, m: &Reading, s: &Reading) -> Decision {
    // P1 and P2 leave even the base of merged persons alone: nothing was decided yet.
    if let Some(halt) = ctx.halt {
        return held(Rule::P1, base, halt.reason());
    }
    if *m == Reading::Unreadable || *s == Reading::Unreadable {
        // How often it was tried is the worker's to know: it says `unreadable` once the attempts are used up.
        return held(Rule::P2, base, Reason::Retrying);
    }
    let member = Member {
        ctx,
        base: base.filter(|base| !ctx.after_merge && (base.marketo.is_some() || base.salesforce.is_some())),
        m: m.status(),
        s: s.status(),
    };
    let decision = match (m, s) {
        // A member that is kept apart without Marketo stays so (row 16): its absence was answered, and a removal that
        // a person discarded must not be proposed again at each look.
        (Reading::Gone, Reading::Status(_)) if !member.is_apart_without(Side::Marketo) => {
            member.remove(Rule::P4, Side::Salesforce)
        }
        (Reading::Status(_), Reading::Gone) => {
            Decision { next_base: member.as_is(), ..member.hold(Rule::P5, Reason::PersonDeleted) }
        }
        (Reading::Gone, Reading::Absent | Reading::Gone) | (Reading::Absent, Reading::Gone) => close(Rule::P6),
        _ => member.by_row(),
    };
    if ctx.policies.direction == Direction::Observe { observed(decision, member.base) } else { decision }
}

/// What becomes of an account that is a campaign member: there is no person behind it who could be in a program, so that it is
/// left as it is, whatever the policies say. Row 3 for whom nobody can be created.
#[must_use]
pub fn decide_account(s: &Reading) -> Decision {
    match s {
        Reading::Status(_) => held(Rule::Row3, None, Reason::UnsupportedAccount),
        Reading::Unreadable => held(Rule::P2, None, Reason::Retrying),
        Reading::Absent | Reading::Gone => close(Rule::Row1),
    }
}

/// A person has said which side is right: its value is written to the other one, whatever the policies say of it, but not
/// against the direction. A lower step is reached by adding anew, since it was asked for by name.
#[must_use]
pub fn resolve(ctx: &Context<'_>, winner: Side, base: Option<&Base>, m: &Reading, s: &Reading) -> Decision {
    let to = winner.other();
    let member = Member { ctx, base, m: m.status(), s: s.status() };
    let unread = *m == Reading::Unreadable || *s == Reading::Unreadable;
    let deleted = *s == Reading::Gone && m.status().is_some() && to == Side::Salesforce;
    if ctx.halt.is_some() || unread || deleted {
        return decide(ctx, base, m, s);
    }
    let decision = match (member.value(winner), member.value(to)) {
        (None, None) => close(Rule::Resolved),
        // Nobody is there who could be added.
        (Some(_), None) if *m == Reading::Gone => {
            Decision { next_base: member.as_is(), ..member.hold(Rule::Resolved, Reason::KeptApart) }
        }
        (Some(_), Some(_)) if member.is_same() => member.adopt(Rule::Resolved),
        (Some(_), now) => match (member.forward(Rule::Resolved, to), now) {
            (Decision { reason: None | Some(Reason::Regression), .. }, Some(now)) if member.is_lower(to, now) => {
                member.readd(Rule::Resolved)
            }
            (decision, _) => decision,
        },
        (None, Some(_)) if member.is_source(to) => member.hold(Rule::Resolved, Reason::OneWay),
        (None, Some(_)) if to == Side::Marketo => settled(Rule::Resolved, Action::RemoveFromMarketo, None),
        (None, Some(_)) => settled(Rule::Resolved, Action::RemoveFromSalesforce, None),
    };
    if ctx.policies.direction == Direction::Observe { observed(decision, base) } else { decision }
}

/// What becomes of an edit in Salesforce that our last write overtook: `base` is what both had agreed on before that write, `s`
/// what Salesforce says now. None when the write is what the edit would have led to as well, so that it stands. Else the edit is
/// brought back, and the member decided again with what people have left on both sides.
#[must_use]
pub fn decide_overtaken(
    ctx: &Context<'_>,
    base: Option<&Base>,
    m: &Reading,
    s: &Reading,
    edit: &str,
) -> Option<Decision> {
    let decision = decide(ctx, base, m, &Reading::Status(edit.to_owned()));
    let action = match s {
        _ if matches!(decision.rule, Rule::P1 | Rule::P2) || decision.would.is_some() => return None,
        Reading::Status(now) if decision.action == Action::ChangeInSalesforce(now.clone()) => return None,
        Reading::Absent if decision.action == Action::RemoveFromSalesforce => return None,
        Reading::Status(_) => Action::ChangeInSalesforce(edit.to_owned()),
        Reading::Absent => Action::AddToSalesforce(edit.to_owned()),
        Reading::Gone | Reading::Unreadable => return None,
    };
    Some(Decision { action, ..held(Rule::Overwritten, base, Reason::Waiting) })
}

impl Halt {
    fn reason(self) -> Reason {
        match self {
            Self::Paused => Reason::Paused,
            Self::SyncOff => Reason::SyncOff,
            Self::Frozen => Reason::LoopDetected,
        }
    }
}

/// Nothing is written, for a reason; the base stays.
fn held(rule: Rule, base: Option<&Base>, reason: Reason) -> Decision {
    Decision {
        rule,
        action: Action::Nothing,
        next_base: base.cloned(),
        state: reason.state(),
        reason: Some(reason),
        would: None,
    }
}

/// In sync, once the action has succeeded.
fn settled(rule: Rule, action: Action, next_base: Option<Base>) -> Decision {
    Decision { rule, action, next_base, state: SyncState::InSync, reason: None, would: None }
}

fn close(rule: Rule) -> Decision {
    settled(rule, Action::Close, None)
}

/// A decision of `both` that must not be written: the base stays, so that it is decided again until someone else does
/// it. One without a write, such as to adopt equal values, is taken as it is.
fn observed(decision: Decision, base: Option<&Base>) -> Decision {
    if decision.action.side().is_none() {
        return decision;
    }
    Decision { would: Some(decision.action), ..held(decision.rule, base, Reason::Observe) }
}

/// One member while it is decided; both sides were read, absent is none.
struct Member<'a> {
    ctx: &'a Context<'a>,
    base: Option<&'a Base>,
    m: Option<&'a str>,
    s: Option<&'a str>,
}

impl Member<'_> {
    fn by_row(&self) -> Decision {
        let Some(base) = self.base else { return self.without_base() };
        match (&base.marketo, &base.salesforce) {
            (None, _) => self.apart_without(Side::Marketo, Rule::Row16, Rule::Row17),
            (_, None) => self.apart_without(Side::Salesforce, Rule::Row18, Rule::Row19),
            _ => self.with_base(),
        }
    }

    /// Rows 1 to 5.
    fn without_base(&self) -> Decision {
        match (self.m, self.s) {
            (None, None) => close(Rule::Row1),
            (Some(_), None) => self.create(Rule::Row2, Side::Salesforce),
            (None, Some(_)) => self.create(Rule::Row3, Side::Marketo),
            _ if self.is_same() => self.adopt(Rule::Row4),
            _ => self.conflict(Rule::Row5),
        }
    }

    /// Rows 6 to 15.
    fn with_base(&self) -> Decision {
        let changed = (self.has_changed(Side::Marketo), self.has_changed(Side::Salesforce));
        match (self.m, self.s) {
            (None, None) => close(Rule::Row13),
            (None, Some(_)) if changed.1 => self.forward(Rule::Row14, Side::Marketo),
            (None, Some(_)) => self.remove(Rule::Row11, Side::Salesforce),
            (Some(_), None) if changed.0 => self.forward(Rule::Row15, Side::Salesforce),
            (Some(_), None) => self.remove(Rule::Row12, Side::Marketo),
            (Some(_), Some(_)) => match changed {
                (false, false) => self.adopt(Rule::Row6),
                (true, false) if self.is_same() => self.adopt(Rule::Row7),
                (true, false) => self.forward(Rule::Row7, Side::Salesforce),
                (false, true) if self.is_same() => self.adopt(Rule::Row8),
                (false, true) => self.forward(Rule::Row8, Side::Marketo),
                (true, true) if self.is_same() => self.adopt(Rule::Row9),
                (true, true) => self.conflict(Rule::Row10),
            },
        }
    }

    /// Rows 16 to 19: the two are kept apart, `side` is the one that it was removed from.
    fn apart_without(&self, side: Side, still: Rule, joined: Rule) -> Decision {
        match (self.value(side), self.value(side.other())) {
            (None, None) => close(still),
            (None, Some(_)) => Decision { next_base: self.as_is(), ..self.hold(still, Reason::KeptApart) },
            (Some(_), Some(_)) if self.is_same() => self.adopt(joined),
            (Some(_), Some(_)) => self.conflict(joined),
            // Added here and removed there since: no row of its own; as in rows 14 and 15 the change wins.
            (Some(_), None) if side == Side::Marketo => self.forward(Rule::Row15, Side::Salesforce),
            (Some(_), None) => self.forward(Rule::Row14, Side::Marketo),
        }
    }

    /// Rows 2 and 3: the only place where the gate is asked, since a counterpart would come from nothing. What has no
    /// translation is parked before the gate is asked, and a member only of the target of a one-way mapping is told so
    /// before either.
    fn create(&self, rule: Rule, to: Side) -> Decision {
        let program_status = self.m.or_else(|| self.translated(Side::Marketo));
        let decision = self.forward(rule, to);
        let gated = program_status.is_some_and(|status| !self.ctx.policies.lets_through(status));
        if gated && decision.action.side().is_some() { self.hold(rule, Reason::BelowGate) } else { decision }
    }

    /// Writes the status of the other side to `to`: rows 2, 3, 7, 8, 14, 15, and the winner of a conflict.
    fn forward(&self, rule: Rule, to: Side) -> Decision {
        if self.is_source(to) {
            return self.hold(rule, Reason::OneWay);
        }
        let Some(status) = self.translated(to) else { return self.hold(rule, Reason::IncompatibleStatus) };
        let written = status.to_owned();
        let action = match (to, self.value(to)) {
            (Side::Salesforce, None) => Action::AddToSalesforce(written),
            (Side::Salesforce, Some(_)) => Action::ChangeInSalesforce(written),
            (Side::Marketo, None) => Action::AddToMarketo(written),
            (Side::Marketo, Some(now)) if self.is_lower(to, now) => {
                return self.regression(rule.regression());
            }
            (Side::Marketo, Some(_)) => Action::ChangeInMarketo(written),
        };
        settled(rule, action, self.agreed(to, status))
    }

    /// R: Salesforce is at a lower step. Where Salesforce is the source it cannot be set back, so `revert` holds there.
    fn regression(&self, rule: Rule) -> Decision {
        match self.ctx.policies.regression {
            Regression::Revert if !self.is_source(Side::Salesforce) => self.forward(rule, Side::Salesforce),
            Regression::Hold | Regression::Revert => self.hold(rule, Reason::Regression),
            Regression::Readd => self.readd(rule),
        }
    }

    /// Removes from Marketo and adds again with what Salesforce says.
    fn readd(&self, rule: Rule) -> Decision {
        let Some(lower) = self.translated(Side::Marketo) else { return self.hold(rule, Reason::IncompatibleStatus) };
        settled(rule, Action::ReaddToMarketo(lower.to_owned()), self.agreed(Side::Marketo, lower))
    }

    /// Whether what would be written is a lower step than what is there, which Marketo refuses.
    fn is_lower(&self, to: Side, now: &str) -> bool {
        let step = |status| self.ctx.steps.of(status);
        to == Side::Marketo && self.translated(to).is_some_and(|status| step(status) < step(now))
    }

    /// C. One-way there is no conflict: a change of the source travels (rows 5, 10, and of 17 and 19 those where the
    /// source is what changed), otherwise only the target moved, and it is never forced back.
    fn conflict(&self, rule: Rule) -> Decision {
        let winner = match (self.source(), self.ctx.policies.conflict) {
            (Some(source), _) if self.has_changed(source) => return self.forward(rule, source.other()),
            (Some(_), _) => return self.hold(rule, Reason::OneWay),
            (None, _) if self.ctx.after_merge => return self.forward(Rule::P3, self.furthest().other()),
            (None, Conflict::Hold) => return self.hold(rule.conflict(), Reason::ConflictHold),
            (None, Conflict::MarketoWins) => Side::Marketo,
            (None, Conflict::SalesforceWins) => Side::Salesforce,
            (None, Conflict::FurthestProgress) => self.furthest(),
        };
        self.forward(rule.conflict(), winner.other())
    }

    /// The side with the higher step; a tie goes to Marketo. What has no translation or no step is below all others.
    fn furthest(&self) -> Side {
        let step = |status: Option<&str>| status.and_then(|status| self.ctx.steps.of(status));
        if step(self.translated(Side::Marketo)) > step(self.m) { Side::Salesforce } else { Side::Marketo }
    }

    /// Rows 11 and 12, and P4. One-way a removal from the target is not forced back, nor does it reach the source.
    fn remove(&self, rule: Rule, from: Side) -> Decision {
        if self.is_source(from) {
            return self.hold(rule, Reason::OneWay);
        }
        match (self.ctx.policies.removal, from) {
            (Removal::Keep, _) => Decision { next_base: self.as_is(), ..self.hold(rule, Reason::KeptApart) },
            (Removal::Propagate, Side::Salesforce) => settled(rule, Action::RemoveFromSalesforce, None),
            (Removal::Propagate, Side::Marketo) => settled(rule, Action::RemoveFromMarketo, None),
        }
    }

    /// Both are the same as they are, and become the base.
    fn adopt(&self, rule: Rule) -> Decision {
        settled(rule, Action::Nothing, self.as_is())
    }

    fn hold(&self, rule: Rule, reason: Reason) -> Decision {
        held(rule, self.base, reason)
    }

    fn value(&self, side: Side) -> Option<&str> {
        match side {
            Side::Marketo => self.m,
            Side::Salesforce => self.s,
        }
    }

    /// What the status of the other side is called on `to`.
    fn translated(&self, to: Side) -> Option<&str> {
        match to {
            Side::Salesforce => self.m.and_then(|m| self.ctx.map.to_salesforce(m)),
            Side::Marketo => self.s.and_then(|s| self.ctx.map.to_marketo(s)),
        }
    }

    fn is_same(&self) -> bool {
        self.m.zip(self.s).is_some_and(|(m, s)| self.ctx.map.same(m, s))
    }

    /// Whether a side is not what the base says; without a base everything is new.
    fn has_changed(&self, side: Side) -> bool {
        self.base.is_none_or(|base| {
            let was: &Presence = match side {
                Side::Marketo => &base.marketo,
                Side::Salesforce => &base.salesforce,
            };
            was.as_deref() != self.value(side)
        })
    }

    fn is_apart_without(&self, side: Side) -> bool {
        self.base.is_some_and(|base| match side {
            Side::Marketo => base.marketo.is_none(),
            Side::Salesforce => base.salesforce.is_none(),
        })
    }

    /// The side that changes come from, when they travel one way only.
    fn source(&self) -> Option<Side> {
        match self.ctx.policies.direction {
            Direction::MarketoToSalesforce => Some(Side::Marketo),
            Direction::SalesforceToMarketo => Some(Side::Salesforce),
            Direction::Both | Direction::Observe => None,
        }
    }

    fn is_source(&self, side: Side) -> bool {
        self.source() == Some(side)
    }

    /// The pair as it is.
    fn as_is(&self) -> Option<Base> {
        Some(Base { marketo: self.m.map(str::to_owned), salesforce: self.s.map(str::to_owned) })
    }

    /// The pair once `status` was written to `to`.
    fn agreed(&self, to: Side, status: &str) -> Option<Base> {
        let written = Some(status.to_owned());
        self.as_is().map(|now| match to {
            Side::Marketo => Base { marketo: written, ..now },
            Side::Salesforce => Base { salesforce: written, ..now },
        })
    }
}
