//! Whole reads: first sync and reconciliation, a page at a time in the campaign's lane.
//!
//! Both sides are scanned, then every member is decided: those whom both scans showed and who agree on what they showed,
//! by what was shown; everybody else by name, through the pass that live hints take. A scan removes nobody: who was not
//! seen is asked for.

use std::collections::HashMap;
use std::time::Duration;

use super::refresh::Refreshed;
use super::scan::{Trouble, is_ordered, showed_nobody};
use super::stretch::Stretches;
use super::sync::{Item, Pass};
use super::{PassError, Worker};
use crate::connector::ConnectorError;
use crate::domain::merge::{Base, Side};
use crate::domain::retry;
use crate::domain::trigger::{DetectedBy, Seen};
use crate::store::lanes::{Claim, Lease};
use crate::store::mappings::Mapping;
use crate::store::members::Member;
use crate::store::record::{Batch, Recorded};
use crate::store::runs::{Run, Stage};

/// Members decided in one step.
pub(super) const PAGE: i64 = 500;
/// Whom pages doubt is kept with the place of the run until there are so many: to put them down costs as much as to compare a page.
const DOUBTED: usize = 200;
/// The longest that one run goes on at a time.
const STINT: Duration = Duration::from_millis(500);
/// How long it goes on without looking whether somebody waits.
const GLANCE: Duration = Duration::from_millis(5);

/// Attempts after which a member that stands alone on its page goes on by itself, and the run without it.
const ALONE: i64 = 10;
/// Members in a row that were refused alone, after which it is not they who are refused.
const REFUSED_IN_A_ROW: i64 = 16;

/// The page that is decided after so many attempts: what one member spoils is read in ever smaller parts, until it stands alone.
fn page_after(attempts: i64) -> i64 {
    let by = u32::try_from(attempts.clamp(0, 8) * 2).unwrap_or(0);
    (PAGE >> by).max(1)
}

/// How far a run goes on at a time.
struct Stint {
    pages: usize,
    until: Duration,
    /// When it looks next whether somebody waits.
    glance: Duration,
    /// What is recorded of the pages to come.
    ahead: Stretches,
}

impl Worker {
    /// Pages of a run, as long as nothing else is due anywhere and nobody wants it to end; mostly one.
    pub(super) async fn work_run(
        &self,
        claim: &mut Claim,
        run: Run,
        mappings: &HashMap<String, Mapping>,
        pages: usize,
    ) -> Result<(), PassError> {
        let now = self.store.clock().monotonic();
        let mut stint = Stint { pages, until: now + STINT, glance: now, ahead: Stretches::default() };
        let mut next = Some(run);
        while let Some(run) = next.take() {
            stint.pages = stint.pages.saturating_sub(1);
            next = self.run_page(claim, run, mappings, &mut stint).await?;
            if next.is_some() {
                self.keep_claim(claim).await?;
            }
        }
        Ok(())
    }

