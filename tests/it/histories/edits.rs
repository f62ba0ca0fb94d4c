//! What people do to people: convert, merge and delete them, and edit a member just before our write arrives.
//!
//! What each system does with memberships then is the vendors' rule, and most of it goes without a hint for the member.

use campaign_sync::connector::changes::MarketoChange;
use campaign_sync::connector::{NewLead, NewPerson, Reaction, RecordError, Vendor};
use campaign_sync::domain::hint::{Hint, Operation, Source};
use campaign_sync::domain::ids::{MarketoId, SalesforceId};
use campaign_sync::domain::merge::Side;

use super::History;
use super::vendors::refused;
use super::world::{FOREIGN, STATUSES, SalesforcePerson, World, id, step};

impl World {
    /// Converts a lead: its row keeps the lead and gains the contact. No hint for the member.
    pub fn convert(&mut self, lead: &SalesforceId) {
        let contact = id("003", self.fresh());
        let email = self.people_s[lead].email.clone();
        self.people_s.insert(contact.clone(), SalesforcePerson { email, ..SalesforcePerson::default() });
        if let Some(person) = self.people_s.get_mut(lead) {
            person.contact = Some(contact.clone());
        }
        for row in self.members_s.values_mut().filter(|row| row.lead_id.as_ref() == Some(lead)) {
            row.contact_id = Some(contact.clone());
        }
        self.log_departed(lead);
        let hint = Hint::SalesforcePerson {
            person_id: lead.clone(),
            operation: Some(Operation::Update),
            master_id: None,
            converted_contact_id: Some(contact),
        };
        self.hint(Source::Salesforce, hint);
    }

    /// Merges two leads or two contacts: rows go with them, and one of two in a campaign stays.
    pub fn merge_salesforce(&mut self, winner: &SalesforceId, loser: &SalesforceId) {
        if let Some(person) = self.people_s.get_mut(loser) {
            (person.deleted, person.master) = (true, Some(winner.clone()));
        }
        if self.row_of(winner).is_some() {
            self.bury_rows(loser);
        }
        self.log_departed(loser);
        for row in self.members_s.values_mut() {
            for id in [&mut row.lead_id, &mut row.contact_id] {
                if id.as_ref() == Some(loser) {
                    *id = Some(winner.clone());
                }
            }
        }
        let hint = Hint::SalesforcePerson {
            person_id: loser.clone(),
            operation: Some(Operation::Delete),
            master_id: Some(winner.clone()),
            converted_contact_id: None,
        };
        self.hint(Source::Salesforce, hint);
    }

    /// A person is faster than our write to this vendor.
    pub fn meddle(&mut self, vendor: Vendor) {
        let status = STATUSES[self.dice.below(STATUSES.len())].0;
        let (people, living): (Vec<i64>, _) = (self.people_m.keys().copied().collect(), self.living_s());
        match vendor {
            Vendor::Marketo if !people.is_empty() => {
                let person = people[self.dice.below(people.len())];
                self.set_marketo(person, status);
                self.log.push(format!("  marketo {person} := {status} meanwhile"));
            }
            Vendor::Salesforce if !living.is_empty() => {
                let person = living[self.dice.below(living.len())].clone();
                self.set_salesforce(&person, status, false);
                self.log.push(format!("  salesforce {person} := {status} meanwhile"));
            }
            _ => return,
        }
        self.set_by_people.insert(status.to_owned());
        self.tally.edits += 1;
    }

    /// Merges two people in Marketo; the membership further along stays.
    pub fn merge_marketo(&mut self, winner: i64, loser: i64) {
        self.people_m.remove(&loser);
        self.merged_m.insert(loser, winner);
        if let Some(status) = self.members_m.remove(&loser) {
            let further = self.members_m.get(&winner).is_none_or(|now| step(now) < step(&status));
            if further {
                self.members_m.insert(winner, status);
            }
        }
        self.log_marketo(MarketoChange::Merged { winner, losers: vec![loser] });
        self.hint(Source::Marketo, Hint::MarketoPerson { marketo_id: loser });
    }

    pub fn delete_marketo(&mut self, person: i64) {
        self.people_m.remove(&person);
        self.members_m.remove(&person);
        self.log_marketo(MarketoChange::Deleted { person });
        self.hint(Source::Marketo, Hint::MarketoPerson { marketo_id: person });
    }

    fn bury_rows(&mut self, person: &SalesforceId) {
        let rows: Vec<_> = self.members_s.values().filter(|row| row.person() == Some(person)).cloned().collect();
        for row in rows {
            self.members_s.remove(&row.id);
            self.bury(row);
        }
    }

    /// Deletes a lead or contact; its rows go with it, without a word.
    pub fn delete_salesforce(&mut self, person: &SalesforceId) {
        if let Some(person) = self.people_s.get_mut(person) {
            person.deleted = true;
        }
        self.bury_rows(person);
        self.log_departed(person);
        let hint = Hint::SalesforcePerson {
            person_id: person.clone(),
            operation: Some(Operation::Delete),
            master_id: None,
            converted_contact_id: None,
        };
        self.hint(Source::Salesforce, hint);
    }
}

