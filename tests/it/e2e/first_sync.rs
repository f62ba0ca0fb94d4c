//! The first sync: who was there before is told of to nobody, and nobody is made twice.

use std::collections::BTreeMap;

use crate::support::on_both;

use super::running::Running;
use super::world::{World, address};

on_both! {
    async fn what_each_side_lacks_is_added_and_only_that_is_told(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.marketo_person("OnlyMarketo");
        world.set_in_marketo("OnlyMarketo", "Registered");
        world.add_in_salesforce(world.lead("OnlySalesforce"), "Registered");
        for (name, marketo, salesforce) in [("AheadInMarketo", "Attended", "Registered"), ("AheadInSalesforce", "Invited", "Attended")] {
            world.marketo_person(name);
            world.set_in_marketo(name, marketo);
            world.add_in_salesforce(world.lead(name), salesforce);
        }
        // Known to Salesforce, and not in the campaign.
        world.lead("KnownLead");
        world.marketo_person("KnownLead");
        world.set_in_marketo("KnownLead", "Invited");

        let running = Running::start(world, &database).await;
        running.both_hold("the first sync", |side| {
            let of = |name: &str| side.get(name).map(|statuses| statuses.join(" "));
            let expected = [
                ("OnlyMarketo", "Registered"),
                ("OnlySalesforce", "Registered"),
                ("AheadInMarketo", "Attended"),
                ("AheadInSalesforce", "Attended"),
                ("KnownLead", "Invited"),
            ];
            expected.iter().all(|(name, status)| of(name).as_deref() == Some(*status)) && side.len() == 13
        })
        .await;
        running.at_rest().await;
        let told = [
            ("OnlyMarketo", vec!["- Registered marketo write"]),
            ("OnlySalesforce", vec![]),
            ("AheadInMarketo", vec!["Registered Attended marketo write"]),
            ("AheadInSalesforce", vec![]),
            ("KnownLead", vec!["- Invited marketo write"]),
            ("Bystander0", vec![]),
        ];
        for (name, expected) in told {
            assert_eq!(running.events_of(name).await, expected, "{name}");
            assert_eq!((running.world.leads(name), running.world.people(name)), (1, 1), "{name}");
        }
        assert_eq!(running.all_events().await.len(), 3);
    }

    async fn people_who_are_hard_to_tell_apart(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        for name in ["TwinOne", "TwinTwo"] {
            world.marketo_person_with(name, "family@people.example");
            world.set_in_marketo(name, "Registered");
        }
        world.marketo_person_with("NoAddressMarketo", "");
        world.set_in_marketo("NoAddressMarketo", "Invited");
        world.add_in_salesforce(world.lead_with("NoAddressSalesforce", ""), "Invited");
        // A lead that became a contact while it was a member.
        let lead = world.lead("Converted");
        world.add_in_salesforce(lead, "Registered");
        world.emulators.salesforce.with(|org| org.convert_lead(lead).unwrap());
        world.marketo_person("Converted");
        world.set_in_marketo("Converted", "Registered");
        // Lead and contact of one human.
        let contact = world.emulators.salesforce.with(|org| org.add_contact("Ada", "Double", &address("Double")).unwrap());
        world.add_in_salesforce(contact, "Registered");
        world.add_in_salesforce(world.lead("Double"), "Invited");
        world.marketo_person("Double");
        world.set_in_marketo("Double", "Registered");

        let running = Running::start(world, &database).await;
        running.settle().await;
        running.reconcile().await;
        let writes = running.world.writes();
        running.reconcile().await;
        assert_eq!(running.world.writes(), writes, "written though nothing changed");

        let (marketo, salesforce) = (running.world.in_marketo(), running.world.in_salesforce());
        for (name, status) in [("NoAddressMarketo", "Invited"), ("NoAddressSalesforce", "Invited"), ("Converted", "Registered")] {
            assert_eq!(marketo.get(name), Some(&vec![status.to_owned()]), "{name}");
            assert_eq!(salesforce.get(name), marketo.get(name), "{name}");
            assert_eq!((running.world.leads(name), running.world.people(name)), (1, 1), "{name}");
        }
        // The contact is the one that counts; the lead stays as it is.
        assert_eq!(marketo["Double"], ["Registered"]);
        assert_eq!(salesforce["Double"], ["Invited", "Registered"]);
        assert_eq!((running.world.leads("Double"), running.world.people("Double")), (1, 1));
        // One of the two has the address, and with it the lead; who the other is has to be said by somebody.
        let twins: Vec<_> = ["TwinOne", "TwinTwo"].into_iter().filter(|name| salesforce.contains_key(*name)).collect();
        assert_eq!(twins.len(), 1, "{salesforce:?}");
        assert_eq!(running.world.leads("TwinOne") + running.world.leads("TwinTwo"), 1);

        let members = running.members().await;
        let mut held: BTreeMap<String, usize> = BTreeMap::new();
        for member in members["data"].as_array().unwrap().iter().filter(|member| member["sync_state"] != "in_sync") {
            let text = |name: &str| member[name].as_str().unwrap_or_default();
            *held.entry(format!("{} {}", text("sync_state"), text("reason"))).or_default() += 1;
        }
        let expected = [("parked ambiguous_person", 1), ("parked second_record", 1)];
        assert_eq!(held, expected.map(|(state, n)| (state.to_owned(), n)).into(), "{members:#}");
        let misuse = running.world.emulators.salesforce.with(|org| org.counters.misuse);
        assert_eq!((misuse.duplicate_leads, misuse.duplicate_members), (0, 0));
    }
}
