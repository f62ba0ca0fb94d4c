//! Whole reads of both sides, a page at a time, and what makes a page worth believing.
//!
//! Owns what a vendor's listing may not do: promise more and never give it, go in a circle. A scan removes nobody; it says who
//! was shown. Must not decide.

use std::collections::{BTreeMap, HashMap};

use super::listing::{goes_up, print};
use super::reconcile::{add, scan_name, size};
use super::stretch::{Stretches, chosen, salesforce_print};
use super::{PassError, Worker};
use crate::connector::{CampaignMember, ConnectorError, MarketoPerson, Page, ProgramMember};
use crate::domain::ids::{MarketoId, ProgramId, SalesforceId};
use crate::domain::merge::Side;
use crate::domain::trigger::{DetectedBy, Origin, Seen, transition};
use crate::store::StoreError;
use crate::store::listings::Doubted;
use crate::store::mappings::Mapping;
use crate::store::members::Member;
use crate::store::people::{Half, Person};
use crate::store::record::{Batch, Recorded};
use crate::store::runs::{Counts, Run, Stage};

/// Empty pages in a row after which a listing that promises more is not believed.
const EMPTY_PAGES: i64 = 20;

/// Why a whole read does not go on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A call failed.
    Vendor(ConnectorError),
    /// What came cannot be a listing of all members: it is read anew from its beginning.
    Unsound(String),
    /// Nothing helps.
    Final(String),
}

impl From<ConnectorError> for Trouble {
    fn from(error: ConnectorError) -> Self {
        Self::Vendor(error)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vendor(error) => error.fmt(f),
            Self::Unsound(text) | Self::Final(text) => f.write_str(text),
        }
    }
}

impl Trouble {
    /// The listing that a cursor belongs to is gone, or was not one: the stage begins anew.
    pub(super) fn begins_anew(&self) -> bool {
        match self {
            Self::Vendor(ConnectorError::Refused { code, .. }) => code == "INVALID_QUERY_LOCATOR",
            Self::Vendor(_) | Self::Final(_) => false,
            Self::Unsound(_) => true,
        }
    }

    /// Whether this many attempts are enough: what a vendor refuses it will refuse again.
    pub(super) fn ends_after(&self, attempts: i64) -> bool {
        match self {
            Self::Vendor(ConnectorError::Refused { .. }) | Self::Unsound(_) => attempts >= 5,
            Self::Vendor(_) => false,
            Self::Final(_) => true,
        }
    }
}

pub(super) fn circle(side: Side) -> Trouble {
    Trouble::Unsound(format!(
        "the listing of {side} goes in a circle: a page showed only members that an earlier one had shown; nobody was removed, and it is read anew"
    ))
}

/// Counts what a page brought, and refuses one that is empty once too often.
fn counted<T>(counts: &mut Counts, side: Side, page: Page<T>) -> Result<Page<T>, Trouble> {
    // Who cannot be read was shown all the same.
    let shown = page.rows.len() + page.unreadable;
    *counts.entry(format!("{side}_read")).or_default() += size(shown);
    if page.unreadable > 0 {
        *counts.entry(format!("{side}_unreadable")).or_default() += size(page.unreadable);
    }
    if let Some(total) = page.total.and_then(|total| i64::try_from(total).ok()) {
        counts.insert(format!("{side}_expected"), total);
    }
    let empty = format!("{side}_empty_pages");
    if shown > 0 || page.next.is_none() {
        counts.remove(&empty);
        return Ok(page);
    }
    let in_a_row = counts.entry(empty).or_default();
    *in_a_row += 1;
    if *in_a_row < EMPTY_PAGES {
        return Ok(page);
    }
    Err(Trouble::Unsound(format!(
        "{side} gave {EMPTY_PAGES} empty pages in a row and promised more each time; nobody was removed, and the listing is read anew"
    )))
}

/// Whether the listing of a side was read to its end and showed nobody.
pub(super) fn showed_nobody(counts: &Counts, side: Side) -> bool {
    counts.get(&format!("{side}_read")) == Some(&0)
}

/// Whether the listing of a side is compared in the order of its ids. One that had to be begun anew is not taken to have an order: who
/// is shown is marked, and everybody is decided.
pub(super) fn is_ordered(run: &Run, side: Side) -> bool {
    !run.counts.contains_key(&format!("{side}_restarted"))
}

