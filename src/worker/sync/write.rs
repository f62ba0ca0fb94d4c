//! Carries out the decisions in full calls: Salesforce 200 records with campaigns mixed, Marketo 300 people of one
//! program and status.
//!
//! What was written to Salesforce is read back, because it turns statuses that it does not like into others without a
//! word. An answer that says "already" is not success: the member is read and decided again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Fate, Pass};
use crate::connector::deadline::before;
use crate::connector::{
    ConnectorError, MARKETO_BATCH, NewMember, Reaction, RecordError, RecordResults, SALESFORCE_BATCH, Vendor,
};
use crate::domain::ids::{MarketoId, ProgramId, SalesforceId};
use crate::domain::merge::{Action, Reason};
use crate::domain::trigger::Seen;
use crate::worker::points::Point;
use crate::worker::{PassError, Worker};

impl Worker {
    /// Writes to both sides, and reads Salesforce back.
    pub(in crate::worker) async fn write(&self, pass: &mut Pass) -> Result<(), PassError> {
        let mut wrote = self.add_to_salesforce(pass).await?;
        wrote.extend(self.change_in_salesforce(pass).await?);
        self.read_back(pass, &wrote).await;
        self.remove_from_salesforce(pass).await?;
        self.write_to_marketo(pass).await
    }

    async fn add_to_salesforce(&self, pass: &mut Pass) -> Result<Vec<usize>, PassError> {
        let items = acting(pass, |action| matches!(action, Action::AddToSalesforce(_)));
        let mut wrote = Vec::new();
        for chunk in items.chunks(SALESFORCE_BATCH) {
            let mut members = Vec::new();
            let mut ready = Vec::new();
            for n in chunk.iter().copied() {
                match new_member(pass, n) {
                    Some(member) => {
                        members.push(member);
                        ready.push(n);
                    }
                    None => pass.items[n].retry(Reason::Waiting, Some(Duration::ZERO)),
                }
            }
            if members.is_empty() {
                continue;
            }
            self.keep_leases(pass).await?;
            let begun = self.store.now();
            let result = before(pass.deadline, self.salesforce.create_members(&members)).await;
            let call = (begun, self.store.now());
            self.points.reach(Point::Written)?;
            for (n, id) in settle(pass, &ready, result, (Vendor::Salesforce, call)) {
                pass.items[n].member.campaign_member_id = Some(id);
                wrote.push(n);
            }
        }
        Ok(wrote)
    }

    async fn change_in_salesforce(&self, pass: &mut Pass) -> Result<Vec<usize>, PassError> {
        let items = acting(pass, |action| matches!(action, Action::ChangeInSalesforce(_)));
        let mut wrote = Vec::new();
        for chunk in items.chunks(SALESFORCE_BATCH) {
            let changes: Vec<_> = chunk
                .iter()
                .filter_map(|n| {
                    let item = &pass.items[*n];
                    let status = item.action()?.status()?;
                    Some((item.row.as_ref()?.id.clone(), status.to_owned()))
                })
                .collect();
            self.keep_leases(pass).await?;
            let begun = self.store.now();
            let result = before(pass.deadline, self.salesforce.update_members(&changes)).await;
            let call = (begun, self.store.now());
            self.points.reach(Point::Written)?;
            wrote.extend(settle(pass, chunk, result, (Vendor::Salesforce, call)).into_iter().map(|(n, ())| n));
        }
        Ok(wrote)
    }

    /// What Salesforce holds now is what is recorded; a status that is not the one written was coerced.
    async fn read_back(&self, pass: &mut Pass, wrote: &[usize]) {
        let id = |pass: &Pass, n: usize| {
            let item = &pass.items[n];
            item.row.as_ref().map(|row| row.id.clone()).or_else(|| item.member.campaign_member_id.clone())
        };
        let ids: Vec<SalesforceId> = wrote.iter().filter_map(|n| id(pass, *n)).collect();
        if ids.is_empty() {
            return;
        }
        let rows = match self.salesforce.members_by_id(&ids).await {
            Ok(rows) => rows.into_iter().map(|row| (row.id.clone(), row)).collect::<BTreeMap<_, _>>(),
            Err(error) => {
                wrote.iter().for_each(|n| pass.items[*n].fail(&error));
                return;
            }
        };
        for n in wrote.iter().copied() {
            let row = id(pass, n).and_then(|id| rows.get(&id)).cloned();
            let item = &mut pass.items[n];
            let wanted = item.action().and_then(Action::status).unwrap_or_default().to_owned();
            match row.filter(|row| !row.is_deleted) {
                Some(row) => {
                    item.written = Seen::Status(row.status.clone());
                    if row.status != wanted {
                        item.park(Reason::IncompatibleStatus);
                    }
                    item.row = Some(row);
                }
                // Removed at this very moment: the next read sees it.
                None => item.retry(Reason::Waiting, Some(Duration::ZERO)),
            }
        }
    }

