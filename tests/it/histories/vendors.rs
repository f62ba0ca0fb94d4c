//! The model worlds as the worker sees them: the two vendor traits.

use std::collections::BTreeMap;

use async_trait::async_trait;
use campaign_sync::connector::{
    Campaign, CampaignMember, CampaignMemberStatus, Channel, ConnectorError, ListedCampaign, Marketo, MarketoPerson,
    NewCampaign, NewLead, NewMember, NewPerson, Page, PersonKey, Program, ProgramMember, ProgramStatus, Reaction,
    RecordError, RecordResults, Salesforce, SalesforceIdentity, SalesforcePerson, Vendor,
};
use campaign_sync::domain::ids::{MarketoId, PersonType, ProgramId, SalesforceId};
use campaign_sync::domain::one_way::{CampaignChange, CampaignFields, Costs};
use campaign_sync::domain::provision::{NewStatus, StatusChange};
use jiff::Timestamp;

use super::world::{STATUSES, US, World, Worlds};

const PAGE: usize = 3;

pub fn refused(reaction: Reaction, code: &str) -> RecordError {
    RecordError { reaction, code: code.to_owned(), message: String::new() }
}

pub fn page<T>(rows: Vec<T>, cursor: Option<&str>) -> Page<T> {
    let from: usize = cursor.map_or(0, |c| c.parse().unwrap());
    let total = rows.len();
    let rows: Vec<T> = rows.into_iter().skip(from).take(PAGE).collect();
    let end = from + rows.len();
    Page { rows, next: (end < total).then(|| end.to_string()), total: u64::try_from(total).ok(), unreadable: 0 }
}

fn person_m(world: &World, id: MarketoId) -> Option<MarketoPerson> {
    let person = world.people_m.get(&id)?;
    Some(MarketoPerson {
        id,
        email: person.email.clone(),
        first_name: Some(format!("First{id}")),
        last_name: Some(format!("Last{id}")),
        company: None,
        salesforce_lead_id: person.lead.clone().filter(|id| id.prefix() == "00Q"),
        salesforce_contact_id: person.lead.clone().filter(|id| id.prefix() == "003"),
    })
}

fn person_s(world: &World, id: &SalesforceId) -> Option<SalesforcePerson> {
    let person = world.people_s.get(id)?;
    Some(SalesforcePerson {
        id: id.clone(),
        person_type: PersonType::of(id)?,
        email: person.email.clone(),
        first_name: person.first_name.clone(),
        last_name: person.name.clone(),
        company: None,
        is_deleted: person.deleted,
        master_record_id: person.master.clone(),
        converted_contact_id: person.contact.clone(),
        created_by: person.created_by_us.then(|| US.parse().unwrap()),
        created_at: Timestamp::from_millisecond(person.created_at).ok(),
    })
}

