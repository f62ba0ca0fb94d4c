//! The two worlds before they are mapped: a webinar with people whom both sides, or only one, know.
//!
//! Awkward on purpose: shared addresses, a person without one, a converted lead, a lead and a contact of one human, a status
//! of 40 characters and one that is not ASCII, members on both sides that nobody has compared. Must not know the service.

use std::collections::BTreeMap;

use anyhow::anyhow;
use serde_json::{Map, Value, json};

use super::dice::Dice;
use crate::sandbox::Emulators;
use crate::sandbox::marketo::{self, NewChannel, NewPerson, NewProgram, ProgressionStatus, Refusal};
use crate::sandbox::salesforce::{Fault, Id, Object};

/// Name, step and whether it is a success, as both sides have it. 40 characters are the most that a member's status has.
pub const STATUSES: [(&str, i64, bool); 6] = [
    ("Invited", 10, false),
    ("Registered", 20, false),
    ("Påmeldt", 20, false),
    ("No Show", 30, false),
    ("Watched the recording within seven days!", 40, true),
    ("Attended", 50, true),
];

const FIRST: [&str; 20] = [
    "Åsa", "Ben", "Chloé", "Dag", "Eve", "Finn", "Grace", "Hugo", "Ines", "José", "Kim", "Łukasz", "Mia", "Noor",
    "Olu", "Pia", "Quinn", "Rosa", "Sven", "Zoë",
];
const LAST: [&str; 20] = [
    "Abel",
    "Brandt",
    "Castro",
    "Dietz",
    "Ek",
    "Fabre",
    "Gould",
    "Haas",
    "Ito",
    "Jung",
    "Koch",
    "Lund",
    "Moss",
    "Nakamura",
    "O'Neil",
    "Pérez",
    "Quist",
    "Rossi",
    "Sørensen",
    "Tran",
];

/// What was seeded.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    pub program: i64,
    pub campaign: Id,
    /// Two leads, both in the campaign, and two Marketo persons, both in the program, of one human: to be merged on both sides.
    pub twins: [(i64, Id); 2],
    /// Number of the next human.
    pub next: usize,
}

/// Who a human is; the number gives a name of its own.
#[derive(Clone, Debug)]
pub struct Human {
    pub first: String,
    pub last: String,
    pub email: String,
}

impl Human {
    pub fn new(number: usize) -> Self {
        let more = if number < 400 { String::new() } else { format!(" {}", number / 400 + 1) };
        Self {
            first: FIRST[number % 20].to_owned(),
            last: format!("{}{more}", LAST[number / 20 % 20]),
            email: format!("guest{number}@northwind.example"),
        }
    }
}

/// A refusal of one of the emulators, which the seeding does not expect.
pub fn refused(refusal: Refusal) -> anyhow::Error {
    anyhow!("Marketo refuses: {} {}", refusal.code, refusal.message)
}

/// The same of Salesforce.
pub fn faulty(fault: Fault) -> anyhow::Error {
    anyhow!("Salesforce refuses: {} {}", fault.code, fault.message)
}

/// A person in Marketo, with what Marketo knows of Salesforce.
pub fn add_to_marketo(world: &mut marketo::World, human: &Human, known_as: Option<Id>) -> i64 {
    let mut fields: BTreeMap<String, Value> =
        [("firstName", &human.first), ("lastName", &human.last)].map(|(k, v)| (k.to_owned(), json!(v))).into();
    if !human.email.is_empty() {
        fields.insert("email".to_owned(), json!(human.email));
    }
    fields.insert("company".to_owned(), json!("Northwind"));
    if let Some(id) = known_as {
        let field = if id.prefix() == Object::Contact.prefix() { "sfdcContactId" } else { "sfdcLeadId" };
        fields.insert(field.to_owned(), json!(id));
    }
    world.add_person(NewPerson { id: None, fields })
}

/// Seeds both sides with `people` humans and the awkward ones.
pub fn seed(emulators: &Emulators, people: usize, dice: &mut Dice) -> anyhow::Result<Scene> {
    let program = emulators.marketo.with(add_program).map_err(refused)?;
    let campaign = emulators.salesforce.with(add_campaign).map_err(faulty)?;
    let nobody = Id::new(Object::Lead.prefix(), 0);
    let mut scene = Scene { program, campaign, twins: [(0, nobody); 2], next: 0 };
    for _ in 0..people {
        ordinary(emulators, &mut scene, dice)?;
    }
    let twins = awkward(emulators, &mut scene)?;
    Ok(Scene { twins, ..scene })
}

fn add_program(world: &mut marketo::World) -> Result<i64, Refusal> {
    let status = |(name, step, success): (&str, i64, bool)| ProgressionStatus {
        id: 0,
        name: name.to_owned(),
        step,
        success,
        hidden: false,
    };
    world.add_channel(NewChannel {
        id: None,
        name: "Webinar".to_owned(),
        applicable_program_type: Some("event".to_owned()),
        statuses: STATUSES.map(status).into(),
    });
    world.add_program(NewProgram {
        id: Some(1044),
        name: "Autumn Webinar".to_owned(),
        channel: "Webinar".to_owned(),
        kind: Some("Event".to_owned()),
        ..NewProgram::default()
    })
}