    /// One page of a run; the run where it goes on at once, and its lane is kept for that.
    async fn run_page(
        &self,
        claim: &Claim,
        mut run: Run,
        mappings: &HashMap<String, Mapping>,
        stint: &mut Stint,
    ) -> Result<Option<Run>, PassError> {
        let leases: Vec<Lease> = claim.leases.iter().filter(|l| l.lane == run.lane).cloned().collect();
        let mut batch = Batch { leases, mappings: mappings.clone(), ..Batch::default() };
        let mapping = match (mappings.get(&run.lane), &run.mapping_id) {
            (None, Some(_)) => {
                match run.stage {
                    // Its last step, of which the end was not recorded.
                    Stage::Undo => self.end_run(&mut run, "completed", None),
                    _ => self.end_run(&mut run, "failed", Some("the mapping was removed")),
                }
                return self.end_page(batch, run).await;
            }
            (mapping, Some(_)) => mapping,
            // The first read of a campaign without a mapping has nobody to compare with, also when one has come since.
            (_, None) => None,
        };
        if let Some(mapping) = mapping.filter(|_| run.stage == Stage::Salesforce && run.cursor.is_none()) {
            match self.refresh(mapping).await? {
                Ok(Refreshed::Same) => {}
                // Goes on with the mapping as it is now, from the beginning where that decides anew.
                Ok(Refreshed::Changed) => return self.store.record(batch).await.map(|_| None).map_err(PassError::from),
                Ok(Refreshed::Gone(reason)) => {
                    self.end_run(&mut run, "failed", Some(reason));
                    return self.end_page(batch, run).await;
                }
                Err(error) => {
                    self.run_failed(&mut run, &error.into());
                    return self.end_page(batch, run).await;
                }
            }
        }
        let (stage, apart) = (run.stage, set_apart(&run));
        let outcome = match (stage, mapping) {
            (Stage::Salesforce, _) => self.scan_salesforce(&mut run, &mut batch, &mut stint.ahead).await?,
            (Stage::Marketo, Some(mapping)) => {
                self.scan_marketo(&mut run, mapping, &mut batch, &mut stint.ahead).await?
            }
            (Stage::Decide, Some(_)) => self.decide_page(&mut run, claim, mappings, &mut batch).await?,
            (Stage::Check, Some(mapping)) => self.check_page(&mut run, claim, mapping).await?,
            (Stage::Undo, Some(mapping)) => {
                (run.message, run.due_at) = (None, self.store.now());
                self.undo_page(&mut run, claim, mapping, mappings, &mut batch).await?.map_err(Trouble::from)
            }
            (_, None) => {
                self.end_run(&mut run, "completed", None);
                Ok(())
            }
        };
        let read = outcome.is_ok();
        match outcome {
            Ok(()) if run.stage == Stage::Undo => run.attempts = 0,
            // The next one is looked at alone as well: where all are refused, it is not they.
            Ok(()) if set_apart(&run) > apart => {
                run.attempts += 1;
                run.due_at = self.store.now();
            }
            Ok(()) => {
                (run.attempts, run.message, run.due_at) = (0, None, self.store.now());
            }
            Err(trouble) => {
                batch = Batch { leases: batch.leases, ..Batch::default() };
                self.run_failed(&mut run, &trouble);
            }
        }
        // A listing goes on; what comes after it begins with a lane that is as recorded.
        let listing = read && run.stage == stage && matches!(stage, Stage::Salesforce | Stage::Marketo);
        if !(listing && self.goes_on(&run, stint).await?) {
            return self.end_page(batch, run).await;
        }
        if !batch.members.is_empty() || run.doubted.len() >= DOUBTED {
            put_down(&mut batch, &mut run);
        }
        batch.keep.insert(run.lane.clone());
        batch.runs.push(run.clone());
        if batch.place().is_none() {
            stint.ahead = Stretches::default();
        }
        self.points.reach(super::points::Point::Unrecorded)?;
        let held = self.store.record(batch).await?;
        self.points.reach(super::points::Point::Recorded)?;
        Ok(Some(run).filter(|_| !held.is_empty()))
    }

    /// Whether a run keeps its lane for another page.
    async fn goes_on(&self, run: &Run, stint: &mut Stint) -> Result<bool, PassError> {
        let now = self.store.clock().monotonic();
        if stint.pages == 0 || now >= stint.until {
            return Ok(false);
        }
        if now < stint.glance {
            return Ok(true);
        }
        stint.glance = now + GLANCE;
        Ok(self.store.nothing_but(run).await?)
    }

    /// The end of a turn: the lane is given back.
    async fn end_page(&self, mut batch: Batch, mut run: Run) -> Result<Option<Run>, PassError> {
        put_down(&mut batch, &mut run);
        batch.runs.push(run);
        self.points.reach(super::points::Point::Unrecorded)?;
        self.store.record(batch).await?;
        Ok(None)
    }

    /// A run whose page could not be read waits and reads it again; whatever happens, nobody is removed for it.
    fn run_failed(&self, run: &mut Run, trouble: &Trouble) {
        run.attempts += 1;
        run.message = Some(trouble.to_string());
        if trouble.begins_anew() {
            let side = if run.stage == Stage::Marketo { Side::Marketo } else { Side::Salesforce };
            (run.cursor, run.last_shown) = (None, None);
            run.counts.retain(|what, _| !what.starts_with(side.as_str()) || what.ends_with("_restarted"));
            add(run, &format!("{side}_restarted"), 1);
        }
        let refused = matches!(trouble, Trouble::Vendor(error) if error.may_blame_a_record());
        if refused && run.stage == Stage::Decide && page_after(run.attempts - 1) > 1 {
            // Nothing has to pass before a smaller page is read.
            run.due_at = self.store.now();
            return;
        }
        if trouble.ends_after(run.attempts) {
            return self.end_run(run, "failed", Some(&trouble.to_string()));
        }
        run.due_at = self.store.now() + self.pause_after(run.attempts);
    }

