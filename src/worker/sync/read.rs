//! The current truth about the members of a pass, from both vendors.
//!
//! A member is read as absent only when the program and the campaign were read as existing and the person was read as
//! existing on the side where the membership is missing; all in this pass. Merges and conversions are followed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::{Fate, Item, Pass};
use crate::connector::{CampaignMember, ConnectorError, Vendor};
use crate::domain::ids::{MarketoId, MemberType, ProgramId, SalesforceId};
use crate::domain::merge::{Reading, Reason};
use crate::domain::person::{Followed, follow};
use crate::store::people::Half;
use crate::store::record::VendorError;
use crate::worker::{PassError, Worker};

impl Worker {
    /// Reads both sides of every member that is on its way.
    pub(in crate::worker) async fn read(&self, pass: &mut Pass) -> Result<(), PassError> {
        self.read_campaigns(pass).await;
        let all = pass.open();
        self.read_salesforce(pass, &all).await?;
        self.read_marketo(pass, &all).await?;
        Ok(())
    }

    /// Campaigns with their statuses: whether they exist, and what may be written.
    async fn read_campaigns(&self, pass: &mut Pass) {
        let lanes: BTreeSet<String> = pass.open().iter().map(|n| pass.items[*n].member.campaign_id.clone()).collect();
        let ids: Vec<SalesforceId> = lanes.iter().filter_map(|lane| lane.parse().ok()).collect();
        if ids.is_empty() {
            return;
        }
        match self.salesforce.campaigns(&ids).await {
            Ok(campaigns) => {
                pass.campaigns.extend(campaigns.into_iter().map(|c| (c.id.to_string(), c)));
                if let Some(dry) = &pass.dry {
                    dry.complete(&mut pass.campaigns);
                }
                pass.stale.extend(lanes.iter().filter(|lane| is_stale(pass, lane)).cloned().collect::<Vec<_>>());
                for lane in lanes {
                    if !pass.campaigns.contains_key(&lane) {
                        fail_lane(pass, &lane, "campaign_gone");
                    }
                }
            }
            Err(error) => fail_items(pass, |_| true, &error),
        }
    }

    async fn read_salesforce(&self, pass: &mut Pass, items: &[usize]) -> Result<(), PassError> {
        let mut left: Vec<usize> = items.iter().copied().filter(|n| pass.items[*n].is_open()).collect();
        // A second round for those who were merged or converted: they are somebody else now.
        for _ in 0..2 {
            left = self.read_salesforce_once(pass, left).await?;
            if left.is_empty() {
                return Ok(());
            }
        }
        for n in left {
            pass.items[n].retry(Reason::Unreadable, None);
        }
        Ok(())
    }

    /// Reads memberships, then the people who have none; those who turned out to be somebody else are to be read again.
    async fn read_salesforce_once(&self, pass: &mut Pass, items: Vec<usize>) -> Result<Vec<usize>, PassError> {
        let mut campaigns = BTreeSet::new();
        let mut people = BTreeSet::new();
        for n in &items {
            let item = &mut pass.items[*n];
            match &item.member.person.salesforce_id {
                Some(id) => {
                    people.insert(id.clone());
                    campaigns.extend(item.member.campaign_id.parse::<SalesforceId>().ok());
                }
                // Nobody there is this person, as far as could be found out: not a member either.
                None => item.salesforce = Reading::Absent,
            }
        }
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let campaigns: Vec<_> = campaigns.into_iter().collect();
        let is_account = |id: &SalesforceId| MemberType::of(id) == Some(MemberType::Account);
        let (accounts, people): (Vec<_>, Vec<_>) = people.into_iter().partition(is_account);
        let (people, accounts) =
            (self.salesforce.members(&campaigns, &people).await, self.salesforce.members(&campaigns, &accounts).await);
        let accounts = accounts.or_else(|error| match error {
            // Which accounts are members is not shown any more: none of them is absent for that.
            ConnectorError::Refused { .. } => {
                for n in
                    items.iter().filter(|n| pass.items[**n].member.person.is_account()).copied().collect::<Vec<_>>()
                {
                    pass.items[n].retry(Reason::Unreadable, None);
                }
                Ok(Vec::new())
            }
            error => Err(error),
        });
        let rows = match people.and_then(|people| Ok([people, accounts?].concat())) {
            Ok(rows) => by_person(rows),
            Err(error) => {
                pass.not_read(&items, &error);
                return Ok(Vec::new());
            }
        };
        if pass.dry.is_none() {
            pass.joined.extend(self.follow_rows(rows.values()).await?);
            pass.moved |= !pass.joined.is_empty();
        }
        let mut again = Vec::new();
        let mut missing = Vec::new();
        for n in items {
            let item = &mut pass.items[n];
            let Some(id) = item.member.person.salesforce_id.clone().filter(|_| item.is_open()) else { continue };
            match rows.get(&(item.member.campaign_id.clone(), id.clone())) {
                // An account is no person who could be gone: it was asked for in a campaign that is there.
                None if item.member.person.is_account() => item.salesforce = Reading::Absent,
                None => missing.push((n, id)),
                Some(row) => match row.person().filter(|person| **person != id).cloned() {
                    // The lead was converted: the row has gained a contact, and the link moves to it.
                    Some(contact) => {
                        if self.move_to(pass, n, Half::Salesforce(contact)).await? {
                            again.push(n);
                        }
                    }
                    None => {
                        item.salesforce = Reading::Status(row.status.clone());
                        item.row = Some(row.clone());
                    }
                },
            }
        }
        again.extend(self.why_not_in_campaign(pass, missing).await?);
        Ok(again)
    }