/// With the program's statuses and not those that every campaign begins with.
fn add_campaign(world: &mut crate::sandbox::salesforce::World) -> Result<Id, Fault> {
    let campaign = world.add_campaign("Autumn Webinar", "Webinar")?;
    let first: Vec<Id> = world.statuses(campaign).iter().map(|row| row.id).collect();
    for (n, (label, _, success)) in STATUSES.into_iter().enumerate() {
        let fields = json!({"CampaignId": campaign, "Label": label, "HasResponded": success, "IsDefault": n == 0});
        let fields: Map<String, Value> = fields.as_object().cloned().unwrap_or_default();
        world.create(&world.as_person(), Object::CampaignMemberStatus, &fields)?;
    }
    first.into_iter().try_for_each(|status| world.delete(&world.as_person(), status))?;
    Ok(campaign)
}

/// A human as most are: how the two sides know of one another, and in which status they are on either, is drawn.
fn ordinary(emulators: &Emulators, scene: &mut Scene, dice: &mut Dice) -> anyhow::Result<()> {
    let human = next(scene);
    let (in_marketo, in_salesforce, contact, by_id) = match dice.below(100) {
        0..40 => (true, true, false, true),
        40..55 => (true, true, true, true),
        55..63 => (true, true, false, false),
        63..70 => (true, true, true, false),
        70..85 => (true, false, false, false),
        85..95 => (false, true, false, false),
        _ => (false, true, true, false),
    };
    let record = in_salesforce.then(|| record_of(emulators, &human, contact)).transpose()?;
    let person =
        in_marketo.then(|| emulators.marketo.with(|world| add_to_marketo(world, &human, record.filter(|_| by_id))));
    let status = |dice: &mut Dice| STATUSES[dice.below(STATUSES.len())].0;
    let (here, there) = match dice.below(100) {
        0..25 => {
            let same = status(dice);
            (Some(same), Some(same))
        }
        25..35 => (Some(status(dice)), Some(status(dice))),
        35..50 => (Some(status(dice)), None),
        50..65 => (None, Some(status(dice))),
        _ => (None, None),
    };
    join_program(emulators, scene, person, here)?;
    join_campaign(emulators, scene, record, there)
}

fn next(scene: &mut Scene) -> Human {
    scene.next += 1;
    Human::new(scene.next)
}

fn record_of(emulators: &Emulators, human: &Human, contact: bool) -> anyhow::Result<Id> {
    let (first, last, email) = (&human.first, &human.last, &human.email);
    let add = |world: &mut crate::sandbox::salesforce::World| match contact {
        true => world.add_contact(first, last, email),
        false => world.add_lead(first, last, email, "Northwind"),
    };
    emulators.salesforce.with(add).map_err(faulty)
}

fn join_program(emulators: &Emulators, scene: &Scene, who: Option<i64>, status: Option<&str>) -> anyhow::Result<()> {
    let (Some(who), Some(status)) = (who, status) else { return Ok(()) };
    emulators.marketo.with(|world| world.set_status(scene.program, who, status)).map(drop).map_err(refused)
}

fn join_campaign(emulators: &Emulators, scene: &Scene, who: Option<Id>, status: Option<&str>) -> anyhow::Result<()> {
    let (Some(who), Some(status)) = (who, status) else { return Ok(()) };
    let add = |world: &mut crate::sandbox::salesforce::World| world.add_member(scene.campaign, who, Some(status));
    emulators.salesforce.with(add).map(drop).map_err(faulty)
}

/// Those that every data base has and no example.
fn awkward(emulators: &Emulators, scene: &mut Scene) -> anyhow::Result<[(i64, Id); 2]> {
    let person = |human: &Human, known_as| emulators.marketo.with(|world| add_to_marketo(world, human, known_as));
    let status = |n: usize| Some(STATUSES[n].0);

    // Two persons with one address: a couple. Salesforce knows one of them.
    let (one, mut other) = (next(scene), next(scene));
    other.email.clone_from(&one.email);
    let lead = record_of(emulators, &one, false)?;
    for (human, known_as) in [(&one, Some(lead)), (&other, None)] {
        join_program(emulators, scene, Some(person(human, known_as)), status(1))?;
    }

    // One without an address, from the list at the door.
    let mut walk_in = next(scene);
    walk_in.email.clear();
    join_program(emulators, scene, Some(person(&walk_in, None)), status(5))?;

    // A lead that was converted, which Marketo has not noticed.
    let human = next(scene);
    let lead = record_of(emulators, &human, false)?;
    join_campaign(emulators, scene, Some(lead), status(1))?;
    emulators.salesforce.with(|world| world.convert_lead(lead)).map_err(faulty)?;
    join_program(emulators, scene, Some(person(&human, Some(lead))), status(2))?;

    // A lead and a contact of one human, both invited.
    let human = next(scene);
    let (lead, contact) = (record_of(emulators, &human, false)?, record_of(emulators, &human, true)?);
    join_program(emulators, scene, Some(person(&human, Some(contact))), status(1))?;
    for record in [lead, contact] {
        join_campaign(emulators, scene, Some(record), status(1))?;
    }

    // Two records on each side of one human, under two addresses.
    let human = next(scene);
    let elsewhere = Human { email: format!("private.{}", human.email), ..human.clone() };
    let mut twins = [(0, lead); 2];
    for (twin, human) in twins.iter_mut().zip([human, elsewhere]) {
        let lead = record_of(emulators, &human, false)?;
        *twin = (person(&human, Some(lead)), lead);
        join_program(emulators, scene, Some(twin.0), status(1))?;
        join_campaign(emulators, scene, Some(lead), status(1))?;
    }
    Ok(twins)
}
