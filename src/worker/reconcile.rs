//! Whole reads: first sync and reconciliation, a page at a time in the campaign's lane.
//!
//! Both sides are scanned, then every member is decided: those whom both scans showed and who agree on what they showed,
//! by what was shown; everybody else by name, through the pass that live hints take. A scan removes nobody: who was not
//! seen is asked for.

use std::collections::{BTreeMap, HashMap};

use super::refresh::Refreshed;
use super::sync::{Item, Pass};
use super::{PassError, Worker};
use crate::connector::{CampaignMember, ConnectorError, MarketoPerson, ProgramMember};
use crate::domain::ids::SalesforceId;
use crate::domain::merge::{Base, Side};
use crate::domain::retry;
use crate::domain::trigger::{DetectedBy, Origin, Seen, transition};
use crate::store::StoreError;
use crate::store::lanes::{Claim, Lease};
use crate::store::mappings::Mapping;
use crate::store::members::Member;
use crate::store::people::{Half, Person};
use crate::store::record::{Batch, Recorded};
use crate::store::runs::{Run, Stage};

/// Members decided in one step.
const PAGE: i64 = 500;

impl Worker {
    /// One page of a run; live work of the lane comes in between.
    pub(super) async fn work_run(
        &self,
        claim: &Claim,
        mut run: Run,
        mappings: &HashMap<String, Mapping>,
    ) -> Result<(), PassError> {
        let leases: Vec<Lease> = claim.leases.iter().filter(|l| l.lane == run.lane).cloned().collect();
        let mut batch = Batch { leases, mappings: mappings.clone(), ..Batch::default() };
        let mapping = match (mappings.get(&run.lane), &run.mapping_id) {
            (None, Some(_)) => {
                match run.stage {
                    // Its last step, of which the end was not recorded.
                    Stage::Undo => self.end_run(&mut run, "completed", None),
                    _ => self.end_run(&mut run, "failed", Some("the mapping was removed")),
                }
                return self.save(batch, run).await;
            }
            (mapping, Some(_)) => mapping,
            // The first read of a campaign without a mapping has nobody to compare with, also when one has come since.
            (_, None) => None,
        };
        if let Some(mapping) = mapping.filter(|_| run.stage == Stage::Salesforce && run.cursor.is_none()) {
            match self.refresh(mapping).await? {
                Ok(Refreshed::Same) => {}
                // Goes on with the mapping as it is now, from the beginning where that decides anew.
                Ok(Refreshed::Changed) => return self.store.record(batch).await.map(drop).map_err(PassError::from),
                Ok(Refreshed::Gone(reason)) => {
                    self.end_run(&mut run, "failed", Some(reason));
                    return self.save(batch, run).await;
                }
                Err(error) => {
                    self.run_failed(&mut run, &error);
                    return self.save(batch, run).await;
                }
            }
        }
        let outcome = match (run.stage, mapping) {
            (Stage::Salesforce, _) => self.scan_salesforce(&mut run, &mut batch).await?,
            (Stage::Marketo, Some(mapping)) => self.scan_marketo(&mut run, mapping, &mut batch).await?,
            (Stage::Decide, Some(_)) => self.decide_page(&mut run, claim, mappings, &mut batch).await?,
            (Stage::Undo, Some(mapping)) => {
                (run.message, run.due_at) = (None, self.store.now());
                self.undo_page(&mut run, claim, mapping, mappings, &mut batch).await?
            }
            (_, None) => {
                self.end_run(&mut run, "completed", None);
                Ok(())
            }
        };
        match outcome {
            Ok(()) if run.stage == Stage::Undo => run.attempts = 0,
            Ok(()) => {
                (run.attempts, run.message, run.due_at) = (0, None, self.store.now());
            }
            Err(error) => self.run_failed(&mut run, &error),
        }
        self.save(batch, run).await
    }

    async fn save(&self, mut batch: Batch, run: Run) -> Result<(), PassError> {
        batch.runs.push(run);
        self.points.reach(super::points::Point::Unrecorded)?;
        self.store.record(batch).await?;
        Ok(())
    }

    fn run_failed(&self, run: &mut Run, error: &ConnectorError) {
        if matches!(error, ConnectorError::Refused { code, .. } if code == "INVALID_QUERY_LOCATOR") {
            // The listing that the cursor belongs to is gone: this stage begins anew.
            run.cursor = None;
            return;
        }
        run.attempts += 1;
        run.message = Some(error.to_string());
        if matches!(error, ConnectorError::Refused { .. }) && run.attempts >= 5 {
            return self.end_run(run, "failed", Some(&error.to_string()));
        }
        let attempts = u32::try_from(run.attempts).unwrap_or(u32::MAX);
        let pause = retry::backoff(attempts, self.settings.retry_base, self.settings.lease * 2, self.seed());
        run.due_at = self.store.now() + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    }

    pub(super) fn end_run(&self, run: &mut Run, state: &str, message: Option<&str>) {
        run.state = state.to_owned();
        run.message = message.map(str::to_owned);
        run.completed_at = Some(self.store.now());
    }