#[async_trait]
impl Marketo for Worlds {
    async fn program(&self, id: ProgramId) -> Result<Option<Program>, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| {
            (id == world.program).then(|| Program {
                id,
                name: "Webinar".to_owned(),
                program_type: "event".to_owned(),
                channel: "Webinar".to_owned(),
                cost: None,
                sfdc_id: None,
            })
        })
    }

    async fn program_page(&self, page: usize) -> Result<Vec<Program>, ConnectorError> {
        let program = self.get().program;
        Ok(if page == 0 { self.program(program).await?.into_iter().collect() } else { Vec::new() })
    }

    async fn program_costs(&self, _: &Program) -> Result<Costs, ConnectorError> {
        Ok(Costs::None)
    }

    async fn channel(&self, name: &str) -> Result<Option<Channel>, ConnectorError> {
        let statuses = STATUSES.map(|(name, step)| ProgramStatus {
            name: name.to_owned(),
            step,
            success: step == 30,
            hidden: false,
        });
        Ok(Some(Channel { name: name.to_owned(), statuses: statuses.to_vec() }))
    }

    async fn members(&self, _: ProgramId, people: &[MarketoId]) -> Result<Vec<ProgramMember>, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| {
            let member = |id: &MarketoId| {
                let status = world.members_m.get(id)?.clone();
                Some(ProgramMember { lead_id: *id, status, updated_at: None })
            };
            people.iter().filter_map(member).collect()
        })
    }

    async fn member_page(
        &self,
        _: ProgramId,
        cursor: Option<&str>,
    ) -> Result<Page<(MarketoPerson, ProgramMember)>, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| {
            let member = |(id, status): (&MarketoId, &String)| {
                Some((person_m(world, *id)?, ProgramMember { lead_id: *id, status: status.clone(), updated_at: None }))
            };
            page(world.members_m.iter().filter_map(member).collect(), cursor)
        })
    }

    async fn member_count(&self, _: ProgramId, status: &str, most: u64) -> Result<Option<u64>, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| {
            let held = world.members_m.values().filter(|held| *held == status).count() as u64;
            Some(held).filter(|held| *held <= most)
        })
    }

    async fn people(&self, ids: &[MarketoId]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| ids.iter().filter_map(|id| person_m(world, *id)).collect())
    }

    async fn people_by(&self, key: PersonKey, values: &[String]) -> Result<Vec<MarketoPerson>, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| {
            let matches = |person: &MarketoPerson| {
                let of = |id: &Option<SalesforceId>| id.as_ref().is_some_and(|id| values.contains(&id.to_string()));
                match key {
                    PersonKey::Email => person.email.as_ref().is_some_and(|e| values.contains(e)),
                    PersonKey::SalesforceLead => of(&person.salesforce_lead_id),
                    PersonKey::SalesforceContact => of(&person.salesforce_contact_id),
                }
            };
            world.people_m.keys().filter_map(|id| person_m(world, *id)).filter(matches).collect()
        })
    }

    async fn merges(
        &self,
        losers: &[MarketoId],
        _: Timestamp,
    ) -> Result<BTreeMap<MarketoId, MarketoId>, ConnectorError> {
        self.call(Vendor::Marketo, false, |world| {
            losers.iter().filter_map(|id| Some((*id, *world.merged_m.get(id)?))).collect()
        })
    }

    async fn set_status(
        &self,
        _: ProgramId,
        status: &str,
        people: &[MarketoId],
    ) -> Result<RecordResults<()>, ConnectorError> {
        self.perhaps_wait().await;
        self.call(Vendor::Marketo, true, |world| {
            world.log.push(format!("  we: marketo {people:?} := {status}"));
            let one = |id: &MarketoId| {
                if !world.people_m.contains_key(id) {
                    return Err(refused(Reaction::PersonChanged, "1004"));
                }
                if world.set_marketo(*id, status) { Ok(()) } else { Err(refused(Reaction::ReadAgain, "1037")) }
            };
            people.iter().map(one).collect()
        })
    }

    async fn remove_members(&self, _: ProgramId, people: &[MarketoId]) -> Result<RecordResults<()>, ConnectorError> {
        self.perhaps_wait().await;
        self.call(Vendor::Marketo, true, |world| {
            world.log.push(format!("  we: marketo {people:?} out"));
            let one = |id: &MarketoId| match world.remove_marketo(*id) {
                true => {
                    world.removed_by_us += 1;
                    Ok(())
                }
                false => Err(refused(Reaction::Gone, "1037")),
            };
            people.iter().map(one).collect()
        })
    }

    async fn create_people(&self, people: &[NewPerson]) -> Result<RecordResults<MarketoId>, ConnectorError> {
        self.call(Vendor::Marketo, true, |world| {
            world.log.push(format!("  we: marketo people {people:?}"));
            people.iter().map(|new| world.create_marketo_person(new)).collect()
        })
    }
}

#[async_trait]
impl Salesforce for Worlds {
    async fn identity(&self) -> Result<SalesforceIdentity, ConnectorError> {
        Ok(SalesforceIdentity { user_id: US.parse().unwrap(), organization_id: super::world::id("00D", 1) })
    }

    async fn campaigns_like(
        &self,
        text: &str,
        before: Option<&SalesforceId>,
        _: usize,
    ) -> Result<Vec<ListedCampaign>, ConnectorError> {
        let id = self.get().campaign.clone();
        let found = self.campaigns(&[id]).await?;
        let listed =
            found.into_iter().map(|c| ListedCampaign { id: c.id, name: c.name, is_active: true, campaign_type: None });
        Ok(listed.filter(|c| c.name.contains(text) && before.is_none_or(|id| c.id < *id)).collect())
    }

