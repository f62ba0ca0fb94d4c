//! The org as a person at work sees it: the entry for demos and tests.
//!
//! Owns short forms of what a sales user does by hand; the changes are that user's, not the integration user's.

use serde::Serialize;
use serde_json::{Value, json};

use super::cell::Cell;
use super::error::Fault;
use super::ids::Id;
use super::objects::Object;
use super::row::Row;
use super::rules::Fields;
use super::world::World;

/// A member as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    pub id: Id,
    pub campaign: Id,
    pub lead: Option<Id>,
    pub contact: Option<Id>,
    /// Set where neither of them is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Id>,
    pub email: Option<String>,
    pub status: String,
    pub responded: bool,
}

fn fields(value: Value) -> Fields {
    if let Value::Object(fields) = value { fields } else { Fields::new() }
}

impl World {
    /// A new active campaign of this type, with the statuses `Sent` and `Responded`.
    ///
    /// # Errors
    /// As the REST API answers; so for all methods here.
    pub fn add_campaign(&mut self, name: &str, kind: &str) -> Result<Id, Fault> {
        let fields = fields(json!({"Name": name, "Type": kind, "IsActive": true}));
        self.create(&self.as_person(), Object::Campaign, &fields)
    }

    /// One more status of a campaign.
    ///
    /// # Errors
    /// See `add_campaign`.
    pub fn add_status(&mut self, campaign: Id, label: &str, responded: bool) -> Result<Id, Fault> {
        let fields = fields(json!({"CampaignId": campaign, "Label": label, "HasResponded": responded}));
        self.create(&self.as_person(), Object::CampaignMemberStatus, &fields)
    }

    /// A new lead.
    ///
    /// # Errors
    /// See `add_campaign`.
    pub fn add_lead(&mut self, first: &str, last: &str, email: &str, company: &str) -> Result<Id, Fault> {
        let fields = fields(json!({"FirstName": first, "LastName": last, "Email": email, "Company": company}));
        self.create(&self.as_person(), Object::Lead, &fields)
    }

    /// A new contact without account.
    ///
    /// # Errors
    /// See `add_campaign`.
    pub fn add_contact(&mut self, first: &str, last: &str, email: &str) -> Result<Id, Fault> {
        let fields = fields(json!({"FirstName": first, "LastName": last, "Email": email}));
        self.create(&self.as_person(), Object::Contact, &fields)
    }

    /// A new account.
    ///
    /// # Errors
    /// See `add_campaign`.
    pub fn add_account(&mut self, name: &str) -> Result<Id, Fault> {
        self.create(&self.as_person(), Object::Account, &fields(json!({ "Name": name })))
    }

    /// Adds a lead or contact to a campaign, or an account where those can be members; no status is the default one.
    ///
    /// # Errors
    /// See `add_campaign`.
    pub fn add_member(&mut self, campaign: Id, person: Id, status: Option<&str>) -> Result<Id, Fault> {
        let column = match Object::of(person) {
            Some(Object::Contact) => "ContactId",
            Some(Object::Account) => "AccountId",
            _ => "LeadId",
        };
        let fields = fields(json!({"CampaignId": campaign, column: person, "Status": status}));
        self.create(&self.as_person(), Object::CampaignMember, &fields)
    }

    /// Gives a member another status.
    ///
    /// # Errors
    /// See `add_campaign`.
    pub fn set_member_status(&mut self, member: Id, status: &str) -> Result<(), Fault> {
        self.update(&self.as_person(), member, &fields(json!({"Status": status})))
    }

    /// Removes a member.
    ///
    /// # Errors
    /// See `add_campaign`.
    pub fn delete_member(&mut self, member: Id) -> Result<(), Fault> {
        self.delete(&self.as_person(), member)
    }

    /// Converts a lead into a new contact, which is answered.
    ///
    /// # Errors
    /// See `add_campaign`.
    pub fn convert_lead(&mut self, lead: Id) -> Result<Id, Fault> {
        self.atomically(|world| world.convert(&world.as_person(), lead, None))
    }

    /// Renames a status; its members follow, and no trigger sees it.
    ///
    /// # Errors
    /// See `add_campaign`.
    pub fn rename_status(&mut self, status: Id, label: &str) -> Result<(), Fault> {
        let (actor, mut row) = (self.as_person(), self.writable(status)?);
        let old = row.text_of("Label").to_owned();
        row.set("Label", Cell::text(label));
        let row = self.touch(row, actor.user);
        self.mass_change(&actor, &row, &old, row.get("HasResponded").is_true());
        Ok(())
    }

    /// The living members of a campaign.
    #[must_use]
    pub fn members(&self, campaign: Id) -> Vec<Member> {
        let rows = self.find(Object::CampaignMember, "CampaignId", &Cell::Id(campaign));
        rows.filter(|r| !r.deleted).map(|r| self.as_member(r)).collect()
    }

    fn as_member(&self, row: &Row) -> Member {
        Member {
            id: row.id,
            campaign: row.id_of("CampaignId").unwrap_or(row.id),
            lead: row.id_of("LeadId"),
            contact: row.id_of("ContactId"),
            account: row.id_of("AccountId"),
            email: self.read(row, "Email").as_text().map(str::to_owned),
            status: row.text_of("Status").to_owned(),
            responded: row.get("HasResponded").is_true(),
        }
    }
}