    async fn remove_from_salesforce(&self, pass: &mut Pass) -> Result<(), PassError> {
        let items = acting(pass, |action| matches!(action, Action::RemoveFromSalesforce));
        for chunk in items.chunks(SALESFORCE_BATCH) {
            let ids: Vec<_> =
                chunk.iter().filter_map(|n| pass.items[*n].row.as_ref().map(|row| row.id.clone())).collect();
            self.keep_leases(pass).await?;
            let begun = self.store.now();
            let result = before(pass.deadline, self.salesforce.delete_members(&ids)).await;
            let call = (begun, self.store.now());
            self.points.reach(Point::Written)?;
            for (n, ()) in settle(pass, chunk, result.map(gone_is_done), (Vendor::Salesforce, call)) {
                pass.items[n].written = Seen::Absent;
            }
        }
        Ok(())
    }

    async fn write_to_marketo(&self, pass: &mut Pass) -> Result<(), PassError> {
        let mut removals: BTreeMap<ProgramId, Vec<usize>> = BTreeMap::new();
        let mut statuses: BTreeMap<(ProgramId, String), Vec<usize>> = BTreeMap::new();
        for n in acting(pass, |action| action.side() == Some(crate::domain::merge::Side::Marketo)) {
            let item = &pass.items[n];
            let (Some(mapping), Some(decision)) = (pass.mappings.get(&item.member.campaign_id), &item.decision) else {
                continue;
            };
            if item.member.person.marketo_id.is_none() {
                pass.items[n].retry(Reason::Waiting, Some(Duration::ZERO));
                continue;
            }
            // A lower step is reached by removing first: Marketo's API cannot lower.
            if matches!(decision.action, Action::RemoveFromMarketo | Action::ReaddToMarketo(_)) {
                removals.entry(mapping.program_id).or_default().push(n);
            }
            if let Some(status) = decision.action.status() {
                statuses.entry((mapping.program_id, status.to_owned())).or_default().push(n);
            }
        }
        for (program, items) in removals {
            for chunk in items.chunks(MARKETO_BATCH) {
                let ids = marketo_ids(pass, chunk);
                self.keep_leases(pass).await?;
                let begun = self.store.now();
                let result = before(pass.deadline, self.marketo.remove_members(program, &ids)).await;
                let call = (begun, self.store.now());
                self.points.reach(Point::Written)?;
                settle(pass, chunk, result.map(gone_is_done), (Vendor::Marketo, call));
            }
        }
        for ((program, status), items) in statuses {
            let open: Vec<_> = items.into_iter().filter(|n| pass.items[*n].is_open()).collect();
            for chunk in open.chunks(MARKETO_BATCH) {
                let ids = marketo_ids(pass, chunk);
                self.keep_leases(pass).await?;
                let begun = self.store.now();
                let result = before(pass.deadline, self.marketo.set_status(program, &status, &ids)).await;
                let call = (begun, self.store.now());
                self.points.reach(Point::Written)?;
                settle(pass, chunk, result, (Vendor::Marketo, call));
            }
        }
        Ok(())
    }
}

fn acting(pass: &Pass, which: impl Fn(&Action) -> bool) -> Vec<usize> {
    let acts = |n: &usize| pass.items[*n].action().is_some_and(&which);
    pass.open().into_iter().filter(acts).collect()
}

fn marketo_ids(pass: &Pass, items: &[usize]) -> Vec<MarketoId> {
    items.iter().filter_map(|n| pass.items[*n].member.person.marketo_id).collect()
}

fn new_member(pass: &Pass, n: usize) -> Option<NewMember> {
    let item = &pass.items[n];
    Some(NewMember {
        campaign_id: item.member.campaign_id.parse().ok()?,
        person_id: item.member.person.salesforce_id.clone()?,
        status: item.action()?.status()?.to_owned(),
    })
}

/// On a removal "not there" is success.
fn gone_is_done(results: RecordResults<()>) -> RecordResults<()> {
    results
        .into_iter()
        .map(|result| result.or_else(|e| if e.reaction == Reaction::Gone { Ok(()) } else { Err(e) }))
        .collect()
}

/// Those that were written; the others' fates are set. `call` is whom it went to, when it began and when it was answered.
fn settle<T>(
    pass: &mut Pass,
    items: &[usize],
    result: Result<RecordResults<T>, ConnectorError>,
    (vendor, (begun, ended)): (Vendor, (i64, i64)),
) -> Vec<(usize, T)> {
    items.iter().for_each(|n| pass.items[*n].called = Some((vendor, begun, ended)));
    let results = match result {
        Ok(results) => results,
        Err(error) => {
            items.iter().for_each(|n| pass.items[*n].fail(&error));
            return Vec::new();
        }
    };
    let mut written = Vec::new();
    for (n, result) in items.iter().copied().zip(results) {
        match result {
            Ok(value) => {
                pass.items[n].wrote = true;
                written.push((n, value));
            }
            Err(error) => not_written(pass, n, vendor, &error),
        }
    }
    written
}

fn not_written(pass: &mut Pass, n: usize, vendor: Vendor, error: &RecordError) {
    let item = &mut pass.items[n];
    match error.reaction {
        Reaction::Retry => item.again(vendor, error),
        Reaction::ReadAgain | Reaction::Gone | Reaction::PersonChanged => {
            item.again(vendor, error);
            if let Fate::Retry { after, .. } = &mut item.fate {
                *after = Some(Duration::from_millis(200));
            }
        }
        Reaction::Duplicates(_) | Reaction::Reject => item.refuse(vendor, error),
    }
}
