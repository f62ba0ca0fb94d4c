//! Both emulated vendors with many members in many programs and campaigns; `known` has the database of them.

use std::time::Duration;

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::marketo::{NewChannel, NewPerson, NewProgram, ProgressionStatus};
use campaign_sync::sandbox::salesforce::Id;
use campaign_sync::sandbox::{EmulateOptions, Emulators, start};
use serde_json::json;

use super::{Launch, world};

/// In the order of the channel. Each round of a workload goes a step on.
pub const STATUSES: [&str; 8] =
    ["Invited", "Registered", "Confirmed", "Attended", "Engaged", "Followed", "Qualified", "Won"];

/// Which vendor somebody has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Marketo,
    Salesforce,
}

#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub program: i64,
    pub campaign: Id,
}

/// A person who is a member on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Somebody {
    /// In `pairs`.
    pub pair: usize,
    pub lead: i64,
    pub record: Id,
    pub member: Id,
}

/// Calls of a vendor since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    pub reads: u64,
    pub writes: u64,
}

impl Calls {
    pub fn all(self) -> u64 {
        self.reads + self.writes
    }
}

impl std::ops::Sub for Calls {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { reads: self.reads - before.reads, writes: self.writes - before.writes }
    }
}

pub struct Peopled {
    pub emulators: Emulators,
    pub pairs: Vec<Pair>,
    pub people: Vec<Somebody>,
    /// The status of everybody, by its place.
    pub step: usize,
    /// How often everybody was told of.
    pub rounds: usize,
}

/// Neither limits nor quotas.
pub fn unlimited() -> EmulateOptions {
    let mut options = EmulateOptions::default();
    options.marketo.rate_limit = None;
    options.marketo.concurrency_limit = None;
    options.marketo.daily_quota = None;
    options.salesforce.daily_calls = 100_000_000;
    options
}

impl Peopled {
    /// So many members in turns in so many pairs of a program and a campaign.
    pub async fn new(members: usize, pairs: usize, options: EmulateOptions) -> Self {
        let emulators = start(options).await.unwrap();
        let pairs = paired(&emulators, pairs);
        let people = peopled(&emulators, &pairs, members);
        Self { emulators, pairs, people, step: 0, rounds: 0 }
    }

    /// Every call of this vendor takes so long from now on; zero for none.
    pub fn latency(&self, time: Duration) {
        self.emulators.faults.clear();
        let ms = u64::try_from(time.as_millis()).unwrap();
        for vendor in [Vendor::Marketo, Vendor::Salesforce].into_iter().filter(|_| ms > 0) {
            let action = Action::Delay { ms };
            self.emulators.faults.add(Fault { times: u32::MAX, ..Fault::next(vendor, "", action) });
        }
    }

    /// What the service is told of both vendors, without limits of its own; more is set behind it.
    fn settings(&self, database: &str) -> Vec<(String, String)> {
        let mut settings = world::settings(&self.emulators, database);
        let more = [
            ("SYNC__POLL_INTERVAL", "24h"),
            ("SYNC__RECONCILE_INTERVAL", "24h"),
            ("LIMITS__SALESFORCE__CONCURRENCY", "10"),
            ("LIMITS__MARKETO__CONCURRENCY", "10"),
        ];
        settings.extend(more.map(|(key, value)| (format!("CAMPAIGN_SYNC__{key}"), value.to_owned())));
        settings
    }

    /// The service on a database, as a process of its own.
    pub fn launch(&self, database: &str) -> Launch {
        let launch = Launch::serve_on(database).env("RUST_LOG", "warn");
        self.settings(database).iter().fold(launch, |launch, (name, value)| launch.env(name, value))
    }

    pub fn of_salesforce(&self) -> Calls {
        self.emulators.salesforce.with(|world| Calls { reads: world.counters.reads, writes: world.counters.writes })
    }

    pub fn of_marketo(&self) -> Calls {
        self.emulators.marketo.with(|world| Calls { reads: world.police.reads, writes: world.police.writes })
    }

