//! Values that are read and not stored.
//!
//! Owns the roll-ups of campaigns, the mirror of a member's person, and names put together from their parts.

use super::cell::Cell;
use super::ids::Id;
use super::objects::Object;
use super::options::DuplicateRule;
use super::row::Row;
use super::world::World;

impl World {
    /// The value of a field by its exact API name, stored or derived.
    #[must_use]
    pub fn read(&self, row: &Row, name: &str) -> Cell {
        if let Some(cell) = row.system(name) {
            return cell;
        }
        match row.object {
            Object::Campaign => self.read_campaign(row, name),
            Object::CampaignMember => self.read_member(row, name),
            Object::Lead | Object::Contact | Object::User if name == "Name" => {
                Cell::text(&format!("{} {}", row.text_of("FirstName"), row.text_of("LastName")))
            }
            Object::User if name == "UserPermissionsMarketingUser" => {
                Cell::Bool(row.id != self.api_user || self.options.marketing_user)
            }
            Object::DuplicateRule if name == "IsActive" => {
                Cell::Bool(self.options.duplicate_rule != DuplicateRule::Off)
            }
            _ => row.get(name).clone(),
        }
    }

    fn read_campaign(&self, row: &Row, name: &str) -> Cell {
        let [leads, converted, contacts, responses] = self.tally(row.id);
        match name {
            "NumberOfLeads" => Cell::Int(leads),
            "NumberOfConvertedLeads" => Cell::Int(converted),
            "NumberOfContacts" => Cell::Int(contacts),
            "NumberOfResponses" => Cell::Int(responses),
            "NumberOfOpportunities" | "NumberOfWonOpportunities" => Cell::Int(0),
            "AmountAllOpportunities" | "AmountWonOpportunities" => Cell::Number(0.0),
            _ => row.get(name).clone(),
        }
    }

    fn read_member(&self, row: &Row, name: &str) -> Cell {
        let stored = ["CampaignId", "LeadId", "ContactId", "AccountId", "Status", "HasResponded", "FirstRespondedDate"];
        if stored.contains(&name) {
            return row.get(name).clone();
        }
        let Some(person) = self.person_of(row).and_then(|id| self.row(id)) else { return Cell::Null };
        match name {
            "Type" => Cell::text(person.object.name()),
            "LeadOrContactId" | "LeadOrContactOwnerId" if person.object == Object::Account => Cell::Null,
            "LeadOrContactId" => Cell::text(&person.id.to_string()),
            "LeadOrContactOwnerId" => person.get("OwnerId").clone(),
            "CompanyOrAccount" if person.object == Object::Account => person.get("Name").clone(),
            "CompanyOrAccount" => match person.id_of("AccountId").and_then(|id| self.row(id)) {
                Some(account) => account.get("Name").clone(),
                None => person.get("Company").clone(),
            },
            name => self.read(person, name),
        }
    }

    /// Whom a member stands for: the contact when there is one; an account where there is no person.
    #[must_use]
    pub fn person_of(&self, member: &Row) -> Option<Id> {
        let (lead, contact) = (member.id_of("LeadId"), member.id_of("ContactId"));
        let person = if self.options.conversion_flips_type { contact.or(lead) } else { lead.or(contact) };
        person.or_else(|| member.id_of("AccountId"))
    }
}
