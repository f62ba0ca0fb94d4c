//! Campaign members and their statuses.
//!
//! Owns uniqueness of a member, the silent coercion of unknown statuses to the default, responses, the constraints of status
//! rows, and the lock on a campaign that its writers share.

use serde_json::Value;

use super::cell::Cell;
use super::error::Fault;
use super::ids::Id;
use super::objects::Object;
use super::row::Row;
use super::rules::Fields;
use super::world::{Actor, World};

impl World {
    /// The live status rows of a campaign by their sort order.
    #[must_use]
    pub fn statuses(&self, campaign: Id) -> Vec<&Row> {
        let all = self.find(Object::CampaignMemberStatus, "CampaignId", &Cell::Id(campaign));
        let mut live: Vec<&Row> = all.filter(|r| !r.deleted).collect();
        live.sort_by_key(|r| (sort_order(r), r.id));
        live
    }

    /// The living member that this person has in the campaign.
    #[must_use]
    pub fn member(&self, campaign: Id, column: &'static str, person: Id) -> Option<&Row> {
        let rows = self.find(Object::CampaignMember, column, &Cell::Id(person));
        rows.into_iter().find(|r| !r.deleted && r.id_of("CampaignId") == Some(campaign))
    }

    /// Rules of a new member.
    pub(super) fn admit_member(&mut self, actor: &Actor, row: &mut Row, fields: &Fields) -> Result<(), Fault> {
        let campaign = row.id_of("CampaignId").ok_or_else(|| Fault::required(&["CampaignId"]))?;
        if row.id_of("ContactId").is_some() {
            // The object reference: of both ids only the contact's is stored.
            row.set("LeadId", Cell::Null);
        }
        let people = (row.id_of("ContactId"), row.id_of("LeadId"));
        if people != (None, None) {
            // Rows of accounts have neither, so that one that has is none.
            row.set("AccountId", Cell::Null);
        }
        let (column, person) = match (people, row.id_of("AccountId")) {
            ((Some(contact), _), _) => ("ContactId", contact),
            ((None, Some(lead)), _) => ("LeadId", lead),
            ((None, None), Some(account)) => ("AccountId", account),
            ((None, None), None) => {
                let code = &self.options.member_without_person_code;
                let message = "Required fields are missing: [LeadId, ContactId]";
                return Err(Fault::new(code, message).fields(&["LeadId", "ContactId"]));
            }
        };
        if self.row(person).is_some_and(|p| p.get("IsConverted").is_true()) {
            let code = &self.options.member_of_converted_lead_code;
            return Err(Fault::new(code, "cannot reference converted lead").fields(&[]));
        }
        if self.member(campaign, column, person).is_some() {
            self.counters.misuse.duplicate_members += u64::from(actor.api);
            return Err(Fault::new("DUPLICATE_VALUE", "Already a campaign member.").fields(&[]));
        }
        self.hold_campaign(actor, campaign)?;
        let omitted = fields.iter().all(|(k, v)| !k.eq_ignore_ascii_case("Status") || *v == Value::Null);
        self.settle_status(actor, row, campaign, omitted);
        Ok(())
    }

    /// Rules of a change to a member.
    pub(super) fn change_member(&mut self, actor: &Actor, row: &mut Row) -> Result<(), Fault> {
        let Some(campaign) = row.id_of("CampaignId") else { return Ok(()) };
        self.hold_campaign(actor, campaign)?;
        let omitted = *row.get("Status") == Cell::Null;
        self.settle_status(actor, row, campaign, omitted);
        Ok(())
    }

    /// An unknown status becomes the default without a word; a campaign without default keeps what was given.
    fn settle_status(&mut self, actor: &Actor, row: &mut Row, campaign: Id, omitted: bool) {
        let given = row.text_of("Status").to_owned();
        let exact = self.options.status_match_is_exact;
        let matches = |s: &&&Row| {
            let label = s.text_of("Label");
            if exact { label == given } else { label.eq_ignore_ascii_case(&given) }
        };
        let statuses = self.statuses(campaign);
        let known = statuses.iter().find(matches);
        let coerced = known.is_none() && !omitted;
        let status = known.or_else(|| statuses.iter().find(|s| s.get("IsDefault").is_true()));
        let (label, responded) = match status {
            Some(status) => (status.get("Label").clone(), status.get("HasResponded").is_true()),
            None => (Cell::text(&given), false),
        };
        self.counters.misuse.coerced_statuses += u64::from(coerced && actor.api);
        row.set("Status", label);
        self.set_responded(row, responded);
        if self.options.member_touches_campaign
            && let Some(campaign) = self.live(campaign).cloned()
        {
            let stamp = self.stamp();
            self.put(Row { stamp, ..campaign });
        }
    }

    /// Derives `HasResponded` and `FirstRespondedDate`.
    pub(super) fn set_responded(&mut self, row: &mut Row, responded: bool) {
        row.set("HasResponded", Cell::Bool(responded));
        let first = row.get("FirstRespondedDate").clone();
        if responded && first == Cell::Null {
            let today = self.today();
            row.set("FirstRespondedDate", Cell::Date(today));
        } else if !responded && self.options.first_responded_resets {
            row.set("FirstRespondedDate", Cell::Null);
        }
    }

    /// Members lock their campaign for its roll-ups; a second writer does not get it.
    pub(super) fn hold_campaign(&mut self, actor: &Actor, campaign: Id) -> Result<(), Fault> {
        if !actor.api {
            return Ok(());
        }
        self.grasp(actor, campaign)?;
        let holder = *self.holds.entry(campaign).or_insert(actor.call);
        if holder == actor.call {
            return Ok(());
        }
        self.counters.misuse.parallel_campaign_writes += 1;
        if !self.options.lock_campaigns {
            return Ok(());
        }
        Err(Fault::locked(campaign))
    }