    async fn scan_salesforce(&self, run: &mut Run, batch: &mut Batch) -> Result<Result<(), ConnectorError>, PassError> {
        let campaign: SalesforceId =
            run.lane.parse().map_err(|e| StoreError::Corrupt(format!("runs.lane of {}: {e}", run.id)))?;
        let page = match self.salesforce.member_page(&campaign, run.cursor.as_deref()).await {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let rows: Vec<(SalesforceId, CampaignMember)> =
            page.rows.into_iter().filter_map(|row| Some((row.person()?.clone(), row))).collect();
        add(run, "salesforce_read", rows.len());
        self.follow_rows(rows.iter().map(|(_, row)| row)).await?;
        let halves: Vec<Half> = rows.iter().map(|(id, _)| Half::Salesforce(id.clone())).collect();
        let people = self.store.ensure_people(&halves).await?;
        let by_id: HashMap<SalesforceId, Person> =
            people.into_iter().filter_map(|p| Some((p.salesforce_id.clone()?, p))).collect();
        self.keep_new_emails(rows.iter().map(|(id, row)| (by_id.get(id), row.email.as_ref()))).await?;
        let mut members = self.members_of_people(&run.lane, by_id.values()).await?;
        let baseline = batch.leases.iter().any(|lease| lease.baseline);
        let watched = !batch.mappings.contains_key(&run.lane);
        let scan = scan_name(run);
        for (id, row) in rows {
            let Some(mut member) = by_id.get(&id).and_then(|person| members.remove(&person.id)) else { continue };
            let seen = match &member.salesforce {
                Seen::Unknown if baseline => Seen::Absent,
                seen => seen.clone(),
            };
            let now = Seen::Status(row.status.clone());
            let ours = row.last_modified_by.is_some() && row.last_modified_by == self.user_id();
            let origin = match (ours, &member.sent) {
                (false, _) => Origin::Salesforce,
                (true, Some(_)) => Origin::Marketo,
                // What the merge writes it announces; a flow action does not.
                (true, None) => Origin::FlowAction,
            };
            let event = transition(&seen, &now).map(|t| (t, DetectedBy::Reconciliation, origin));
            let changed = member.salesforce != now;
            member.saw(Side::Salesforce, now);
            member.campaign_member_id = Some(row.id);
            member.salesforce_modstamp = row.system_modstamp.map(jiff::Timestamp::as_millisecond);
            member.salesforce_scan = Some(scan.clone());
            if watched {
                (member.sync_state, member.reason) = ("in_sync".to_owned(), None);
            } else if changed {
                (member.sync_state, member.reason) = ("pending".to_owned(), Some("waiting".to_owned()));
            }
            batch.members.push(Recorded { member, events: event.into_iter().collect(), history: Vec::new() });
        }
        run.cursor = page.next;
        if run.cursor.is_none() {
            run.stage = Stage::Marketo;
            batch.baselines.push(run.lane.clone());
        }
        Ok(Ok(()))
    }

    async fn scan_marketo(
        &self,
        run: &mut Run,
        mapping: &Mapping,
        batch: &mut Batch,
    ) -> Result<Result<(), ConnectorError>, PassError> {
        let page = match self.marketo.member_page(mapping.program_id, run.cursor.as_deref()).await {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        add(run, "marketo_read", page.rows.len());
        let halves: Vec<Half> = page.rows.iter().map(|(person, _)| Half::Marketo(person.id)).collect();
        let people = self.store.ensure_people(&halves).await?;
        let by_id: HashMap<i64, Person> = people.into_iter().filter_map(|p| Some((p.marketo_id?, p))).collect();
        let emails = page.rows.iter().map(|(person, _)| (by_id.get(&person.id), person.email.as_ref()));
        self.keep_new_emails(emails).await?;
        let mut members = self.members_of_people(&run.lane, by_id.values()).await?;
        let scan = scan_name(run);
        for (MarketoPerson { id, email, .. }, ProgramMember { status, .. }) in page.rows {
            let Some(mut member) = by_id.get(&id).and_then(|person| members.remove(&person.id)) else { continue };
            let now = Seen::Status(status);
            if member.marketo != now {
                (member.sync_state, member.reason) = ("pending".to_owned(), Some("waiting".to_owned()));
            }
            member.saw(Side::Marketo, now);
            member.marketo_scan = Some(scan.clone());
            member.person.email = email.or(member.person.email);
            batch.members.push(Recorded { member, events: Vec::new(), history: Vec::new() });
        }
        run.cursor = page.next;
        if run.cursor.is_none() {
            run.stage = Stage::Decide;
        }
        Ok(Ok(()))
    }

    /// Stores the addresses that a page shows, where they are not what is stored.
    async fn keep_new_emails<'a>(
        &self,
        shown: impl Iterator<Item = (Option<&'a Person>, Option<&'a String>)>,
    ) -> Result<(), PassError> {
        let new = |(person, email): (Option<&Person>, Option<&String>)| {
            let (person, email) = (person?, email?);
            (person.email.as_ref() != Some(email)).then(|| (person.id.clone(), email.clone()))
        };
        let emails: Vec<_> = shown.filter_map(new).collect();
        if !emails.is_empty() {
            self.store.keep_emails(&emails).await?;
        }
        Ok(())
    }

    /// The members of people in a campaign, by person; new ones for those who have none.
    async fn members_of_people(
        &self,
        lane: &str,
        people: impl Iterator<Item = &Person> + Clone,
    ) -> Result<BTreeMap<String, Member>, PassError> {
        let pairs: Vec<_> = people.clone().map(|p| (lane.to_owned(), p.id.clone())).collect();
        let mut members: BTreeMap<String, Member> =
            self.store.members_of(&pairs).await?.into_iter().map(|m| (m.person.id.clone(), m)).collect();
        for person in people {
            let fresh = || Member::new(self.store.new_id(), lane.to_owned(), person.clone());
            members.entry(person.id.clone()).or_insert_with(fresh);
        }
        Ok(members)
    }

    async fn decide_page(
        &self,
        run: &mut Run,
        claim: &Claim,
        mappings: &HashMap<String, Mapping>,
        batch: &mut Batch,
    ) -> Result<Result<(), ConnectorError>, PassError> {
        let after = run.cursor.clone().unwrap_or_default();
        let members = self.store.member_page(&run.lane, &after, PAGE).await?;
        let Some(last) = members.last().map(|m| m.id.clone()) else {
            self.end_run(run, "completed", None);
            return Ok(Ok(()));
        };
        let Some(mapping) = mappings.get(&run.lane) else { return Ok(Ok(())) };
        let scan = scan_name(run);
        add(run, "decided", members.len());
        let (agreed, open): (Vec<_>, Vec<_>) = members.into_iter().partition(|m| agrees(m, &scan, mapping));
        batch.members.extend(agreed.into_iter().map(|member| Recorded {
            member: adopt(member),
            events: Vec::new(),
            history: Vec::new(),
        }));
        let open: Vec<Member> = open.into_iter().filter(|m| !is_closed(m)).collect();
        let baseline = batch.leases.iter().any(|lease| lease.baseline);
        let items = open.into_iter().map(|member| Item::new(member, baseline)).collect();
        let mut pass = Pass::new(items, batch.leases.clone(), claim.deadline, mappings, DetectedBy::Reconciliation);
        if !pass.items.is_empty() {
            self.process(&mut pass).await?;
        }
        self.fail_mappings(&pass).await?;
        if pass.failed.contains_key(&run.lane) {
            batch.members.clear();
            self.end_run(run, "failed", pass.failed.get(&run.lane).map(String::as_str));
            return Ok(Ok(()));
        }
        // What has to be tried again goes on by itself, as a row of the outbox.
        let again: Vec<_> = pass
            .items
            .iter()
            .filter(|item| matches!(item.fate, super::sync::Fate::Retry { .. }))
            .map(|item| self.look_again(&run.lane, item.member.person.id.clone()))
            .collect();
        add(run, "changed", pass.items.iter().filter(|item| item.wrote).count());
        add(run, "retried", again.len());
        let finished = self.finish(&mut pass, &[]);
        batch.members.extend(finished.members);
        batch.work.extend(again);
        batch.work.extend(finished.work);
        batch.work.extend(std::mem::take(&mut pass.stale).into_iter().map(|lane| self.store.read_again(lane)));
        run.cursor = Some(last);
        Ok(Ok(()))
    }
}

fn add(run: &mut Run, what: &str, n: usize) {
    *run.counts.entry(what.to_owned()).or_default() += i64::try_from(n).unwrap_or(i64::MAX);
}

fn scan_name(run: &Run) -> String {
    format!("{}.{}", run.id, run.generation)
}

/// Whether both scans of this run showed the member, with values that mean the same and are no news to its base.
fn agrees(member: &Member, scan: &str, mapping: &Mapping) -> bool {
    let shown = |by: &Option<String>| by.as_deref() == Some(scan);
    match (&member.marketo, &member.salesforce) {
        (Seen::Status(m), Seen::Status(s)) => {
            shown(&member.marketo_scan)
                && shown(&member.salesforce_scan)
                && mapping.status_map.same(m, s)
                && !member.after_merge
                && !member.frozen
                && member.resolution.is_none()
                && member.sent.is_none()
        }
        _ => false,
    }
}

/// Rows 4, 6 and 9 of the merge: both sides say the same.
fn adopt(mut member: Member) -> Member {
    if let (Seen::Status(m), Seen::Status(s)) = (&member.marketo, &member.salesforce) {
        member.base = Some(Base { marketo: Some(m.clone()), salesforce: Some(s.clone()) });
    }
    (member.sync_state, member.reason) = ("in_sync".to_owned(), None);
    member
}

fn is_closed(member: &Member) -> bool {
    member.sync_state == "closed"
        && member.marketo != Seen::Unknown
        && member.salesforce != Seen::Unknown
        && !matches!(member.marketo, Seen::Status(_))
        && !matches!(member.salesforce, Seen::Status(_))
}
