//! How rows end, come back, and become others: delete, undelete, purge, merge, lead conversion.
//!
//! Owns the recycle bin and the cascades. Cascades and re-parenting are seen by no trigger, which is Salesforce's rule
//! ("Operations That Don't Invoke Triggers"): only the row that was acted upon gives a `Change`.

use serde_json::json;

use super::cell::Cell;
use super::error::Fault;
use super::ids::Id;
use super::objects::Object;
use super::options::DuplicateRule;
use super::row::Row;
use super::world::{Actor, Change, World};

impl World {
    /// Moves a row and what hangs on it into the recycle bin.
    ///
    /// # Errors
    /// As the REST API answers.
    pub fn delete(&mut self, actor: &Actor, id: Id) -> Result<(), Fault> {
        let row = self.writable(id)?;
        self.grasp(actor, id)?;
        let schema = self.schema(actor.api);
        let table = schema.table(row.object).ok_or_else(Fault::not_found)?;
        if !table.update {
            let message = "insufficient access rights on object id";
            let fault = Fault::new("INSUFFICIENT_ACCESS_OR_READONLY", message).fields(&[]);
            return Err(fault.status(self.options.insufficient_access_status));
        }
        match (row.object, row.id_of("CampaignId")) {
            (Object::CampaignMember, Some(campaign)) => self.hold_campaign(actor, campaign)?,
            (Object::CampaignMemberStatus, _) => self.check_status_delete(&row)?,
            _ => {}
        }
        self.bury(actor, row.clone(), None);
        self.changes.push(Change { operation: "delete", row, before: None, actor: *actor });
        Ok(())
    }

    fn bury(&mut self, actor: &Actor, row: Row, cascade_of: Option<Id>) {
        let id = row.id;
        self.touch(Row { deleted: true, cascade_of, ..row }, actor.user);
        for child in self.cascading(id).into_iter().filter(|c| !c.deleted) {
            self.bury(actor, child, Some(id));
        }
    }

    /// Rows that a delete of this one takes along. A member that became its contact's outlives the converted lead.
    fn cascading(&self, id: Id) -> Vec<Row> {
        let children = Object::of(id).map(Object::children).unwrap_or_default();
        let mut rows = Vec::new();
        for (_, child, field, _) in children.iter().filter(|(.., cascade)| *cascade) {
            let outlives = |r: &&Row| *field == "LeadId" && r.id_of("ContactId").is_some();
            rows.extend(self.find(*child, field, &Cell::Id(id)).filter(|r| !outlives(r)).cloned());
        }
        // UNVERIFIED: as from leads and contacts. Not among the child relationships, which not every organisation has.
        rows.extend(self.find(Object::CampaignMember, "AccountId", &Cell::Id(id)).cloned());
        rows
    }

    /// Takes a row and what fell with it out of the recycle bin.
    ///
    /// # Errors
    /// When it is not there, or another member has taken its place.
    pub fn undelete(&mut self, actor: &Actor, id: Id) -> Result<(), Fault> {
        let row = self.row(id).filter(|r| r.deleted).cloned();
        let row = row.ok_or_else(|| Fault::new("UNDELETE_FAILED", "entity is not in the recycle bin").fields(&[]))?;
        self.atomically(|world| world.revive(actor, row.clone()))?;
        let row = self.writable(id)?;
        self.changes.push(Change { operation: "undelete", row, before: None, actor: *actor });
        Ok(())
    }

    fn revive(&mut self, actor: &Actor, row: Row) -> Result<(), Fault> {
        for column in ["LeadId", "ContactId", "AccountId"] {
            let (campaign, person) = (row.id_of("CampaignId"), row.id_of(column));
            if row.object == Object::CampaignMember
                && let (Some(campaign), Some(person)) = (campaign, person)
            {
                if self.live(campaign).is_none() || self.live(person).is_none() {
                    return Err(Fault::is_deleted());
                }
                if self.member(campaign, column, person).is_some() {
                    return Err(Fault::new("DUPLICATE_VALUE", "Already a campaign member.").fields(&[]));
                }
            }
        }
        let id = row.id;
        self.touch(Row { deleted: false, cascade_of: None, ..row }, actor.user);
        for child in self.cascading(id).into_iter().filter(|c| c.deleted && c.cascade_of == Some(id)) {
            // What has a living twin by now stays in the bin.
            _ = self.revive(actor, child);
        }
        Ok(())
    }

