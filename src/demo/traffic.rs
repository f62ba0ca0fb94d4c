//! What people do: marketing users in the program, sales users in the campaign.
//!
//! Each act picks people from the emulators' present state and is done by hand there, as nobody of ours. What a side
//! refuses is left: people are refused too. Must not know the service.

use super::dice::Dice;
use super::world::{self, Human, STATUSES, Scene};
use crate::sandbox::Emulators;
use crate::sandbox::salesforce::{Id, Object};

/// Something that people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    MarketingAdds,
    MarketingMoves,
    MarketingRemoves,
    MarketingCreates,
    SalesAdds,
    SalesMoves,
    SalesRemoves,
    SalesCreates,
    SalesConverts,
    /// To a lower step: Marketo's API cannot follow.
    SalesLowers,
    /// Somebody in both, by both at once.
    BothMove,
}

/// The people.
pub struct Traffic<'a> {
    pub emulators: &'a Emulators,
    pub scene: Scene,
    pub dice: Dice,
}

fn step(status: &str) -> i64 {
    STATUSES.iter().find(|(name, ..)| *name == status).map_or(0, |status| status.1)
}

impl Traffic<'_> {
    /// Does something `n` times, to different people; how often there was somebody.
    pub fn act(&mut self, act: Act, n: usize) -> usize {
        match act {
            Act::MarketingAdds => self.marketing_adds(n),
            Act::MarketingMoves => self.marketing_moves(n),
            Act::MarketingRemoves => self.marketing_removes(n),
            Act::MarketingCreates => (0..n).filter(|_| self.marketing_creates()).count(),
            Act::SalesAdds => self.sales_adds(n),
            Act::SalesMoves => self.sales_moves(n, |now, then| then > now),
            Act::SalesLowers => self.sales_moves(n, |now, then| then < now),
            Act::SalesRemoves => self.sales_removes(n),
            Act::SalesCreates => (0..n).filter(|_| self.sales_creates()).count(),
            Act::SalesConverts => self.sales_converts(n),
            Act::BothMove => self.both_move(n),
        }
    }

    fn status(&mut self, fits: impl Fn(i64) -> bool) -> Option<&'static str> {
        let fitting: Vec<_> = STATUSES.iter().filter(|status| fits(status.1)).map(|status| status.0).collect();
        self.dice.pick(&fitting)
    }

    /// Of those who have not come to the end.
    fn movable(&self) -> Vec<(i64, String)> {
        let members = self.emulators.marketo.with(|world| world.members(self.scene.program));
        members.into_iter().filter(|(_, status)| step(status) < 50).collect()
    }

    fn set_in_program(&self, person: i64, status: &str) -> bool {
        self.emulators.marketo.with(|world| world.set_status(self.scene.program, person, status)).is_ok()
    }

    fn marketing_moves(&mut self, n: usize) -> usize {
        let chosen = self.dice.choose(n, self.movable());
        let moved = chosen.into_iter().filter(|(person, status)| {
            let further = self.status(|to| to > step(status));
            further.is_some_and(|status| self.set_in_program(*person, status))
        });
        moved.count()
    }

    fn marketing_adds(&mut self, n: usize) -> usize {
        let program = self.scene.program;
        let outside: Vec<i64> = self.emulators.marketo.with(|world| {
            let people = world.people.iter().map(|person| person.id);
            people.filter(|id| world.status_of(program, *id).is_none()).collect()
        });
        let chosen = self.dice.choose(n, outside);
        let added = chosen.into_iter().filter(|person| {
            let status = self.status(|_| true);
            status.is_some_and(|status| self.set_in_program(*person, status))
        });
        added.count()
    }

    fn marketing_removes(&mut self, n: usize) -> usize {
        let members = self.emulators.marketo.with(|world| world.members(self.scene.program));
        let chosen = self.dice.choose(n, members);
        let leave = |person| self.emulators.marketo.with(|world| world.leave_program(self.scene.program, person));
        chosen.into_iter().filter(|(person, _)| leave(*person).is_ok()).count()
    }

    fn newcomer(&mut self) -> Human {
        self.scene.next += 1;
        Human::new(self.scene.next)
    }

    fn marketing_creates(&mut self) -> bool {
        let human = self.newcomer();
        let person = self.emulators.marketo.with(|world| world::add_to_marketo(world, &human, None));
        self.status(|_| true).is_some_and(|status| self.set_in_program(person, status))
    }

    fn campaign_members(&self) -> Vec<crate::sandbox::salesforce::Member> {
        self.emulators.salesforce.with(|world| world.members(self.scene.campaign))
    }

    fn sales_moves(&mut self, n: usize, fits: fn(i64, i64) -> bool) -> usize {
        let members = self.campaign_members();
        let can = |status: &str| STATUSES.iter().any(|(_, to, _)| fits(step(status), *to));
        let chosen = self.dice.choose(n, members.into_iter().filter(|member| can(&member.status)).collect());
        let moved = chosen.into_iter().filter(|member| {
            let status = self.status(|to| fits(step(&member.status), to));
            let set = |status| self.emulators.salesforce.with(|world| world.set_member_status(member.id, status));
            status.is_some_and(|status| set(status).is_ok())
        });
        moved.count()
    }

    fn join_campaign(&self, person: Id, status: &str) -> bool {
        let campaign = self.scene.campaign;
        self.emulators.salesforce.with(|world| world.add_member(campaign, person, Some(status))).is_ok()
    }

    fn sales_adds(&mut self, n: usize) -> usize {
        let campaign = self.scene.campaign;
        let outside: Vec<Id> = self.emulators.salesforce.with(|world| {
            let world = &*world;
            let of = |object, column| {
                let living = world.rows(object).filter(|row| !row.deleted && !row.get("IsConverted").is_true());
                living.map(|row| row.id).filter(move |id| world.member(campaign, column, *id).is_none())
            };
            of(Object::Lead, "LeadId").chain(of(Object::Contact, "ContactId")).collect()
        });
        let chosen = self.dice.choose(n, outside);
        let added = chosen.into_iter().filter(|person| {
            let status = self.status(|_| true);
            status.is_some_and(|status| self.join_campaign(*person, status))
        });
        added.count()
    }

    fn sales_removes(&mut self, n: usize) -> usize {
        let members = self.campaign_members();
        let chosen = self.dice.choose(n, members);
        let delete = |member| self.emulators.salesforce.with(|world| world.delete_member(member));
        chosen.into_iter().filter(|member| delete(member.id).is_ok()).count()
    }

    fn sales_creates(&mut self) -> bool {
        let human = self.newcomer();
        let contact = self.dice.below(3) == 0;
        let person = self.emulators.salesforce.with(|world| match contact {
            true => world.add_contact(&human.first, &human.last, &human.email),
            false => world.add_lead(&human.first, &human.last, &human.email, "Northwind"),
        });
        let status = self.status(|_| true);
        person.is_ok_and(|person| status.is_some_and(|status| self.join_campaign(person, status)))
    }

    fn sales_converts(&mut self, n: usize) -> usize {
        let members = self.campaign_members();
        let leads = members.into_iter().filter(|member| member.contact.is_none()).filter_map(|member| member.lead);
        let chosen = self.dice.choose(n, leads.collect());
        let convert = |lead| self.emulators.salesforce.with(|world| world.convert_lead(lead));
        chosen.into_iter().filter(|lead| convert(*lead).is_ok()).count()
    }

    fn both_move(&mut self, n: usize) -> usize {
        let members = self.campaign_members();
        let lead_of = |person: i64| {
            let known_as = self.emulators.marketo.with(|world| world.people.get(person).map(|p| p.get("sfdcLeadId")));
            known_as.and_then(|id| Id::parse(id.as_str().unwrap_or_default()))
        };
        let both = self.movable().into_iter().filter_map(|(person, status)| {
            let lead = lead_of(person)?;
            let member = members.iter().find(|member| member.lead == Some(lead))?;
            Some((person, status, member.id))
        });
        let chosen = self.dice.choose(n, both.collect());
        for (person, status, member) in &chosen {
            for side in 0..2 {
                let Some(further) = self.status(|to| to > step(status)) else { continue };
                match side {
                    0 => drop(self.set_in_program(*person, further)),
                    _ => drop(self.emulators.salesforce.with(|world| world.set_member_status(*member, further))),
                }
            }
        }
        chosen.len()
    }

    /// The twins become one on both sides, in one order or the other.
    pub fn merge_twins(&mut self) -> anyhow::Result<()> {
        let [(kept, winner), (lost, loser)] = self.scene.twins;
        let sales_first = self.dice.below(2) == 0;
        for sales in [sales_first, !sales_first] {
            if sales {
                let merge = self
                    .emulators
                    .salesforce
                    .with(|world| world.atomically(|world| world.merge(&world.as_person(), winner, loser)));
                merge.map_err(world::faulty)?;
            } else {
                self.emulators.marketo.with(|world| world.merge(kept, &[lost])).map_err(world::refused)?;
            }
        }
        Ok(())
    }
}