/// Whom we make.
impl World {
    pub fn create_marketo_person(&mut self, new: &NewPerson) -> Result<MarketoId, RecordError> {
        if new.email.is_some() && self.people_m.values().any(|p| p.email == new.email) {
            return Err(refused(Reaction::ReadAgain, "1005"));
        }
        let id = self.people_m.keys().chain(self.merged_m.keys()).max().unwrap() + 1;
        let person = super::world::MarketoPerson { email: new.email.clone(), lead: new.salesforce_id.clone() };
        self.people_m.insert(id, person);
        Ok(id)
    }

    pub fn create_lead(&mut self, new: &NewLead) -> Result<SalesforceId, RecordError> {
        let same = |p: &super::world::SalesforcePerson| {
            p.created_by_us && !p.deleted && p.contact.is_none() && p.name.as_ref() == Some(&new.last_name)
        };
        if self.people_s.values().any(same) {
            self.offences.push(format!("a second lead for {}", new.last_name));
        }
        let id = self.add_lead(new.email.as_deref(), true);
        let person = self.people_s.get_mut(&id).unwrap();
        (person.first_name, person.name) = (new.first_name.clone(), Some(new.last_name.clone()));
        Ok(id)
    }
}

impl History {
    /// Something that a person does, in either system.
    pub fn edit(&mut self) {
        let mut world = self.worlds.get();
        let status = self.dice.pick(&STATUSES).0;
        let people: Vec<i64> = world.people_m.keys().copied().collect();
        let living = world.living_s();
        let rows: Vec<_> = world.members_s.keys().cloned().collect();
        let what = match self.dice.below(22) {
            0..=6 if !people.is_empty() => {
                let person = *self.dice.pick(&people);
                if world.set_marketo(person, status) {
                    world.set_by_people.insert(status.to_owned());
                }
                format!("marketo {person} := {status}")
            }
            7..=12 if !living.is_empty() => {
                let person = self.dice.pick(&living).clone();
                let status = if self.dice.one_in(12) { FOREIGN } else { status };
                world.set_salesforce(&person, status, false);
                world.set_by_people.insert(status.to_owned());
                format!("salesforce {person} := {status}")
            }
            13 | 14 if !people.is_empty() => {
                let person = *self.dice.pick(&people);
                world.removed_by_people |= world.remove_marketo(person);
                format!("marketo {person} removed")
            }
            15 | 16 if !rows.is_empty() => {
                let row = self.dice.pick(&rows).clone();
                world.removed_by_people |= world.remove_salesforce(&row);
                format!("salesforce {row} removed")
            }
            17 if !living.is_empty() => {
                let leads: Vec<_> = living.iter().filter(|id| id.prefix() == "00Q").collect();
                if leads.is_empty() {
                    return;
                }
                let lead = (*self.dice.pick(&leads)).clone();
                world.convert(&lead);
                format!("salesforce {lead} converted")
            }
            18 if people.len() > 3 => {
                let winner = *self.dice.pick(&people);
                let loser = *self.dice.pick(&people);
                if winner == loser {
                    return;
                }
                world.merge_marketo(winner, loser);
                world.removed_by_people = true;
                format!("marketo {loser} merged into {winner}")
            }
            19 if people.len() > 3 => {
                let person = *self.dice.pick(&people);
                world.removed_by_people = true;
                if self.dice.one_in(2) || living.is_empty() {
                    world.delete_marketo(person);
                    format!("marketo {person} deleted")
                } else {
                    let person = self.dice.pick(&living).clone();
                    world.delete_salesforce(&person);
                    format!("salesforce {person} deleted")
                }
            }
            20 | 21 if living.len() > 3 => {
                let winner = self.dice.pick(&living).clone();
                let loser = self.dice.pick(&living).clone();
                if winner == loser || winner.prefix() != loser.prefix() {
                    return;
                }
                world.merge_salesforce(&winner, &loser);
                world.removed_by_people = true;
                format!("salesforce {loser} merged into {winner}")
            }
            _ => return,
        };
        world.tally.edits += 1;
        world.log.push(what);
    }

    /// A person says of some member which side is right.
    pub async fn resolve(&mut self) {
        let members = self.store.member_page(self.mapping.campaign_id.as_str(), "", 1_000).await.unwrap();
        if members.is_empty() {
            return;
        }
        let (member, winner) = (self.dice.pick(&members), *self.dice.pick(Side::ALL));
        // Who agrees, or was joined with another, needs no word.
        if self.store.resolve_member(member, winner, "test").await.is_ok() {
            let mut world = self.worlds.get();
            world.removed_by_people = true;
            world.log.push(format!("{winner} is right about {:?}", member.person));
        }
    }
}