    async fn why_not_in_campaign(
        &self,
        pass: &mut Pass,
        missing: Vec<(usize, SalesforceId)>,
    ) -> Result<Vec<usize>, PassError> {
        let mut again = Vec::new();
        if missing.is_empty() {
            return Ok(again);
        }
        let people = match self.read_salesforce_people(missing.iter().map(|(_, id)| id.clone()).collect()).await {
            Ok(people) => people,
            Err(error) => {
                pass.not_read(&missing.into_iter().map(|(n, _)| n).collect::<Vec<_>>(), &error);
                return Ok(again);
            }
        };
        for (n, id) in missing {
            match follow(&id, |id| people.get(id).map(|p| &p.1)) {
                Followed::Living(now) if now == id => {
                    pass.items[n].salesforce = Reading::Absent;
                    pass.items[n].salesforce_person = people.get(&id).map(|p| p.0.clone());
                }
                Followed::Living(now) => {
                    let merged = people.get(&id).is_some_and(|p| p.0.master_record_id.is_some());
                    if self.move_along(pass, n, now, &people).await? {
                        pass.items[n].member.after_merge |= merged;
                        again.push(n);
                    }
                }
                Followed::Gone => pass.items[n].salesforce = Reading::Gone,
                // Not among the answers although asked for by name: it was purged.
                Followed::Unread(purged) if purged == id => pass.items[n].salesforce = Reading::Gone,
                // A longer chain than is followed at once, or one whose end was purged.
                Followed::Unread(_) => pass.items[n].retry(Reason::Unreadable, None),
            }
        }
        Ok(again)
    }

    async fn read_marketo(&self, pass: &mut Pass, items: &[usize]) -> Result<(), PassError> {
        let mut programs: BTreeMap<ProgramId, Vec<usize>> = BTreeMap::new();
        for n in items {
            let item = &pass.items[*n];
            // Of a second record it is shown what Marketo says, and a merge there is followed.
            let second = item.fate == Fate::Parked { reason: Reason::SecondRecord, error: None };
            let wanted = (item.is_open() || second) && item.order.is_none();
            if let Some(mapping) = pass.mappings.get(&item.member.campaign_id).filter(|_| wanted) {
                programs.entry(mapping.program_id).or_default().push(*n);
            }
        }
        for (program, mut left) in programs {
            for _ in 0..2 {
                left = self.read_marketo_once(pass, program, left).await?;
                if left.is_empty() {
                    break;
                }
            }
            for n in left {
                pass.items[n].retry(Reason::Unreadable, None);
            }
        }
        Ok(())
    }

