//! Taking a mapping back: what this service has added is removed again, as a run in the campaign's lane.
//!
//! Owns whose a member is: removed is who was added by us on a side, and whom nobody has changed there since. Everybody
//! else stays, and is listed with the run. The removals pass the guard, the announcement and the writes of any other.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::sync::{Fate, Item, Pass};
use super::{PassError, Worker};
use crate::connector::ConnectorError;
use crate::domain::merge::{Action, Decision, Reading, Reason, Rule, Side, SyncState};
use crate::domain::trigger::{DetectedBy, Seen};
use crate::store::lanes::Claim;
use crate::store::mappings::Mapping;
use crate::store::members::Member;
use crate::store::record::Batch;
use crate::store::runs::{Kept, Run};

/// Members taken back in one step.
const PAGE: i64 = 500;
/// How often a run looks after removals that wait for approval, were nobody to wake it.
const LOOK: Duration = Duration::from_secs(60);

impl Worker {
    /// One page of an undo; the last one removes the mapping.
    pub(super) async fn undo_page(
        &self,
        run: &mut Run,
        claim: &Claim,
        mapping: &Mapping,
        mappings: &HashMap<String, Mapping>,
        batch: &mut Batch,
    ) -> Result<Result<(), ConnectorError>, PassError> {
        let after = run.cursor.clone().unwrap_or_default();
        let members = self.store.undoable(&run.id, &run.lane, &after, PAGE).await?;
        let Some(last) = members.last().map(|member| member.id.clone()) else {
            self.end_sweep(run, mapping).await?;
            return Ok(Ok(()));
        };
        if after.is_empty() {
            run.counts.extend(["waiting", "retried"].map(|what| (what.to_owned(), 0)));
        }
        let discarded = self.store.discarded_removals(&mapping.id, run.created_at).await?;
        let mut items = Vec::new();
        for member in members {
            match why_kept(&member, &discarded) {
                Some(reason) => keep(run, batch, &member, side_of(&member), reason),
                None => items.push(Item::new(member, true)),
            }
        }
        let mut pass = Pass::new(items, batch.leases.clone(), claim.deadline, mappings, DetectedBy::Reconciliation);
        self.take_back(&mut pass).await?;
        self.fail_mappings(&pass).await?;
        if let Some(reason) = pass.failed.get(&run.lane) {
            self.end_run(run, "failed", Some(reason));
            *batch = Batch { leases: std::mem::take(&mut batch.leases), ..Batch::default() };
            return Ok(Ok(()));
        }
        for item in &pass.items {
            count(run, batch, item);
        }
        let finished = self.finish(&mut pass, &[]);
        batch.members.extend(finished.members);
        run.cursor = Some(last);
        Ok(Ok(()))
    }

    /// Reads who is to be removed, removes who is as we left them.
    async fn take_back(&self, pass: &mut Pass) -> Result<(), PassError> {
        self.read(pass).await?;
        self.drop_joined(pass).await?;
        let us = self.user_id();
        for item in pass.items.iter_mut().filter(|item| item.is_open()) {
            let side = side_of(&item.member);
            let (reading, seen) = match side {
                Side::Salesforce => (&item.salesforce, &item.member.salesforce),
                Side::Marketo => (&item.marketo, &item.member.marketo),
            };
            let untouched = match reading {
                Reading::Status(status) => *seen == Seen::Status(status.clone()),
                // What is not there needs no removal; what could not be read is looked at again.
                _ => continue,
            };
            let by = item.row.as_ref().and_then(|row| row.last_modified_by.as_ref());
            let touched = side == Side::Salesforce && us.is_some() && by != us.as_ref();
            item.decision = (untouched && !touched).then(|| removal(side));
        }
        self.guard_removals(pass).await?;
        self.announce(pass).await?;
        self.write(pass).await
    }

    /// At the end of a sweep nobody is left, or there are some who wait, or who are there on the other side as well.
    async fn end_sweep(&self, run: &mut Run, mapping: &Mapping) -> Result<(), PassError> {
        if run.cursor.take().is_none() {
            self.store.delete_mapping(mapping, "worker", Some(&run.id)).await?;
            self.end_run(run, "completed", None);
            return Ok(());
        }
        let counted = |what: &str| run.counts.get(what).copied().unwrap_or_default();
        let (waiting, retried) = (counted("waiting"), counted("retried"));
        // A guard that was decided since is heeded at once.
        let pause = if waiting > 0 && self.store.has_waiting_guard(&mapping.id).await? {
            run.message = Some(format!("{waiting} removals wait: approve or discard the guard of the mapping"));
            LOOK
        } else if retried > 0 {
            self.settings.retry_base
        } else {
            Duration::ZERO
        };
        run.due_at = self.store.now() + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        Ok(())
    }
}

/// The side to be looked at: Salesforce first, the other one in the next sweep.
fn side_of(member: &Member) -> Side {
    if member.in_salesforce.added { Side::Salesforce } else { Side::Marketo }
}

/// Why a member stays, as far as is known without a read.
fn why_kept(member: &Member, discarded: &BTreeSet<String>) -> Option<&'static str> {
    let provenance = match side_of(member) {
        Side::Salesforce => member.in_salesforce,
        Side::Marketo => member.in_marketo,
    };
    match () {
        () if !provenance.is_ours() => Some("changed_since"),
        () if discarded.contains(&member.id) => Some("removal_discarded"),
        () => None,
    }
}

fn removal(side: Side) -> Decision {
    let action = match side {
        Side::Salesforce => Action::RemoveFromSalesforce,
        Side::Marketo => Action::RemoveFromMarketo,
    };
    Decision { rule: Rule::Undo, action, next_base: None, state: SyncState::InSync, reason: None, would: None }
}

/// Counts what came of one member, and lists it where it stays.
fn count(run: &mut Run, batch: &mut Batch, item: &Item) {
    let side = side_of(&item.member);
    let reading = match side {
        Side::Salesforce => &item.salesforce,
        Side::Marketo => &item.marketo,
    };
    let mut add = |what: &str| *run.counts.entry(what.to_owned()).or_default() += 1;
    match &item.fate {
        Fate::Open if item.wrote => {
            add(if side == Side::Salesforce { "removed_from_salesforce" } else { "removed_from_marketo" })
        }
        Fate::Open if matches!(reading, Reading::Status(_)) => keep(run, batch, &item.member, side, "changed_since"),
        // Somebody else was faster.
        Fate::Open => add("gone"),
        Fate::Parked { reason: Reason::RemovalWaiting, .. } => add("waiting"),
        Fate::Parked { reason, .. } => keep(run, batch, &item.member, side, reason.as_str()),
        // In the next sweep, as who it is by then.
        Fate::Retry { .. } | Fate::Joined { .. } | Fate::Lost => add("retried"),
    }
}

fn keep(run: &mut Run, batch: &mut Batch, member: &Member, side: Side, reason: &str) {
    *run.counts.entry("kept".to_owned()).or_default() += 1;
    batch.kept.push(Kept {
        run_id: run.id.clone(),
        member_id: member.id.clone(),
        side: side.as_str().to_owned(),
        reason: reason.to_owned(),
    });
}