    /// Empties the recycle bin of one row and what fell with it. Nothing tells of it but `getDeleted`.
    ///
    /// # Errors
    /// When the row is not in the recycle bin.
    pub fn purge(&mut self, id: Id) -> Result<(), Fault> {
        if self.row(id).is_none_or(|r| !r.deleted) {
            return Err(Fault::never_existed());
        }
        for child in self.cascading(id).into_iter().filter(|c| c.cascade_of == Some(id)) {
            self.purge(child.id)?;
        }
        self.expunge(id);
        Ok(())
    }

    /// Merges `loser` into `winner`: the loser is deleted, its members change hands.
    ///
    /// # Errors
    /// When they are not two living leads or two living contacts.
    pub fn merge(&mut self, actor: &Actor, winner: Id, loser: Id) -> Result<(), Fault> {
        let (kept, lost) = (self.writable(winner)?, self.writable(loser)?);
        let column: &'static str = match kept.object {
            Object::Lead => "LeadId",
            Object::Contact => "ContactId",
            _ => return Err(Fault::new("INVALID_TYPE", "only leads and contacts can be merged")),
        };
        if lost.object != kept.object || winner == loser {
            return Err(Fault::new("INVALID_TYPE", "records to merge must be of one type"));
        }
        let members: Vec<Row> =
            self.find(Object::CampaignMember, column, &Cell::Id(loser)).filter(|m| !m.deleted).cloned().collect();
        for mut member in members {
            let twin = member.id_of("CampaignId").and_then(|c| self.member(c, column, winner)).cloned();
            if let Some(mut twin) = twin {
                if !self.options.merge_keeps_winner_status {
                    for name in ["Status", "HasResponded", "FirstRespondedDate"] {
                        twin.set(name, member.get(name).clone());
                    }
                    self.reparent(actor, twin);
                }
                self.bury(actor, member, Some(loser));
            } else {
                member.set(column, Cell::Id(winner));
                self.reparent(actor, member);
            }
        }
        let mut lost = lost;
        lost.set("MasterRecordId", Cell::Id(winner));
        self.bury(actor, lost.clone(), None);
        self.touch(kept, actor.user);
        self.changes.push(Change { operation: "delete", row: lost, before: None, actor: *actor });
        Ok(())
    }

    fn reparent(&mut self, actor: &Actor, row: Row) {
        if self.options.reparenting_touches_members {
            self.touch(row, actor.user);
        } else {
            self.put(row);
        }
    }

    /// Converts a lead into `contact`, or into a new contact of a new account. The contact is answered.
    ///
    /// # Errors
    /// When the lead is not a living, unconverted one.
    pub fn convert(&mut self, actor: &Actor, lead: Id, contact: Option<Id>) -> Result<Id, Fault> {
        self.convert_into(actor, lead, contact, None)
    }

    /// The same, into an account that is there.
    ///
    /// # Errors
    /// See `convert`; also when the account is gone, or the contact is of another one.
    pub fn convert_into(
        &mut self,
        actor: &Actor,
        lead: Id,
        contact: Option<Id>,
        account: Option<Id>,
    ) -> Result<Id, Fault> {
        let before = self.writable(lead)?;
        if before.object != Object::Lead || before.get("IsConverted").is_true() {
            return Err(Fault::new("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead").fields(&[]));
        }
        let contact = match contact {
            Some(contact) => {
                let contact = self.writable(contact)?;
                if account.is_some() && contact.id_of("AccountId") != account {
                    let message = "the contact belongs to another account";
                    return Err(Fault::new("INVALID_CROSS_REFERENCE_KEY", message).fields(&["accountId"]));
                }
                contact
            }
            None => {
                let account = account.map(|account| self.writable(account)).transpose()?.map(|row| row.id);
                self.contact_of(actor, &before, account)
            }
        };
        let mut row = before.clone();
        row.set("IsConverted", Cell::Bool(true));
        row.set("Status", Cell::text("Closed - Converted"));
        row.set("ConvertedContactId", Cell::Id(contact.id));
        row.set("ConvertedAccountId", contact.get("AccountId").clone());
        row.set("ConvertedDate", Cell::Date(self.today()));
        let row = self.touch(row, actor.user);
        self.changes.push(Change { operation: "update", row, before: Some(before), actor: *actor });
        self.convert_members(actor, lead, contact.id);
        Ok(contact.id)
    }

    /// The member of a converted lead keeps its id and `LeadId`, and gains `ContactId`.
    fn convert_members(&mut self, actor: &Actor, lead: Id, contact: Id) {
        let members: Vec<Row> =
            self.find(Object::CampaignMember, "LeadId", &Cell::Id(lead)).filter(|m| !m.deleted).cloned().collect();
        for before in members {
            let twin = before.id_of("CampaignId").and_then(|c| self.member(c, "ContactId", contact));
            if twin.is_some() {
                if !self.options.conversion_keeps_both_members {
                    self.bury(actor, before, Some(lead));
                }
                continue;
            }
            let mut row = before.clone();
            row.set("ContactId", Cell::Id(contact));
            self.reparent(actor, row.clone());
            if self.options.conversion_fires_member_trigger {
                self.changes.push(Change { operation: "update", row, before: Some(before), actor: *actor });
            }
        }
    }

    fn contact_of(&mut self, actor: &Actor, lead: &Row, account: Option<Id>) -> Row {
        let time = self.stamp();
        let account = account.unwrap_or_else(|| {
            let mut account = Row::new(self.next_id(Object::Account), Object::Account, time, actor.user);
            account.set("Name", lead.get("Company").clone());
            let id = account.id;
            self.put(account);
            id
        });
        let mut contact = Row::new(self.next_id(Object::Contact), Object::Contact, time, actor.user);
        contact.set("AccountId", Cell::Id(account));
        for name in ["FirstName", "LastName", "Salutation", "Title", "Email", "Phone", "MobilePhone", "OwnerId"] {
            contact.set(name, lead.get(name).clone());
        }
        self.put(contact.clone());
        contact
    }

    /// The standard duplicate rule for leads: the same e-mail as a living lead or contact.
    pub(super) fn check_duplicates(&mut self, actor: &Actor, lead: &Row) -> Result<(), Fault> {
        let matches = |world: &Self, object| {
            let found = world.find(object, "Email", lead.get("Email"));
            found
                .filter(|r| !r.deleted && !r.get("IsConverted").is_true())
                .map(|r| (r.object, r.id))
                .collect::<Vec<_>>()
        };
        let leads = matches(self, Object::Lead);
        let all: Vec<(Object, Id)> = [leads.clone(), matches(self, Object::Contact)].concat();
        let refused = match self.options.duplicate_rule {
            DuplicateRule::Off => false,
            DuplicateRule::Alert => !actor.allow_save,
            DuplicateRule::Block => true,
        };
        if actor.api && refused && !all.is_empty() {
            return Err(duplicates_detected(&all, self.options.duplicate_rule == DuplicateRule::Alert));
        }
        self.counters.misuse.duplicate_leads += u64::from(actor.api && !leads.is_empty());
        Ok(())
    }
}

