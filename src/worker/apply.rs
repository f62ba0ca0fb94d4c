//! Applying a plan begins with a look whether its rows still hold.
//!
//! Owns what has drifted. Must not write: what is right by then is done by the run that follows, through its ordinary stages.

use std::collections::HashMap;

use super::plan::{dry_pass, row_of};
use super::reconcile::{PAGE, add, size};
use super::scan::Trouble;
use super::sync::{Dry, Item};
use super::{PassError, Worker};
use crate::domain::merge::{Reading, Side};
use crate::store::lanes::Claim;
use crate::store::mappings::Mapping;
use crate::store::plan_rows::{PlanPerson, PlanRow};
use crate::store::plans::Draft;
use crate::store::runs::{Run, Stage};

impl Worker {
    /// One page of the rows of a plan that is being applied: which of them hold no more.
    pub(super) async fn check_page(
        &self,
        run: &mut Run,
        claim: &Claim,
        mapping: &Mapping,
    ) -> Result<Result<(), Trouble>, PassError> {
        let plan = match &run.plan_id {
            Some(id) => self.store.plan(id).await?,
            None => None,
        };
        let after = run.cursor.clone().unwrap_or_default();
        let rows = match &plan {
            Some(plan) => self.store.plan_rows(&plan.id, false, &after, PAGE).await?,
            None => Vec::new(),
        };
        let (Some(last), Some(plan)) = (rows.last().map(|row| row.id.clone()), plan) else {
            (run.stage, run.cursor) = (Stage::Salesforce, None);
            return Ok(Ok(()));
        };
        let of_row = |row: &PlanRow| PlanPerson {
            id: row.id.clone(),
            person_id: row.person_id.clone(),
            marketo_id: row.marketo_id,
            salesforce_id: row.salesforce_id.clone(),
            email: row.email.clone(),
            ..PlanPerson::default()
        };
        let members = self.members_of_plan(true, mapping, rows.iter().map(of_row).collect()).await?;
        let items = members.into_iter().map(|(_, member)| Item::new(member, true)).collect();
        let draft = Draft { mapping: mapping.clone(), ..plan.draft };
        let mut pass = dry_pass(&plan.id, &draft, true, items);
        pass.deadline = claim.deadline;
        if let Err(trouble) = self.decide_dry(&mut pass, mapping).await? {
            return Ok(Err(trouble));
        }
        let dry = pass.dry.take().unwrap_or_default();
        let now: HashMap<&str, &Item> = pass.items.iter().map(|item| (item.member.id.as_str(), item)).collect();
        let drift = |row: &PlanRow| drift(row, now.get(row.id.as_str()).copied(), &dry);
        let drifted: Vec<_> = rows.iter().filter_map(drift).collect();
        self.store.note_drift(&plan.id, &drifted).await?;
        // Whoever applies it waits for the next stage.
        self.store.plans.notify_waiters();
        add(run, "checked", size(rows.len()));
        run.cursor = Some(last);
        Ok(Ok(()))
    }
}

/// What a row has become, where it holds no more.
fn drift(row: &PlanRow, item: Option<&Item>, dry: &Dry) -> Option<(String, String)> {
    let now = item.and_then(|item| row_of(item, dry));
    let holds = match &now {
        Some(now) => {
            (&now.side, &now.action, &now.from_status, &now.to_status)
                == (&row.side, &row.action, &row.from_status, &row.to_status)
        }
        None => item.is_some_and(|item| is_done(row, item)),
    };
    (!holds).then(|| (row.id.clone(), now.as_ref().map_or_else(|| "nothing".to_owned(), described)))
}

/// Whether somebody, or the live sync, has done what the row says.
fn is_done(row: &PlanRow, item: &Item) -> bool {
    let reading = if row.side == Side::Marketo.as_str() { &item.marketo } else { &item.salesforce };
    match (row.action.as_str(), reading) {
        ("add" | "change", Reading::Status(status)) => row.to_status.as_ref() == Some(status),
        ("remove", Reading::Absent) => true,
        _ => false,
    }
}

fn described(row: &PlanRow) -> String {
    let PlanRow { side, action, to_status, reason, .. } = row;
    let what = to_status.as_ref().or(reason.as_ref()).map(|what| format!(" {what}")).unwrap_or_default();
    format!("{action} {side}{what}")
}