    async fn read_marketo_once(
        &self,
        pass: &mut Pass,
        program: ProgramId,
        items: Vec<usize>,
    ) -> Result<Vec<usize>, PassError> {
        let mut ids = Vec::new();
        for n in &items {
            match pass.items[*n].member.person.marketo_id {
                Some(id) => ids.push(id),
                None => pass.items[*n].marketo = Reading::Absent,
            }
        }
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let members: HashMap<MarketoId, String> = match self.marketo.members(program, &ids).await {
            Ok(members) => members.into_iter().map(|m| (m.lead_id, m.status)).collect(),
            Err(error) => {
                let gone = matches!(error, ConnectorError::Refused { .. })
                    && matches!(self.marketo.program(program).await, Ok(None));
                let lane = pass.items[items[0]].member.campaign_id.clone();
                match gone {
                    true => fail_lane(pass, &lane, "program_gone"),
                    false => fail_items(pass, |item| item.member.campaign_id == lane, &error),
                }
                return Ok(Vec::new());
            }
        };
        let mut missing = Vec::new();
        for n in items {
            let item = &mut pass.items[n];
            let Some(id) = item.member.person.marketo_id else { continue };
            match members.get(&id) {
                Some(status) => item.marketo = Reading::Status(status.clone()),
                None => missing.push((n, id)),
            }
        }
        self.why_not_in_program(pass, program, missing).await
    }

    async fn why_not_in_program(
        &self,
        pass: &mut Pass,
        program: ProgramId,
        missing: Vec<(usize, MarketoId)>,
    ) -> Result<Vec<usize>, PassError> {
        let mut again = Vec::new();
        if missing.is_empty() {
            return Ok(again);
        }
        let ids: Vec<MarketoId> = missing.iter().map(|(_, id)| *id).collect();
        let read = async {
            let exists = self.marketo.program(program).await?.is_some();
            Ok::<_, ConnectorError>((exists, self.now_in_marketo(&ids).await?))
        };
        let (exists, now) = match read.await {
            Ok(read) => read,
            Err(error) => {
                pass.not_read(&missing.into_iter().map(|(n, _)| n).collect::<Vec<_>>(), &error);
                return Ok(again);
            }
        };
        if !exists {
            let lane = pass.items[missing[0].0].member.campaign_id.clone();
            fail_lane(pass, &lane, "program_gone");
            return Ok(again);
        }
        for (n, id) in missing {
            match now.get(&id) {
                Some(now) if *now == id => pass.items[n].marketo = Reading::Absent,
                Some(winner) => {
                    if self.move_to(pass, n, Half::Marketo(*winner)).await? {
                        pass.items[n].member.after_merge = true;
                        again.push(n);
                    }
                }
                None => pass.items[n].marketo = Reading::Gone,
            }
        }
        Ok(again)
    }
}

/// Rows under the ids of both their lead and their contact, or of their account.
fn by_person(rows: Vec<CampaignMember>) -> HashMap<(String, SalesforceId), CampaignMember> {
    let mut found = HashMap::new();
    for row in rows.into_iter().filter(|row| !row.is_deleted) {
        for id in [&row.lead_id, &row.contact_id, &row.account_id].into_iter().flatten() {
            let key = (row.campaign_id.to_string(), id.clone());
            // A row that is the contact's own comes before one that was its lead's.
            if row.person() == Some(id) || !found.contains_key(&key) {
                found.insert(key, row.clone());
            }
        }
    }
    found
}

/// Whether a campaign has other statuses than its mapping knows of.
fn is_stale(pass: &Pass, lane: &str) -> bool {
    let known = pass.mappings.get(lane).and_then(|mapping| mapping.found.campaign_statuses.as_ref());
    let Some((known, campaign)) = known.zip(pass.campaigns.get(lane)) else { return false };
    !known.iter().eq(campaign.statuses.iter().map(|status| &status.label))
}

/// Neither side of this lane can be trusted as a whole: no member of it is decided.
fn fail_lane(pass: &mut Pass, lane: &str, reason: &str) {
    pass.failed.insert(lane.to_owned(), reason.to_owned());
    let mapped = pass.mappings.contains_key(lane);
    for item in pass.items.iter_mut().filter(|item| item.member.campaign_id == lane && item.is_open()) {
        item.fate = match mapped {
            true => Fate::Retry {
                reason: Reason::Unreadable,
                after: Some(Duration::from_secs(60)),
                counted: false,
                error: None,
            },
            // There is no mapping that could fail and be resumed: somebody has to say what shall become of it.
            false => {
                let message = "the campaign does not exist any more, or our user may not see it".to_owned();
                let error = VendorError { vendor: Vendor::Salesforce.to_string(), code: reason.to_owned(), message };
                Fate::Parked { reason: Reason::VendorRejected, error: Some(error) }
            }
        };
    }
}

fn fail_items(pass: &mut Pass, which: impl Fn(&Item) -> bool, error: &ConnectorError) {
    pass.unread.get_or_insert_with(|| error.clone());
    pass.items.iter_mut().filter(|item| item.is_open() && which(item)).for_each(|item| item.fail(error));
}