/// A listing that is in no order, or shows somebody again, is read from its beginning with marks.
fn begin_with_marks(run: &mut Run, side: Side) {
    (run.cursor, run.last_shown) = (None, None);
    run.counts.retain(|what, _| !what.starts_with(side.as_str()));
    add(run, &format!("{side}_restarted"), 1);
}

/// Called in sync, and still to be decided.
fn is_unsettled(member: &Member, mapping: &Mapping) -> bool {
    let same = match (&member.marketo, &member.salesforce) {
        (Seen::Status(m), Seen::Status(s)) => mapping.status_map.same(m, s),
        _ => false,
    };
    member.sync_state == "in_sync" && !(same && member.rests())
}

fn wait(member: &mut Member) {
    (member.sync_state, member.reason) = ("pending".to_owned(), Some("waiting".to_owned()));
}

impl Worker {
    /// A page of a campaign's members.
    pub(super) async fn campaign_page(
        &self,
        campaign: &SalesforceId,
        cursor: Option<&str>,
        counts: &mut Counts,
    ) -> Result<Page<CampaignMember>, Trouble> {
        counted(counts, Side::Salesforce, self.salesforce.member_page(campaign, cursor).await?)
    }

    /// A page of a program's members, with the persons. This call is not among those that Marketo limits to 100,000 members:
    /// that limit is of `programs/{id}/members.json` with another filter than `leadId` (Adobe, "Program Members": "Total
    /// membership size exceeds the limit allowed 100,000 for the filter"); `leads/programs/{id}.json` takes no filter, and its
    /// page ("Leads": get leads by program) names none. So no bulk extract is needed above it.
    pub(super) async fn program_page(
        &self,
        program: ProgramId,
        cursor: Option<&str>,
        counts: &mut Counts,
    ) -> Result<Page<(MarketoPerson, ProgramMember)>, Trouble> {
        counted(counts, Side::Marketo, self.marketo.member_page(program, cursor).await?)
    }

