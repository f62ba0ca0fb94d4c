//! Plans: what a run would do, decided by the same pass and not done.
//!
//! Owns the order of a plan (both sides scanned, then everybody decided) and what a decision is called in it. Works beside
//! the lanes: nothing of a member is recorded, no lane is leased. Applying a plan is a run that first looks whether its rows
//! still hold.

use std::collections::HashMap;

use super::reconcile::PAGE;
use super::scan::{Trouble, circle, showed_nobody};
use super::sync::{Dry, Fate, Item, Pass, made};
use super::{PassError, Priority, Worker};
use crate::connector::Campaign;
use crate::domain::mapping::MappingState;
use crate::domain::merge::{Action, Reading, Side};
use crate::domain::trigger::DetectedBy;
use crate::store::mappings::Mapping;
use crate::store::members::Member;
use crate::store::people::{Half, Person};
use crate::store::plan_rows::{PlanPage, PlanPerson, PlanRow};
use crate::store::plans::{Draft, Plan};
use crate::store::runs::Stage;

/// A page of a plan may wait long for its calls, which go behind all others.
const LEASES: u32 = 10;

impl Worker {
    /// One page of the plan that has waited longest; how many pages that was.
    ///
    /// # Errors
    /// When the database fails; the page is taken up again.
    pub async fn plan(&self) -> Result<usize, PassError> {
        let Some(plan) = self.store.claim_plan(self.settings.lease * LEASES).await? else { return Ok(0) };
        self.prioritised(Priority::Run).plan_page(plan).await?;
        Ok(1)
    }

    async fn plan_page(&self, mut plan: Plan) -> Result<(), PassError> {
        let mut page = PlanPage::default();
        let outcome = match plan.stage {
            Stage::Salesforce => self.plan_salesforce(&mut plan, &mut page).await?,
            Stage::Marketo => self.plan_marketo(&mut plan, &mut page).await?,
            _ => self.plan_decisions(&mut plan, &mut page).await?,
        };
        match outcome {
            Ok(()) => (plan.attempts, plan.message, plan.due_at) = (0, None, self.store.now()),
            Err(trouble) => {
                page = PlanPage::default();
                self.plan_failed(&mut plan, &trouble);
            }
        }
        Ok(self.store.save_plan(&plan, page).await?)
    }

    fn plan_failed(&self, plan: &mut Plan, trouble: &Trouble) {
        plan.attempts += 1;
        plan.message = Some(trouble.to_string());
        if trouble.begins_anew() || trouble.ends_after(plan.attempts) {
            // Whom it has seen would be in the way: a new plan is as good.
            plan.state = "failed".to_owned();
            plan.completed_at = Some(self.store.now());
        }
        plan.due_at = self.store.now() + self.pause_after(plan.attempts);
    }