    /// Somebody has set everybody a step on in one of the vendors; nothing was told of it yet.
    pub fn change(&mut self, side: Side) {
        self.step += 1;
        let status = STATUSES[self.step];
        match side {
            Side::Marketo => self.emulators.marketo.with(|world| {
                for one in &self.people {
                    world.set_status(self.pairs[one.pair].program, one.lead, status).unwrap();
                }
            }),
            Side::Salesforce => self.emulators.salesforce.with(|world| {
                for one in &self.people {
                    world.set_member_status(one.member, status).unwrap();
                }
            }),
        }
    }

    /// Both sides show everybody at the last step.
    pub fn is_equal(&self) -> bool {
        let status = STATUSES[self.step];
        let in_marketo = self.emulators.marketo.with(|world| {
            self.people.iter().all(|one| world.status_of(self.pairs[one.pair].program, one.lead) == Some(status))
        });
        in_marketo
            && self.emulators.salesforce.with(|world| {
                self.people.iter().all(|one| world.row(one.member).is_some_and(|row| row.text_of("Status") == status))
            })
    }
}

fn paired(emulators: &Emulators, pairs: usize) -> Vec<Pair> {
    let campaigns: Vec<Id> = emulators.salesforce.with(|world| {
        let campaign = |n: usize| {
            let campaign = world.add_campaign(&format!("Campaign {n}"), "Webinar").unwrap();
            // The two that a campaign comes with are the first of ours.
            let given: Vec<Id> = world.statuses(campaign).iter().map(|row| row.id).collect();
            for (id, label) in given.iter().zip(STATUSES) {
                world.rename_status(*id, label).unwrap();
            }
            for label in &STATUSES[given.len()..] {
                world.add_status(campaign, label, false).unwrap();
            }
            campaign
        };
        (0..pairs).map(campaign).collect()
    });
    emulators.marketo.with(|world| {
        let status = |(n, name): (usize, &&str)| ProgressionStatus {
            id: 0,
            name: (*name).to_owned(),
            step: 10 * (i64::try_from(n).unwrap() + 1),
            success: false,
            hidden: false,
        };
        world.add_channel(NewChannel {
            id: None,
            name: "Webinar".to_owned(),
            applicable_program_type: Some("event".to_owned()),
            statuses: STATUSES.iter().enumerate().map(status).collect(),
        });
        let program = |(n, campaign): (usize, Id)| {
            let (name, channel) = (format!("Program {n}"), "Webinar".to_owned());
            let program = NewProgram { name, channel, kind: Some("Event".to_owned()), ..NewProgram::default() };
            Pair { program: world.add_program(program).unwrap(), campaign }
        };
        campaigns.into_iter().enumerate().map(program).collect()
    })
}

fn peopled(emulators: &Emulators, pairs: &[Pair], members: usize) -> Vec<Somebody> {
    let records: Vec<(Id, Id)> = emulators.salesforce.with(|world| {
        let member = |n: usize| {
            let record = world.add_lead("First", &format!("Last{n}"), &format!("p{n}@example.com"), "Company").unwrap();
            (record, world.add_member(pairs[n % pairs.len()].campaign, record, Some(STATUSES[0])).unwrap())
        };
        (0..members).map(member).collect()
    });
    emulators.marketo.with(|world| {
        let somebody = |(n, (record, member)): (usize, (Id, Id))| {
            let fields = [("email", json!(format!("p{n}@example.com"))), ("sfdcLeadId", json!(record.to_string()))];
            let fields = fields.map(|(key, value)| (key.to_owned(), value)).into();
            let lead = world.add_person(NewPerson { id: None, fields });
            let pair = n % pairs.len();
            world.set_status(pairs[pair].program, lead, STATUSES[0]).unwrap();
            Somebody { pair, lead, record, member }
        };
        records.into_iter().enumerate().map(somebody).collect()
    })
}
