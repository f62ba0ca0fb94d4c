//! How people are found on the other side, and made there: by a key of ours, with what a lead must have; and who cannot be found out
//! about.

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::marketo::NewPerson;
use campaign_sync::sandbox::salesforce::{Cell, Id, Object, Webhooks};
use serde_json::{Value, json};

use crate::support::{Tables, TestDatabase, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{SOON, World, address};

const KEY: &str = "Sync_Key__c";

impl World {
    /// A field of the living lead with this last name.
    fn field_of(&self, name: &str, field: &str) -> String {
        let lead = self.lead_named(name);
        self.emulators.salesforce.with(|org| org.row(lead).unwrap().text_of(field).to_owned())
    }
}

impl Running {
    /// Who the member of a lead or contact is in Marketo and how it stands, once that was decided.
    async fn stands(&self, what: &str, id: Id) -> (Value, String) {
        eventually(what, SOON, async || {
            let members = self.members().await;
            let of = |m: &&Value| m["person"]["salesforce_id"] == json!(id) && m["sync_state"] != "pending";
            let found = members["data"].as_array().unwrap().iter().find(of)?;
            let stands = found["reason"].as_str().or(found["sync_state"].as_str()).unwrap().to_owned();
            Some((found["person"]["marketo_id"].clone(), stands))
        })
        .await
    }

    async fn is_in_salesforce(&self, name: &str, status: &str) {
        eventually(name, SOON, async || (self.world.in_salesforce().get(name)? == &[status.to_owned()]).then_some(()))
            .await;
    }
}

/// One person in Marketo, of whom Salesforce has a contact, who is linked, and a lead, who is held as the second record.
struct TwoRecords {
    running: Running,
    lead: Id,
    contact: Id,
    /// Who the contact is in Marketo, and how it stands.
    human: (Value, String),
}

impl TwoRecords {
    /// The lead with this status.
    async fn of_one_human(database: &TestDatabase, status: &str) -> Self {
        let running = Running::new(database).await;
        let (world, email) = (&running.world, address("human"));
        let lead = world.lead_with("TheLead", &email);
        let contact = world.emulators.salesforce.with(|org| org.add_contact("Ada", "TheContact", &email).unwrap());
        let human = (json!(world.marketo_person_with("Human", &email)), "in_sync".to_owned());
        world.add_in_salesforce(contact, "Registered");
        assert_eq!(running.stands("the contact", contact).await, human);
        world.add_in_salesforce(lead, status);
        assert_eq!(running.stands("the lead", lead).await, (Value::Null, "second_record".to_owned()));
        Self { running, lead, contact, human }
    }
}

on_both! {
    async fn a_configured_external_id_links_people_and_makes_creating_an_upsert(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.set_options(|options| options.person_external_id_field = KEY.to_owned());
        // Known by the key alone: neither address nor ids say so.
        let known = world.marketo_person_with("Known", "new@people.example");
        let lead = world.lead_with("KnownThere", "old@people.example");
        let fields = json!({KEY: known.to_string()}).as_object().unwrap().clone();
        world.emulators.salesforce.with(|org| org.update(&org.as_person(), lead, &fields).unwrap());
        let launch = world.launch(&database).set("salesforce.person_external_id_field", KEY);
        let running = Running::launch(world, launch).await;
        let world = &running.world;
        world.set_in_marketo("Known", "Registered");
        running.is_in_salesforce("KnownThere", "Registered").await;
        assert_eq!(world.leads("Known"), 0, "a second lead was made");

        // The answer is lost, and whoever asks again makes no second lead.
        let fresh = world.marketo_person("Fresh");
        let path = format!("/composite/sobjects/Lead/{KEY}");
        let lost = Fault::next(Vendor::Salesforce, &path, Action::AppliedButLost);
        world.emulators.faults.add(lost);
        world.set_in_marketo("Fresh", "Registered");
        running.is_in_salesforce("Fresh", "Registered").await;
        running.settle().await;
        assert!(world.emulators.faults.waiting().is_empty(), "leads were not made by the key");
        assert_eq!((world.leads("Fresh"), world.field_of("Fresh", KEY)), (1, fresh.to_string()));
        assert_eq!(running.transitions_of("Fresh").await, ["- Registered"]);
        let keyed = world.emulators.salesforce.with(|org| org.find(Object::Lead, "Email", &Cell::text(&address("Fresh"))).count());
        assert_eq!(keyed, 1);
    }

    async fn a_lead_without_a_company_gets_the_configured_one(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        let fields = json!({"lastName": "Alone", "email": address("Alone")}).as_object().unwrap().clone().into_iter().collect();
        world.emulators.marketo.with(|m| m.add_person(NewPerson { id: None, fields }));
        world.marketo_person("Employed");
        let launch = world.launch(&database).set("sync.lead_company", "(no company)");
        let running = Running::launch(world, launch).await;
        for name in ["Alone", "Employed"] {
            running.world.set_in_marketo(name, "Registered");
            running.both_have(name, Some("Registered")).await;
        }
        let companies = ["Alone", "Employed"].map(|name| running.world.field_of(name, "Company"));
        assert_eq!(companies, ["(no company)", "Acme"]);
        running.at_rest().await;
    }

    async fn who_cannot_be_found_out_about_fails_until_a_comparison_finds_them(database: TestDatabase) {
        calm_only!("counts the changes that are given up");
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Chain", "Registered")]);
        let launch = world.launch(&database).set("sync.max_attempts", "2");
        let running = Running::launch(world, launch).await;
        let world = &running.world;
        // Merged seven times before anybody looks: more than is followed at once.
        world.emulators.salesforce.set_webhooks(Webhooks::default());
        let mut loser = "Chain".to_owned();
        for n in 1..=7 {
            let winner = format!("Chain{n}");
            world.lead(&winner);
            world.merge_leads(&winner, &loser);
            loser = winner;
        }
        let writes = world.writes();
        world.set_in_marketo("Chain", "Attended");
        running.has_state("Chain", "failed", "unreadable").await;
        running.settle().await;
        let held = running.api.get("changes?limit=500").await.expect(200).json();
        let given_up = |change: &&serde_json::Value| change["reason"] == "unreadable" && change["state"] == "discarded";
        assert_eq!(held["data"].as_array().unwrap().iter().filter(given_up).count(), 1, "{held:#}");
        assert_eq!(world.writes(), writes, "written without knowing");
        running.reconcile().await;
        running.is_in_salesforce("Chain7", "Attended").await;
        running.comes_to_rest().await;
        let member = running.member("Chain").await;
        assert_eq!((&member["sync_state"], &member["person"]["salesforce_id"]), (&json!("in_sync"), &json!(world.lead_named("Chain7"))));
        assert_eq!(world.leads("Chain"), 0);
        running.ledger_balances().await;
    }

    async fn of_a_lead_and_a_contact_of_one_human_the_contact_is_linked_in_every_order(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        let running = Running::start(world, &database).await;
        let world = &running.world;
        let orders = ["lead contact", "contact lead", "marketo lead", "lead marketo", "lead marketo contact", "contact marketo lead"];
        for (n, order) in orders.into_iter().enumerate() {
            let (lead, contact, person) = (format!("Lead{n}"), format!("Contact{n}"), format!("Person{n}"));
            let email = address(&format!("human{n}"));
            let lead_id = world.lead_with(&lead, &email);
            let contact_id = world.emulators.salesforce.with(|org| org.add_contact("Ada", &contact, &email).unwrap());
            world.marketo_person_with(&person, &email);
            let human = (json!(world.marketo_id(&person)), "in_sync".to_owned());
            for step in order.split(' ') {
                match step {
                    "lead" => {
                        world.add_in_salesforce(lead_id, "Invited");
                        assert_eq!(running.stands(order, lead_id).await, (Value::Null, "second_record".to_owned()), "{order}");
                    }
                    "contact" => {
                        if !world.in_salesforce().contains_key(&contact) {
                            world.add_in_salesforce(contact_id, "Registered");
                        }
                        assert_eq!(running.stands(order, contact_id).await, human, "{order}");
                    }
                    _ => {
                        world.set_in_marketo(&person, "Registered");
                        assert_eq!(running.stands(order, contact_id).await, human, "{order}");
                    }
                }
            }
            running.settle().await;
            assert_eq!(running.stands(order, contact_id).await, human, "{order}");
            assert_eq!(running.stands(order, lead_id).await, (Value::Null, "second_record".to_owned()), "{order}");
            let (marketo, salesforce) = (world.in_marketo(), world.in_salesforce());
            let held = [marketo.get(&person), salesforce.get(&contact), salesforce.get(&lead)].map(|held| held.map(|held| held.join(" ")));
            assert_eq!(held, [Some("Registered".to_owned()), Some("Registered".to_owned()), Some("Invited".to_owned())], "{order}");
            assert_eq!((world.people(&contact), world.people(&lead)), (0, 0), "{order}: somebody was made a second time");
        }
        running.comes_to_rest().await;
        assert_eq!((world.in_marketo().len(), world.in_salesforce().len()), (8 + orders.len(), 8 + 2 * orders.len()));
    }

    async fn who_could_be_several_is_known_once_one_is_left(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        // Two leads for one person, and two people for one lead: each parked, whichever side it is met on.
        let leads = [world.lead_with("LeadOne", &address("Twice")), world.lead_with("LeadTwo", &address("Twice"))];
        world.marketo_person("Twice");
        let people = [world.marketo_person_with("PersonOne", &address("Pair")), world.marketo_person_with("PersonTwo", &address("Pair"))];
        let pair = world.lead("Pair");
        let running = Running::start(world, &database).await;
        let world = &running.world;
        world.set_in_marketo("Twice", "Registered");
        world.add_in_salesforce(pair, "Registered");
        running.has_state("Twice", "parked", "ambiguous_person").await;
        assert_eq!(running.stands("the pair", pair).await, (Value::Null, "ambiguous_person".to_owned()));
        running.comes_to_rest().await;
        assert_eq!(world.writes(), (0, 0));
        // What `explain` says to do about it.
        world.emulators.salesforce.with(|org| org.atomically(|org| org.merge(&org.as_person(), leads[0], leads[1])).unwrap());
        world.emulators.marketo.with(|m| m.merge(people[0], &[people[1]]).unwrap());
        running.comes_to_rest().await;
        running.has_state("Twice", "in_sync", "").await;
        assert_eq!(running.stands("the pair", pair).await, (json!(people[0]), "in_sync".to_owned()));
        assert_eq!((world.in_salesforce().get("LeadOne"), world.in_marketo().get("PersonOne")), (Some(&vec!["Registered".to_owned()]), Some(&vec!["Registered".to_owned()])));
        assert_eq!((world.leads("Twice"), world.people("Pair")), (0, 0), "somebody was made");
    }

    async fn a_second_record_takes_the_place_of_the_first_once_that_is_deleted(database: TestDatabase) {
        let TwoRecords { running, lead, contact, human } = TwoRecords::of_one_human(&database, "Invited").await;
        let (world, second) = (&running.world, (Value::Null, "second_record".to_owned()));
        // As long as the contact is there, comparing changes nothing.
        running.comes_to_rest().await;
        assert_eq!(running.stands("the lead", lead).await, second);
        // Linked by an earlier version, which kept no address: nobody thinks of the lead when it is deleted, but the next comparison does.
        let forget = format!("UPDATE people SET email = NULL WHERE salesforce_id = '{contact}'");
        Tables::open(&database.url).await.execute(&forget).await;
        world.delete_in_salesforce(contact);
        let deleted = (human.0.clone(), "person_deleted".to_owned());
        eventually("the deletion", SOON, async || (running.stands("the contact", contact).await == deleted).then_some(())).await;
        running.settle().await;
        assert_eq!(running.stands("the lead", lead).await, second);
        // A plan sees it as the run that follows does.
        let plan = running.api.post(&format!("mappings/{}/plan", running.mapping), &Value::Null).await.expect(201).json();
        let path = format!("plans/{}", plan["id"].as_str().unwrap());
        let plan = eventually("the plan", SOON, async || Some(running.api.get(&path).await.expect(200).json()).filter(|plan| plan["state"] == "ready")).await;
        assert_eq!((&plan["counts"]["change_in_salesforce"], &plan["counts"]["held"]), (&json!(1), &json!(0)), "{plan:#}");
        running.comes_to_rest().await;
        assert_eq!(running.stands("the lead", lead).await, human);
        assert_eq!((&world.in_marketo()["Human"], &world.in_salesforce()["TheLead"]), (&vec!["Registered".to_owned()], &vec!["Registered".to_owned()]));
        assert_eq!((world.people("TheLead"), world.people("TheContact"), world.leads("Human")), (0, 0, 0), "somebody was made");
        assert_eq!(running.transitions_of("TheContact").await, ["- Registered", "Registered -"]);
        assert_eq!(running.transitions_of("TheLead").await, ["- Invited", "Invited Registered"]);
        // Who comes back is the second now.
        world.emulators.salesforce.with(|org| org.undelete(&org.as_person(), contact).unwrap());
        running.comes_to_rest().await;
        assert_eq!(running.stands("the contact", contact).await, second);
        assert_eq!(running.stands("the lead", lead).await, human);
        running.ledger_balances().await;
    }

    async fn a_second_record_is_decided_as_soon_as_the_first_is_deleted(database: TestDatabase) {
        let TwoRecords { running, lead, contact, human } = TwoRecords::of_one_human(&database, "Attended").await;
        let world = &running.world;
        world.delete_in_salesforce(contact);
        // Nobody compares: the deletion is what sets it free.
        eventually("the lead to be the human", SOON, async || (running.stands("the lead", lead).await == human).then_some(())).await;
        eventually("the further status on both sides", SOON, async || {
            let held = [world.in_marketo().get("Human").cloned(), world.in_salesforce().get("TheLead").cloned()];
            held.iter().all(|held| held.as_deref() == Some(&["Attended".to_owned()])).then_some(())
        })
        .await;
        assert_eq!((world.people("TheLead"), world.leads("Human")), (0, 0), "somebody was made");
        running.comes_to_rest().await;
        running.ledger_balances().await;
    }

    async fn who_names_another_record_is_not_known_by_an_address(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        let running = Running::start(world, &database).await;
        let world = &running.world;
        let named = |name: &str, field: &str, id: Id| {
            let fields = json!({"firstName": "Ada", "lastName": name, "company": "Acme", "email": address(name), field: id});
            let fields = fields.as_object().unwrap().clone().into_iter().collect();
            world.emulators.marketo.with(|m| m.add_person(NewPerson { id: None, fields }));
        };
        // The lead is named, so the contact that has the address is somebody else; whoever comes first.
        for (n, name) in ["LeadFirst", "ContactFirst"].into_iter().enumerate() {
            let lead = world.lead_with(&format!("{name}Named"), &address(&format!("work{n}")));
            let contact = world.emulators.salesforce.with(|org| org.add_contact("Ada", &format!("{name}Mail"), &address(name)).unwrap());
            named(name, "sfdcLeadId", lead);
            let mut order = [lead, contact];
            if n == 1 {
                order.reverse();
            }
            for id in order {
                world.add_in_salesforce(id, if id == lead { "Registered" } else { "Attended" });
                let expected = match id == lead {
                    true => (json!(world.marketo_id(name)), "in_sync".to_owned()),
                    false => (Value::Null, "second_record".to_owned()),
                };
                assert_eq!(running.stands(name, id).await, expected, "{name}");
            }
            assert_eq!(world.in_marketo().get(name), Some(&vec!["Registered".to_owned()]), "{name}");
        }
        running.comes_to_rest().await;
    }
}