    /// Refuses the API user a row that the control API has locked, and counts that down.
    pub(super) fn grasp(&mut self, actor: &Actor, id: Id) -> Result<(), Fault> {
        let Some(left) = self.locks.get_mut(&id).filter(|left| actor.api && **left > 0) else { return Ok(()) };
        *left -= 1;
        Err(Fault::locked(id))
    }

    /// Every campaign begins with `Sent` and `Responded`.
    pub(super) fn add_default_statuses(&mut self, actor: &Actor, campaign: Id) {
        for (order, label, responded) in [(1, "Sent", false), (2, "Responded", true)] {
            let (id, time) = (self.next_id(Object::CampaignMemberStatus), self.stamp());
            let mut row = Row::new(id, Object::CampaignMemberStatus, time, actor.user);
            row.set("CampaignId", Cell::Id(campaign));
            row.set("Label", Cell::text(label));
            row.set("SortOrder", Cell::Int(order));
            row.set("HasResponded", Cell::Bool(responded));
            row.set("IsDefault", Cell::Bool(!responded));
            self.put(row);
        }
    }

    /// Rules of a new status row.
    pub(super) fn admit_status(&mut self, actor: &Actor, row: &mut Row) -> Result<(), Fault> {
        let campaign = row.id_of("CampaignId").ok_or_else(|| Fault::required(&["CampaignId"]))?;
        let others: Vec<Row> = self.statuses(campaign).into_iter().cloned().collect();
        if self.options.status_labels_unique && others.iter().any(|o| same_label(o, row.text_of("Label"))) {
            return Err(Fault::new("DUPLICATE_VALUE", "duplicate value found: Label").fields(&["Label"]));
        }
        if *row.get("SortOrder") == Cell::Null {
            row.set("SortOrder", Cell::Int(others.iter().map(sort_order).max().unwrap_or(0) + 1));
        }
        self.check_sort_order(row, &others)?;
        self.move_default(actor, row, &others);
        Ok(())
    }

    /// Rules of a change to a status row.
    pub(super) fn change_status(&mut self, actor: &Actor, before: &Row, row: &mut Row) -> Result<(), Fault> {
        let Some(campaign) = row.id_of("CampaignId") else { return Ok(()) };
        let others: Vec<Row> = self.statuses(campaign).into_iter().filter(|o| o.id != row.id).cloned().collect();
        self.check_sort_order(row, &others)?;
        let was_default = before.get("IsDefault").is_true();
        let responded = row.get("HasResponded").is_true();
        let last_responded = !responded && !others.iter().any(|o| o.get("HasResponded").is_true());
        if (was_default && !row.get("IsDefault").is_true()) || last_responded {
            let message = "A campaign needs one default and at least one responded member status";
            return Err(Fault::new(&self.options.status_integrity_code, message).fields(&["IsDefault", "HasResponded"]));
        }
        self.move_default(actor, row, &others);
        if responded != before.get("HasResponded").is_true() {
            self.mass_change(actor, row, row.text_of("Label"), responded);
        }
        Ok(())
    }

    fn check_sort_order(&self, row: &Row, others: &[Row]) -> Result<(), Fault> {
        if others.iter().any(|o| sort_order(o) == sort_order(row)) {
            return Err(Fault::new("DUPLICATE_VALUE", "duplicate value found: SortOrder").fields(&["SortOrder"]));
        }
        Ok(())
    }

    fn move_default(&mut self, actor: &Actor, row: &Row, others: &[Row]) {
        if !row.get("IsDefault").is_true() {
            return;
        }
        for other in others.iter().filter(|o| o.get("IsDefault").is_true()) {
            let mut other = other.clone();
            other.set("IsDefault", Cell::Bool(false));
            self.touch(other, actor.user);
        }
    }

    /// Members follow their status row; no trigger sees it ("mass campaign status changes").
    pub(super) fn mass_change(&mut self, actor: &Actor, status: &Row, old_label: &str, responded: bool) {
        let campaign = status.get("CampaignId").clone();
        let members = self.find(Object::CampaignMember, "CampaignId", &campaign);
        let members: Vec<Row> = members.filter(|m| !m.deleted && m.text_of("Status") == old_label).cloned().collect();
        for mut member in members {
            member.set("Status", status.get("Label").clone());
            self.set_responded(&mut member, responded);
            self.touch(member, actor.user);
        }
    }

    /// A default or used status cannot be deleted.
    pub(super) fn check_status_delete(&self, row: &Row) -> Result<(), Fault> {
        let members = self.find(Object::CampaignMember, "CampaignId", row.get("CampaignId"));
        let used = members.into_iter().any(|m| !m.deleted && m.get("Status") == row.get("Label"));
        let statuses = row.id_of("CampaignId").map(|c| self.statuses(c)).unwrap_or_default();
        let responded = statuses.iter().any(|s| s.id != row.id && s.get("HasResponded").is_true());
        if used || row.get("IsDefault").is_true() || !responded {
            let message = "A default or used campaign member status cannot be deleted";
            return Err(Fault::new(&self.options.status_delete_code, message).fields(&[]));
        }
        Ok(())
    }
}

fn same_label(row: &Row, label: &str) -> bool {
    row.text_of("Label").eq_ignore_ascii_case(label)
}

fn sort_order(row: &Row) -> i64 {
    if let Cell::Int(order) = row.get("SortOrder") { *order } else { 0 }
}