/// `duplicateResut` is Salesforce's own spelling, in two independent live captures.
fn duplicates_detected(found: &[(Object, Id)], allow_save: bool) -> Fault {
    let of = |object: Object| {
        let records = found.iter().filter(|(o, _)| *o == object).map(|(o, id)| {
            let url = format!("/services/data/v60.0/sobjects/{}/{id}", o.name());
            json!({"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0,
                   "record": {"attributes": {"type": o.name(), "url": url}, "Id": id}})
        });
        let records = records.collect::<Vec<_>>();
        (!records.is_empty()).then(|| {
            json!({"entityType": object.name(), "errors": [], "matchEngine": "FuzzyMatchEngine", "size": records.len(),
                   "matchRecords": records, "rule": format!("Standard_{}_Match_Rule_v1_0", object.name()), "success": true})
        })
    };
    let results: Vec<_> = [of(Object::Lead), of(Object::Contact)].into_iter().flatten().collect();
    let message = "Use one of these records?";
    let mut fault = Fault::new("DUPLICATES_DETECTED", message);
    fault.details.get_or_insert_default().insert(
        "duplicateResut".into(),
        json!({"allowSave": allow_save, "duplicateRule": "Standard_Lead_Duplicate_Rule",
               "duplicateRuleEntityType": "Lead", "errorMessage": message, "matchResults": results}),
    );
    fault
}