    async fn plan_salesforce(&self, plan: &mut Plan, page: &mut PlanPage) -> Result<Result<(), Trouble>, PassError> {
        let campaign = plan.draft.mapping.campaign_id.clone();
        let shown = match self.campaign_page(&campaign, plan.cursor.as_deref(), &mut plan.counts).await {
            Ok(shown) => shown,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let rows: Vec<_> = shown.rows.into_iter().filter_map(|row| Some((row.person()?.clone(), row))).collect();
        let halves: Vec<Half> = rows.iter().map(|(id, _)| Half::Salesforce(id.clone())).collect();
        let ids: Vec<_> = rows.iter().map(|(_, row)| row.id.clone()).collect();
        let known = self.known(plan, &halves).await?;
        // A row that is recorded as another person's has changed hands, as by a conversion.
        let of_rows = if ids.is_empty() { Vec::new() } else { self.store.members_by_campaign_member(&ids).await? };
        let of_rows = of_rows.into_iter().filter(|m| m.campaign_id == campaign.as_str());
        let of_rows: HashMap<_, _> = of_rows.filter_map(|m| Some((m.campaign_member_id.clone()?, m))).collect();
        let mut again = 0;
        for (id, row) in &rows {
            let half = Half::Salesforce(id.clone());
            let mut person = match (known.get(&half), of_rows.get(&row.id)) {
                (Some(person), _) => person.clone(),
                (None, Some(member)) => person_of(&member.id, &member.person),
                (None, None) => PlanPerson { id: self.store.new_id(), ..PlanPerson::default() },
            };
            again += usize::from(person.salesforce.is_some());
            person.salesforce_id = Some(id.to_string());
            person.salesforce = Some(row.status.clone());
            person.email = row.email.clone().or(person.email);
            page.people.push(person);
        }
        if !rows.is_empty() && again == rows.len() {
            return Ok(Err(circle(Side::Salesforce)));
        }
        one_each(&mut page.people);
        plan.cursor = shown.next;
        if plan.cursor.is_none() {
            plan.stage = Stage::Marketo;
        }
        Ok(Ok(()))
    }

    async fn plan_marketo(&self, plan: &mut Plan, page: &mut PlanPage) -> Result<Result<(), Trouble>, PassError> {
        let program = plan.draft.mapping.program_id;
        let shown = match self.program_page(program, plan.cursor.as_deref(), &mut plan.counts).await {
            Ok(shown) => shown,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let halves: Vec<Half> = shown.rows.iter().map(|(person, _)| Half::Marketo(person.id)).collect();
        let known = self.known(plan, &halves).await?;
        let mut again = 0;
        for (read, member) in &shown.rows {
            let fresh = || PlanPerson { id: self.store.new_id(), ..PlanPerson::default() };
            let mut person = known.get(&Half::Marketo(read.id)).cloned().unwrap_or_else(fresh);
            again += usize::from(person.marketo.is_some());
            person.marketo_id = Some(read.id);
            person.marketo = Some(member.status.clone());
            person.email = read.email.clone().or(person.email);
            page.people.push(person);
        }
        if !shown.rows.is_empty() && again == shown.rows.len() {
            return Ok(Err(circle(Side::Marketo)));
        }
        one_each(&mut page.people);
        plan.cursor = shown.next;
        if plan.cursor.is_none() {
            plan.stage = Stage::Decide;
            page.unseen_of = plan.mapping_id.is_some().then(|| plan.draft.mapping.campaign_id.to_string());
        }
        Ok(Ok(()))
    }

    /// Whom a plan has seen or the store knows by these halves.
    async fn known(&self, plan: &Plan, halves: &[Half]) -> Result<HashMap<Half, PlanPerson>, PassError> {
        let mut known = HashMap::new();
        let stored = self.store.people(halves).await?;
        let lane = plan.draft.mapping.campaign_id.to_string();
        let pairs: Vec<_> = stored.iter().map(|p| (lane.clone(), p.id.clone())).collect();
        let members = if pairs.is_empty() { Vec::new() } else { self.store.members_of(&pairs).await? };
        let members: HashMap<String, String> = members.into_iter().map(|m| (m.person.id, m.id)).collect();
        for person in stored {
            let id = members.get(&person.id).cloned().unwrap_or_else(|| self.store.new_id());
            insert(&mut known, person_of(&id, &person));
        }
        for person in self.store.plan_people(&plan.id, halves).await? {
            insert(&mut known, person);
        }
        Ok(known)
    }

    async fn plan_decisions(&self, plan: &mut Plan, page: &mut PlanPage) -> Result<Result<(), Trouble>, PassError> {
        let after = plan.cursor.clone().unwrap_or_default();
        let people = self.store.plan_people_page(&plan.id, &after, PAGE).await?;
        let Some(last) = people.last().map(|p| p.id.clone()) else {
            self.forecast(plan).await?;
            return Ok(Ok(()));
        };
        *plan.counts.entry("decided".to_owned()).or_default() += i64::try_from(people.len()).unwrap_or(i64::MAX);
        let mapping = &plan.draft.mapping;
        let mut items = Vec::new();
        for (person, member) in self.members_of_plan(plan.mapping_id.is_some(), mapping, people).await? {
            let same = person.marketo.as_ref().zip(person.salesforce.as_ref());
            let same = same.is_some_and(|(m, s)| mapping.status_map.same(m, s));
            if !same || member.after_merge || member.frozen || member.sent.is_some() {
                items.push(Item::new(member, true));
            }
        }
        let mut pass = dry_pass(&plan.id, &plan.draft, plan.mapping_id.is_some(), items);
        if let Err(trouble) = self.decide_dry(&mut pass, mapping).await? {
            return Ok(Err(trouble));
        }
        let dry = pass.dry.take().unwrap_or_default();
        page.rows = pass.items.iter().filter_map(|item| row_of(item, &dry)).collect();
        page.people = dry.found.values().map(|p| PlanPerson { person_id: None, ..person_of(&p.id, p) }).collect();
        page.absorbed = dry.absorbed.into_iter().collect();
        plan.cursor = Some(last);
        Ok(Ok(()))
    }

    /// The members of people of a plan: as recorded where the mapping exists, else as if nothing was known of them.
    pub(super) async fn members_of_plan(
        &self,
        stored: bool,
        mapping: &Mapping,
        people: Vec<PlanPerson>,
    ) -> Result<Vec<(PlanPerson, Member)>, PassError> {
        let lane = mapping.campaign_id.to_string();
        let known = people.iter().filter_map(|p| Some((lane.clone(), p.person_id.clone()?)));
        let pairs: Vec<_> = if stored { known.collect() } else { Vec::new() };
        let members = if pairs.is_empty() { Vec::new() } else { self.store.members_of(&pairs).await? };
        let mut members: HashMap<String, Member> = members.into_iter().map(|m| (m.person.id.clone(), m)).collect();
        let with = |p: PlanPerson| {
            let found = p.person_id.as_ref().and_then(|id| members.remove(id));
            let person = Person {
                id: p.person_id.clone().unwrap_or_else(|| p.id.clone()),
                marketo_id: p.marketo_id,
                salesforce_id: p.salesforce_id.as_ref().and_then(|id| id.parse().ok()),
                email: p.email.clone(),
            };
            let member = match found {
                Some(member) => Member { id: p.id.clone(), person, ..member },
                None => Member::new(p.id.clone(), lane.clone(), person),
            };
            (p, member)
        };
        Ok(people.into_iter().map(with).collect())
    }

    /// Takes a pass as far as its decisions.
    pub(super) async fn decide_dry(
        &self,
        pass: &mut Pass,
        mapping: &Mapping,
    ) -> Result<Result<(), Trouble>, PassError> {
        if !pass.items.is_empty() {
            self.process(pass).await?;
        }
        if let Some(error) = pass.unread.take() {
            return Ok(Err(error.into()));
        }
        let gone = pass.failed.get(mapping.campaign_id.as_str());
        Ok(gone.map_or(Ok(()), |reason| Err(Trouble::Final(reason.clone()))))
    }

    /// Ends a plan: what its rows come to, and what that costs.
    async fn forecast(&self, plan: &mut Plan) -> Result<(), PassError> {
        let counts = self.store.plan_counts(&plan.id).await?;
        let read = |side: Side| plan.counts.get(&format!("{side}_read")).copied().unwrap_or(0);
        let calls = super::forecast::calls(&counts, read(Side::Marketo), read(Side::Salesforce));
        let paces = [self.marketo.pace(), self.salesforce.pace()];
        (plan.calls_marketo, plan.calls_salesforce) = (calls.marketo, calls.salesforce);
        plan.seconds = super::forecast::seconds([calls.marketo, calls.salesforce], &paces);
        let removals = [Side::Marketo, Side::Salesforce].map(|side| counts.of(side.as_str(), "remove"));
        let removed = removals[0] + removals[1];
        let limits = self.settings.guard;
        let lane = plan.draft.mapping.campaign_id.as_str();
        let since = self.store.now() - limits.window;
        let (done, total) = self.store.removals_and_members(plan.mapping_id.as_deref(), lane, since).await?;
        let empty = limits.percent < 100
            && ((removals[1] > 0 && showed_nobody(&plan.counts, Side::Marketo))
                || (removals[0] > 0 && showed_nobody(&plan.counts, Side::Salesforce)));
        plan.removals_wait = removed > 0 && (empty || limits.trips(done + removed, total + done));
        plan.state = "ready".to_owned();
        plan.completed_at = Some(self.store.now());
        Ok(())
    }
}

/// A pass that changes nothing, over these items; a mapping that is paused is planned as if it were not.
pub(super) fn dry_pass(plan_id: &str, draft: &Draft, stored: bool, items: Vec<Item>) -> Pass {
    let mapping = Mapping { state: MappingState::Active, ..draft.mapping.clone() };
    let lane = mapping.campaign_id.to_string();
    let new_campaign = draft.new_campaign.then(|| Campaign {
        id: mapping.campaign_id.clone(),
        name: mapping.campaign_name.clone(),
        is_active: true,
        campaign_type: None,
        actual_cost: None,
        statuses: draft.new_statuses.iter().map(|label| made(&mapping.campaign_id, label)).collect(),
    });
    let mappings = HashMap::from([(lane, mapping)]);
    let mut pass = Pass::new(items, Vec::new(), Default::default(), &mappings, DetectedBy::Reconciliation);
    let (plan_id, new_statuses) = (plan_id.to_owned(), draft.new_statuses.clone());
    pass.dry = Some(Dry { plan_id, stored, new_statuses, new_campaign, ..Dry::default() });
    pass
}

/// What would be done about a member; none where nothing would.
pub(super) fn row_of(item: &Item, dry: &Dry) -> Option<PlanRow> {
    let held = match &item.fate {
        Fate::Joined { .. } | Fate::Lost => return None,
        Fate::Parked { reason, .. } | Fate::Retry { reason, .. } => Some(*reason),
        Fate::Open => item.decision.as_ref()?.reason,
    };
    let decision = item.decision.as_ref();
    let action = decision.and_then(|d| d.would.as_ref().or(Some(&d.action)));
    let written = action.and_then(Action::side);
    let status = |side: Side| match side {
        Side::Marketo => item.marketo.status().map(str::to_owned),
        Side::Salesforce => item.salesforce.status().map(str::to_owned),
    };
    let absent = |reading: &Reading| !matches!(reading, Reading::Status(_));
    let side = written.unwrap_or(if absent(&item.salesforce) { Side::Salesforce } else { Side::Marketo });
    let name = match (held, action) {
        (Some(_), _) => "hold",
        (None, Some(Action::AddToSalesforce(_) | Action::AddToMarketo(_))) => "add",
        (None, Some(Action::ChangeInSalesforce(_) | Action::ChangeInMarketo(_) | Action::ReaddToMarketo(_))) => {
            "change"
        }
        (None, Some(Action::RemoveFromSalesforce | Action::RemoveFromMarketo)) => "remove",
        (None, _) => return None,
    };
    let person = &item.member.person;
    let rule = decision.map_or("", |d| d.rule.as_str());
    let both = ["5", "10", "17", "19"].contains(&rule.trim_end_matches(['C', 'R']));
    Some(PlanRow {
        id: item.member.id.clone(),
        person_id: item.member.stored.then(|| person.id.clone()),
        marketo_id: person.marketo_id,
        salesforce_id: person.salesforce_id.as_ref().map(ToString::to_string),
        email: person.email.clone(),
        side: side.as_str().to_owned(),
        action: name.to_owned(),
        from_status: status(side),
        to_status: action.and_then(Action::status).map(str::to_owned),
        rule: rule.to_owned(),
        reason: held.map(|reason| reason.to_string()),
        creates: if name == "add" { dry.creates.get(&item.member.id).cloned() } else { None },
        conflict: both && rule.ends_with(['C', 'R']),
        drifted: None,
    })
}

fn person_of(id: &str, person: &Person) -> PlanPerson {
    PlanPerson {
        id: id.to_owned(),
        person_id: Some(person.id.clone()),
        marketo_id: person.marketo_id,
        salesforce_id: person.salesforce_id.as_ref().map(ToString::to_string),
        email: person.email.clone(),
        marketo: None,
        salesforce: None,
    }
}

fn insert(known: &mut HashMap<Half, PlanPerson>, person: PlanPerson) {
    let halves = [
        person.marketo_id.map(Half::Marketo),
        person.salesforce_id.as_ref().and_then(|id| id.parse().ok()).map(Half::Salesforce),
    ];
    known.extend(halves.into_iter().flatten().map(|half| (half, person.clone())));
}

/// One row for each: a lead's and its contact's row are of one member.
fn one_each(people: &mut Vec<PlanPerson>) {
    people.sort_by(|a, b| a.id.cmp(&b.id));
    people.dedup_by(|a, b| a.id == b.id);
}