    /// How long a whole read waits after so many attempts, in milliseconds.
    pub(super) fn pause_after(&self, attempts: i64) -> i64 {
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        let pause = retry::backoff(attempts, self.settings.retry_base, self.settings.lease * 2, self.seed());
        i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)
    }

    pub(super) fn end_run(&self, run: &mut Run, state: &str, message: Option<&str>) {
        run.state = state.to_owned();
        run.message = message.map(str::to_owned);
        run.completed_at = Some(self.store.now());
    }

    async fn decide_page(
        &self,
        run: &mut Run,
        claim: &Claim,
        mappings: &HashMap<String, Mapping>,
        batch: &mut Batch,
    ) -> Result<Result<(), Trouble>, PassError> {
        let after = run.cursor.clone().unwrap_or_default();
        let ordered = Side::ALL.iter().all(|side| is_ordered(run, *side));
        let members = match ordered {
            true => self.store.open_member_page(&run.lane, &after, page_after(run.attempts)).await?,
            false => self.store.member_page(&run.lane, &after, page_after(run.attempts)).await?,
        };
        if ordered && run.cursor.is_none() {
            // The others were found to agree.
            let open = self.store.open_member_total(&run.lane).await?;
            let total = run.counts.get("members").copied().unwrap_or_default();
            run.counts.insert("decided".to_owned(), (total - open).max(0));
            ["changed", "retried", "held"].into_iter().for_each(|what| add(run, what, 0));
        }
        let Some(last) = members.last().map(|m| m.id.clone()) else {
            self.end_run(run, "completed", None);
            return Ok(Ok(()));
        };
        let Some(mapping) = mappings.get(&run.lane) else { return Ok(Ok(())) };
        let scans = [Side::Marketo, Side::Salesforce].map(|side| scan_name(run, side));
        let decided = size(members.len());
        let (agreed, open): (Vec<_>, Vec<_>) = members.into_iter().partition(|m| agrees(m, &scans, mapping));
        batch.members.extend(agreed.into_iter().map(|member| Recorded {
            member: adopt(member),
            events: Vec::new(),
            history: Vec::new(),
        }));
        let open: Vec<Member> = open.into_iter().filter(|m| !is_closed(m)).collect();
        let baseline = batch.leases.iter().any(|lease| lease.baseline);
        let items = open.into_iter().map(|member| Item::new(member, baseline)).collect();
        let mut pass = Pass::new(items, batch.leases.clone(), claim.deadline, mappings, DetectedBy::Reconciliation);
        let nobody = [Side::Marketo, Side::Salesforce].into_iter().filter(|side| showed_nobody(&run.counts, *side));
        pass.empty.extend(nobody);
        if !pass.items.is_empty() {
            self.process(&mut pass).await?;
        }
        if let Some(error) = pass.unread.take() {
            if !stands_alone(run, &pass, &error) {
                return Ok(Err(error.into()));
            }
            run.message = Some(error.to_string());
            add(run, "set_apart", 1);
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
        add(run, "decided", decided);
        add(run, "changed", size(pass.items.iter().filter(|item| item.wrote).count()));
        add(run, "retried", size(again.len()));
        for (side, reason) in pass.items.iter().filter_map(Item::difference) {
            add(run, "held", i64::from(side.is_none()));
            let side = side.map_or("both", Side::as_str);
            *run.differences.entry(side.to_owned()).or_default().entry(reason.to_owned()).or_default() += 1;
        }
        let finished = self.finish(&mut pass, &[]);
        batch.members.extend(finished.members);
        batch.work.extend(again);
        batch.work.extend(finished.work);
        batch.work.extend(std::mem::take(&mut pass.stale).into_iter().map(|lane| self.store.read_again(lane)));
        run.cursor = Some(last);
        Ok(Ok(()))
    }
}

/// Those whom its pages doubt so far are to be decided.
fn put_down(batch: &mut Batch, run: &mut Run) {
    let doubted = std::mem::take(&mut run.doubted);
    if !doubted.is_empty() {
        batch.doubted.push((run.lane.clone(), doubted));
    }
}

/// How many members a run went on without.
fn set_apart(run: &Run) -> i64 {
    run.counts.get("set_apart").copied().unwrap_or_default()
}

/// Whether the one member of a page is left to itself: refused where others were not, or unreadable for longer than a vendor is away.
fn stands_alone(run: &Run, pass: &Pass, error: &ConnectorError) -> bool {
    if pass.items.len() != 1 {
        return false;
    }
    match error {
        error if error.may_blame_a_record() => run.attempts < ALONE + REFUSED_IN_A_ROW,
        ConnectorError::Unavailable { .. } => run.attempts >= ALONE,
        _ => false,
    }
}

pub(super) fn size(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn add(run: &mut Run, what: &str, n: i64) {
    *run.counts.entry(what.to_owned()).or_default() += n;
}

/// The mark of a scan: another one when the run, or the listing of this side, is begun anew.
pub(super) fn scan_name(run: &Run, side: Side) -> String {
    let restarted = run.counts.get(&format!("{side}_restarted")).copied().unwrap_or_default();
    format!("{}.{}.{restarted}", run.id, run.generation)
}

/// Whether both scans of this run showed the member, with values that mean the same and are no news to its base.
fn agrees(member: &Member, [marketo, salesforce]: &[String; 2], mapping: &Mapping) -> bool {
    match (&member.marketo, &member.salesforce) {
        (Seen::Status(m), Seen::Status(s)) => {
            member.marketo_scan.as_ref() == Some(marketo)
                && member.salesforce_scan.as_ref() == Some(salesforce)
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
    member.would = None;
    member
}

fn is_closed(member: &Member) -> bool {
    member.sync_state == "closed"
        && member.marketo != Seen::Unknown
        && member.salesforce != Seen::Unknown
        && !matches!(member.marketo, Seen::Status(_))
        && !matches!(member.salesforce, Seen::Status(_))
}