    async fn campaigns(&self, ids: &[SalesforceId]) -> Result<Vec<Campaign>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| {
            let statuses: Vec<_> = world
                .labels()
                .into_iter()
                .map(|(label, step)| CampaignMemberStatus {
                    id: super::world::id("01Y", u64::try_from(step).unwrap()),
                    label: label.to_owned(),
                    has_responded: step == 30,
                    is_default: step == 10,
                    sort_order: step,
                })
                .collect();
            let campaign = |id: &SalesforceId| Campaign {
                id: id.clone(),
                name: "Webinar".to_owned(),
                is_active: true,
                campaign_type: Some("Webinar".to_owned()),
                actual_cost: None,
                statuses: statuses.clone(),
            };
            ids.iter().filter(|id| **id == world.campaign).map(campaign).collect()
        })
    }

    async fn members(
        &self,
        _: &[SalesforceId],
        people: &[SalesforceId],
    ) -> Result<Vec<CampaignMember>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| people.iter().filter_map(|id| world.row_of(id).cloned()).collect())
    }

    async fn members_by_id(&self, ids: &[SalesforceId]) -> Result<Vec<CampaignMember>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| {
            ids.iter().filter_map(|id| world.members_s.get(id).cloned()).collect()
        })
    }

    async fn member_page(
        &self,
        _: &SalesforceId,
        cursor: Option<&str>,
    ) -> Result<Page<CampaignMember>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| page(world.members_s.values().cloned().collect(), cursor))
    }

    async fn member_counts(&self, _: &SalesforceId) -> Result<BTreeMap<String, u64>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| {
            let mut held = BTreeMap::new();
            for member in world.members_s.values().filter(|member| !member.is_deleted) {
                *held.entry(member.status.clone()).or_default() += 1;
            }
            held
        })
    }

    async fn people(&self, ids: &[SalesforceId]) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| ids.iter().filter_map(|id| person_s(world, id)).collect())
    }

    async fn people_by_email(&self, emails: &[String]) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| {
            let living = world.living_s();
            let people = living.iter().filter_map(|id| person_s(world, id));
            people.filter(|p| p.email.as_ref().is_some_and(|e| emails.contains(e))).collect()
        })
    }

    async fn people_by_external_id(&self, _: &[String]) -> Result<Vec<(String, SalesforcePerson)>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn leads_created(&self, since: Timestamp) -> Result<Vec<SalesforcePerson>, ConnectorError> {
        self.call(Vendor::Salesforce, false, |world| {
            let living = world.living_s();
            let ours = living.iter().filter_map(|id| person_s(world, id)).filter(|p| p.created_by.is_some());
            ours.filter(|p| p.created_at.is_some_and(|at| at >= since)).collect()
        })
    }

    async fn guards_leads(&self) -> Result<bool, ConnectorError> {
        Ok(false)
    }

    async fn create_leads(&self, leads: &[NewLead]) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        self.call(Vendor::Salesforce, true, |world| {
            world.log.push(format!("  we: salesforce leads {leads:?}"));
            leads.iter().map(|lead| world.create_lead(lead)).collect()
        })
    }

    async fn create_members(&self, members: &[NewMember]) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        self.perhaps_wait().await;
        self.call(Vendor::Salesforce, true, |world| {
            world.log.push(format!("  we: salesforce {members:?}"));
            let one = |new: &NewMember| {
                let person = world.people_s.get(&new.person_id).filter(|p| !p.deleted && p.contact.is_none());
                if person.is_none() {
                    return Err(refused(Reaction::PersonChanged, "CANNOT_UPDATE_CONVERTED_LEAD"));
                }
                if world.row_of(&new.person_id).is_some() {
                    return Err(refused(Reaction::ReadAgain, "DUPLICATE_VALUE"));
                }
                world.must_know(&new.status);
                Ok(world.set_salesforce(&new.person_id, &new.status, true))
            };
            members.iter().map(one).collect()
        })
    }

    async fn update_members(&self, members: &[(SalesforceId, String)]) -> Result<RecordResults<()>, ConnectorError> {
        self.perhaps_wait().await;
        self.call(Vendor::Salesforce, true, |world| {
            world.log.push(format!("  we: salesforce {members:?}"));
            let one = |(id, status): &(SalesforceId, String)| {
                let person = world.members_s.get(id).and_then(|row| row.person().cloned());
                let Some(person) = person else { return Err(refused(Reaction::ReadAgain, "ENTITY_IS_DELETED")) };
                world.must_know(status);
                world.set_salesforce(&person, status, true);
                Ok(())
            };
            members.iter().map(one).collect()
        })
    }

    async fn delete_members(&self, ids: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError> {
        self.perhaps_wait().await;
        self.call(Vendor::Salesforce, true, |world| {
            world.log.push(format!("  we: salesforce {ids:?} out"));
            let one = |id: &SalesforceId| match world.remove_salesforce(id) {
                true => {
                    world.removed_by_us += 1;
                    Ok(())
                }
                false => Err(refused(Reaction::Gone, "ENTITY_IS_DELETED")),
            };
            ids.iter().map(one).collect()
        })
    }

    async fn campaign_fields(&self) -> Result<CampaignFields, ConnectorError> {
        Ok(CampaignFields::default())
    }

    async fn campaigns_named(&self, _: &str) -> Result<Vec<SalesforceId>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn campaigns_created(&self, _: Timestamp) -> Result<Vec<(SalesforceId, String)>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn create_campaign(&self, _: &NewCampaign) -> Result<SalesforceId, ConnectorError> {
        unreachable!("no campaign is made here")
    }

    async fn update_campaign(&self, _: &SalesforceId, _: &CampaignChange) -> Result<(), ConnectorError> {
        self.call(Vendor::Salesforce, true, |_| ())
    }

    async fn create_statuses(
        &self,
        _: &SalesforceId,
        _: &[NewStatus],
    ) -> Result<RecordResults<SalesforceId>, ConnectorError> {
        unreachable!("no campaign is made here")
    }

    async fn update_statuses(&self, _: &[StatusChange]) -> Result<RecordResults<()>, ConnectorError> {
        unreachable!("no campaign is made here")
    }

    async fn delete_statuses(&self, _: &[SalesforceId]) -> Result<RecordResults<()>, ConnectorError> {
        unreachable!("no campaign is made here")
    }
}