    pub(super) async fn scan_salesforce(
        &self,
        run: &mut Run,
        batch: &mut Batch,
        ahead: &mut Stretches,
    ) -> Result<Result<(), Trouble>, PassError> {
        let campaign: SalesforceId =
            run.lane.parse().map_err(|e| StoreError::Corrupt(format!("runs.lane of {}: {e}", run.id)))?;
        let page = match self.campaign_page(&campaign, run.cursor.as_deref(), &mut run.counts).await {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let mut rows: Vec<(SalesforceId, CampaignMember)> =
            page.rows.into_iter().filter_map(|row| Some((row.person()?.clone(), row))).collect();
        let mapping = batch.mappings.get(&run.lane).cloned();
        let mut doubted = Doubted::default();
        if let Some(mapping) = mapping.as_ref().filter(|_| is_ordered(run, Side::Salesforce)) {
            let keys = rows.iter().map(|(_, row)| row.id.as_str());
            if !goes_up(run.last_shown.as_deref().as_ref(), keys) {
                begin_with_marks(run, Side::Salesforce);
                return Ok(Ok(()));
            }
            let last = rows.last().map(|(_, row)| row.id.to_string()).or_else(|| run.last_shown.clone());
            // What is recorded behind the last page is in no page.
            let until = last.as_deref().or(Some("")).filter(|_| page.next.is_some());
            let look;
            (look, doubted.salesforce) = self.beside_campaign(batch, run, mapping, &rows, until, ahead).await?;
            rows = chosen(rows, &look);
            run.last_shown = last;
        }
        self.follow_rows(rows.iter().map(|(_, row)| row)).await?;
        let halves: Vec<Half> = rows.iter().map(|(id, _)| Half::Salesforce(id.clone())).collect();
        let people = self.store.ensure_people(&halves).await?;
        let by_id: HashMap<SalesforceId, Person> =
            people.into_iter().filter_map(|p| Some((p.salesforce_id.clone()?, p))).collect();
        self.keep_new_emails(rows.iter().map(|(id, row)| (by_id.get(id), row.email.as_ref()))).await?;
        let mut members = self.members_of_people(&run.lane, by_id.values()).await?;
        let baseline = batch.leases.iter().any(|lease| lease.baseline);
        let scan = scan_name(run, Side::Salesforce);
        let mut known = 0;
        for (id, row) in &rows {
            let Some(mut member) = by_id.get(id).and_then(|person| members.remove(&person.id)) else { continue };
            let again = member.salesforce_scan.as_ref() == Some(&scan);
            known += usize::from(again && member.campaign_member_id.as_ref() == Some(&row.id));
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
            if member.campaign_member_id.as_ref() != Some(&row.id) {
                // Whoever was recorded under it has it no more.
                doubted.salesforce.push(row.id.clone());
            }
            member.campaign_member_id = Some(row.id.clone());
            member.salesforce_shown = Some(salesforce_print(id, row));
            member.salesforce_modstamp = row.system_modstamp.map(jiff::Timestamp::as_millisecond);
            member.salesforce_scan = Some(scan.clone());
            match &mapping {
                None => (member.sync_state, member.reason) = ("in_sync".to_owned(), None),
                Some(mapping) if changed || is_unsettled(&member, mapping) => wait(&mut member),
                Some(_) => {}
            }
            batch.members.push(Recorded { member, events: event.into_iter().collect(), history: Vec::new() });
        }
        if !is_ordered(run, Side::Salesforce) && !rows.is_empty() && known == rows.len() {
            return Ok(Err(circle(Side::Salesforce)));
        }
        run.doubted.append(doubted);
        run.cursor = page.next;
        if run.cursor.is_none() {
            (run.stage, run.last_shown) = (Stage::Marketo, None);
            batch.baselines.push(run.lane.clone());
        }
        Ok(Ok(()))
    }

    pub(super) async fn scan_marketo(
        &self,
        run: &mut Run,
        mapping: &Mapping,
        batch: &mut Batch,
        ahead: &mut Stretches,
    ) -> Result<Result<(), Trouble>, PassError> {
        let page = match self.program_page(mapping.program_id, run.cursor.as_deref(), &mut run.counts).await {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let mut rows = page.rows;
        let mut doubted = Doubted::default();
        if is_ordered(run, Side::Marketo) {
            let before = run.last_shown.as_ref().and_then(|id| id.parse().ok());
            if !goes_up(before.as_ref(), rows.iter().map(|(person, _)| person.id)) {
                begin_with_marks(run, Side::Marketo);
                return Ok(Ok(()));
            }
            let last = rows.last().map(|(person, _)| person.id).or(before);
            let until = last.or(Some(MarketoId::MIN)).filter(|_| page.next.is_some());
            let look;
            (look, doubted.marketo) = self.beside_program(batch, mapping, &rows, before, until, ahead).await?;
            rows = chosen(rows, &look);
            run.last_shown = last.map(|id| id.to_string());
        }
        let halves: Vec<Half> = rows.iter().map(|(person, _)| Half::Marketo(person.id)).collect();
        let people = self.store.ensure_people(&halves).await?;
        let by_id: HashMap<i64, Person> = people.into_iter().filter_map(|p| Some((p.marketo_id?, p))).collect();
        let emails = rows.iter().map(|(person, _)| (by_id.get(&person.id), person.email.as_ref()));
        self.keep_new_emails(emails).await?;
        let mut members = self.members_of_people(&run.lane, by_id.values()).await?;
        let scan = scan_name(run, Side::Marketo);
        let (shown, mut known) = (rows.len(), 0);
        for (MarketoPerson { id, email, .. }, ProgramMember { status, .. }) in rows {
            let Some(mut member) = by_id.get(&id).and_then(|person| members.remove(&person.id)) else { continue };
            known += usize::from(member.marketo_scan.as_ref() == Some(&scan));
            let now = Seen::Status(status);
            let changed = member.marketo != now;
            member.saw(Side::Marketo, now);
            member.marketo_shown = Some(print([email.as_deref(), None]));
            if changed || is_unsettled(&member, mapping) {
                wait(&mut member);
            }
            member.marketo_scan = Some(scan.clone());
            member.person.email = email.or(member.person.email);
            batch.members.push(Recorded { member, events: Vec::new(), history: Vec::new() });
        }
        if !is_ordered(run, Side::Marketo) && shown > 0 && known == shown {
            return Ok(Err(circle(Side::Marketo)));
        }
        run.doubted.append(doubted);
        run.cursor = page.next;
        if run.cursor.is_none() {
            (run.stage, run.last_shown) = (Stage::Decide, None);
            add(run, "members", self.store.member_total(&run.lane).await?);
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
}
