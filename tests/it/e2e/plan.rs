//! Plans: what is going to be done is said beforehand, nothing is touched by saying it, and applying does just that.

use std::collections::BTreeMap;

use campaign_sync::sandbox::salesforce::{DuplicateRule, Webhooks};
use serde_json::{Value, json};

use crate::support::{Api, Service, Tables, TestDatabase, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{KEY, SOON, Side, World, address};

/// Somebody for each thing that a first sync can do, beside eight who agree.
fn cast(world: &World) {
    world.bystanders(8);
    for (name, marketo, salesforce) in [
        ("OnlyMarketo", Some("Registered"), None),
        ("Unknown", Some("Invited"), None),
        ("OnlySalesforce", None, Some("Registered")),
        ("AheadInMarketo", Some("Attended"), Some("Registered")),
        ("AheadInSalesforce", Some("Invited"), Some("Attended")),
    ] {
        if let Some(status) = marketo {
            world.marketo_person(name);
            world.set_in_marketo(name, status);
        }
        if name != "Unknown" {
            let lead = world.lead(name);
            if let Some(status) = salesforce {
                world.add_in_salesforce(lead, status);
            }
        }
    }
    // Of two who share an address one becomes a lead, and the rule against duplicates stops the other.
    for name in ["TwinOne", "TwinTwo"] {
        world.marketo_person_with(name, "twin@people.example");
        world.set_in_marketo(name, "Invited");
    }
}

async fn started(world: &World, database: &TestDatabase) -> (Service, Api) {
    let service = world.launch(database).start().await;
    world.send_webhooks_to(service.url());
    let api = Api::new(service.url()).with_key(KEY);
    (service, api)
}

/// All rows of a plan.
async fn rows(api: &Api, plan: &Value) -> Vec<Value> {
    let path = format!("plans/{}/rows?limit=3", plan["id"].as_str().unwrap());
    let (mut rows, mut next) = (Vec::new(), path.clone());
    loop {
        let page = api.get(&next).await.expect(200).json();
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return rows,
        }
    }
}

/// The counts of a plan are those of its rows.
fn assert_adds_up(plan: &Value, rows: &[Value]) {
    let of =
        |side: &str, action: &str| rows.iter().filter(|row| row["side"] == side && row["action"] == action).count();
    let those = |field: &str| rows.iter().filter(|row| row[field] == true).count();
    let held = of("marketo", "hold") + of("salesforce", "hold");
    let expected = json!({
        "add_to_salesforce": of("salesforce", "add"), "add_to_marketo": of("marketo", "add"),
        "remove_from_salesforce": of("salesforce", "remove"), "remove_from_marketo": of("marketo", "remove"),
        "change_in_salesforce": of("salesforce", "change"), "change_in_marketo": of("marketo", "change"),
        "conflicts": those("conflict"), "people_to_create": those("creates_person"), "held": held,
    });
    assert_eq!(plan["counts"], expected, "{rows:#?}");
    let total: u64 = [
        "add_to_salesforce",
        "add_to_marketo",
        "remove_from_salesforce",
        "remove_from_marketo",
        "change_in_salesforce",
        "change_in_marketo",
        "held",
    ]
    .iter()
    .map(|name| plan["counts"][name].as_u64().unwrap())
    .sum();
    assert_eq!(total, rows.len() as u64);
}

/// Both sides once the rows are done, of people who are told apart by their address.
fn foreseen(world: &World, rows: &[Value]) -> (Side, Side) {
    let (mut marketo, mut salesforce) = (world.in_marketo(), world.in_salesforce());
    let names: BTreeMap<String, String> =
        marketo.keys().chain(salesforce.keys()).map(|name| (address(name), name.clone())).collect();
    for row in rows.iter().filter(|row| row["action"] != "hold") {
        let email = row["person"]["email"].as_str().unwrap();
        // The one of the twins who is added.
        let twin = || {
            world.emulators.marketo.with(|w| {
                w.people.get(row["person"]["marketo_id"].as_i64().unwrap()).unwrap().fields["lastName"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
        };
        let name = names.get(email).cloned().unwrap_or_else(twin);
        let side = if row["side"] == "marketo" { &mut marketo } else { &mut salesforce };
        assert_eq!(row["from"].as_str(), side.get(&name).map(|held| held[0].as_str()), "{row:#}");
        match row["to"].as_str() {
            Some(status) => drop(side.insert(name, vec![status.to_owned()])),
            None => drop(side.remove(&name)),
        }
    }
    (marketo, salesforce)
}

on_both! {
    async fn a_dry_run_of_a_mapping_says_what_its_first_sync_does_and_leaves_no_trace(database: TestDatabase) {
        calm_only!("counts what one run changes");
        let world = World::new().await;
        cast(&world);
        let (_service, api) = started(&world, &database).await;
        let tables = Tables::open(&database.url).await;
        let body = json!({"program_id": world.program, "campaign_id": world.campaign});
        let writes = world.writes();
        let plan = api.post("mappings?dry_run=true", &body).await.expect(200).json()["plan"].clone();
        assert_eq!((plan["state"].as_str(), &plan["mapping_id"]), (Some("ready"), &Value::Null), "{plan:#}");
        let rows = rows(&api, &plan).await;
        assert_adds_up(&plan, &rows);
        let counts = &plan["counts"];
        let expected = [("add_to_salesforce", 3), ("add_to_marketo", 1), ("change_in_salesforce", 1), ("change_in_marketo", 1), ("conflicts", 2), ("people_to_create", 3), ("held", 1)];
        for (name, n) in expected {
            assert_eq!(counts[name], n, "{name} in {counts:#} of {rows:#?}");
        }
        let held = rows.iter().find(|row| row["action"] == "hold").unwrap();
        assert_eq!(held["reason"], "ambiguous_person", "{held:#}");
        assert!(plan["seconds"].as_i64().unwrap() > 0 && plan["calls"]["marketo"].as_i64().unwrap() > 3, "{plan:#}");

        assert_eq!(world.writes(), writes, "a plan has written");
        for table in ["mappings", "members", "people", "outbox", "runs", "history", "trigger_events", "guards"] {
            assert_eq!(tables.lines(table, &["1"]).await.len(), 0, "{table}");
        }
        assert_eq!(tables.lines("lanes", &["id"]).await, ["router"]);
        api.post(&format!("plans/{}/apply", plan["id"].as_str().unwrap()), &json!({})).await.expect(409);

        // The first sync does what was said.
        let foreseen = foreseen(&world, &rows);
        let made = api.post("mappings", &body).await.expect(201).json();
        let run = format!("runs/{}", made["run_id"].as_str().unwrap());
        eventually("the first sync", SOON, async || (api.get(&run).await.expect(200).json()["state"] == "completed").then_some(())).await;
        eventually("what was said", SOON, async || ((world.in_marketo(), world.in_salesforce()) == foreseen).then_some(())).await;
        let old = api.get(&format!("plans/{}", plan["id"].as_str().unwrap())).await.expect(200).json();
        assert_eq!(old["state"], "superseded");
        eventually("who was said to be held", SOON, async || {
            let path = format!("mappings/{}/members?sync_state=parked", made["id"].as_str().unwrap());
            let parked = api.get(&path).await.expect(200).json();
            let of = |row: &Value| (row["person"]["marketo_id"].clone(), row["reason"].clone());
            (parked["data"].as_array().unwrap().iter().map(of).collect::<Vec<_>>() == [of(held)]).then_some(())
        }).await;
        let shown = api.get(&run).await.expect(200).json();
        assert_eq!(shown["progress"]["remaining"], 0, "{shown:#}");
        assert_eq!(shown["progress"]["salesforce_expected"], 11, "{shown:#}");
        assert_eq!(shown["differences"]["marketo"], json!({"different": 1, "missing": 1}), "{shown:#}");
    }

    async fn a_plan_is_applied_row_for_row_and_what_has_drifted_is_told(database: TestDatabase) {
        let world = World::new().await;
        cast(&world);
        let (_service, api) = started(&world, &database).await;
        let body = json!({"program_id": world.program, "campaign_id": world.campaign, "paused": true});
        let mapping = api.post("mappings", &body).await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let writes = world.writes();
        let answer = api.post(&format!("mappings/{mapping}/plan"), &json!({})).await.expect(201);
        let first = answer.json();
        assert_eq!(answer.header("location"), format!("/api/v1/plans/{}", first["id"].as_str().unwrap()));
        let dry = api.post(&format!("mappings/{mapping}/reconcile?dry_run=true"), &json!({})).await.expect(200).json()["plan"].clone();
        assert_eq!(dry["counts"], first["counts"]);
        let plan = api.post(&format!("mappings/{mapping}/plan"), &json!({})).await.expect(201).json();
        let rows = rows(&api, &plan).await;
        assert_adds_up(&plan, &rows);
        assert_eq!(world.writes(), writes, "a plan has written");
        // A newer plan stands in the place of the older ones.
        let path = |plan: &Value| format!("plans/{}", plan["id"].as_str().unwrap());
        assert_eq!(api.get(&path(&first)).await.expect(200).json()["state"], "superseded");
        api.post(&format!("{}/apply", path(&first)), &json!({})).await.expect(409);
        let csv = api.with_header("accept", "text/csv").get(&format!("{}/rows?limit=2", path(&plan))).await.expect(200);
        assert!(csv.text.starts_with("person,side,action,from,to\r\n"), "{}", csv.text);
        assert!(csv.header("link").contains("rel=\"next\""));

        // One of them moves on before the plan is applied, one has gone, and of one sales has done what is planned; no webhook tells of it.
        world.emulators.marketo.with(|world| world.options.webhook_mishaps.drop_per_mille = 1000);
        world.emulators.salesforce.set_webhooks(Webhooks::default());
        world.set_in_marketo("OnlyMarketo", "Attended");
        world.remove_in_salesforce("OnlySalesforce");
        world.change_in_salesforce("AheadInMarketo", "Attended");
        let applied = api.post(&format!("{}/apply", path(&plan)), &json!({})).await.expect(202).json();
        assert_eq!(applied["checked"], true, "{applied:#}");
        let drifted: BTreeMap<&str, &str> = applied["drifted"].as_array().unwrap().iter()
            .map(|row| (row["person"]["email"].as_str().unwrap(), row["drifted"].as_str().unwrap())).collect();
        let (moved, gone) = (address("OnlyMarketo"), address("OnlySalesforce"));
        assert_eq!(drifted, [(moved.as_str(), "add salesforce Attended"), (gone.as_str(), "nothing")].into(), "{applied:#}");
        let run = format!("runs/{}", applied["run_id"].as_str().unwrap());
        eventually("the run", SOON, async || (api.get(&run).await.expect(200).json()["state"] == "completed").then_some(())).await;
        assert_eq!(api.get(&run).await.expect(200).json()["progress"]["checked"], rows.len());
        let (marketo, salesforce) = foreseen(&world, &[]);
        assert_eq!(marketo.get("OnlyMarketo"), Some(&vec!["Attended".to_owned()]));
        assert_eq!(salesforce.get("OnlyMarketo"), Some(&vec!["Attended".to_owned()]));
        assert_eq!(marketo.get("OnlySalesforce"), None);
        for row in rows.iter().filter(|row| row["action"] != "hold" && !drifted.contains_key(row["person"]["email"].as_str().unwrap())) {
            let side = if row["side"] == "marketo" { &marketo } else { &salesforce };
            let email = row["person"]["email"].as_str().unwrap();
            let held = side.iter().find(|(name, _)| address(name) == email || (email.starts_with("twin") && name.starts_with("Twin")));
            assert_eq!(held.map(|(_, held)| held[0].as_str()), row["to"].as_str(), "{row:#}");
        }
        assert_eq!(api.get(&path(&plan)).await.expect(200).json()["state"], "applied");
        assert_eq!(api.get(&run).await.expect(200).json()["plan_id"], plan["id"]);
        assert_eq!(api.get(&format!("mappings/{mapping}")).await.expect(200).json()["state"], "active");
    }

    async fn a_plan_of_a_running_mapping_shows_removals_and_finds_nothing_when_all_agree(database: TestDatabase) {
        let running = Running::new(&database).await;
        let plan = running.api.post(&format!("mappings/{}/plan", running.mapping), &json!({})).await.expect(201).json();
        assert_eq!((rows(&running.api, &plan).await, &plan["counts"]["held"]), (vec![], &json!(0)));
        // Without webhooks, nobody hears of it but who looks.
        running.world.emulators.marketo.with(|world| world.options.webhook_mishaps.drop_per_mille = 1000);
        for n in 0..5 {
            running.world.set_in_marketo(&format!("Bystander{n}"), "Not in Program");
        }
        let writes = running.world.writes();
        let plan = running.api.post(&format!("mappings/{}/plan", running.mapping), &json!({})).await.expect(201).json();
        let rows = rows(&running.api, &plan).await;
        assert_adds_up(&plan, &rows);
        assert_eq!((&plan["counts"]["remove_from_salesforce"], &plan["removals_wait"]), (&json!(5), &json!(true)), "{plan:#}");
        assert_eq!(running.world.writes(), writes);
        let guards = running.api.get(&format!("mappings/{}/guards", running.mapping)).await.expect(200).json();
        assert_eq!(guards["data"], json!([]), "a plan trips no guard");
        // Off, nothing is asked of the vendors.
        running.api.put("settings/campaign-sync", &json!({"enabled": false})).await.expect(200);
        running.api.post(&format!("mappings/{}/plan", running.mapping), &json!({})).await.expect(409);
    }

    async fn what_a_mapping_would_create_is_planned_and_not_created(database: TestDatabase) {
        let world = World::new().await;
        for name in ["One", "Two"] {
            world.marketo_person(name);
            world.set_in_marketo(name, "Registered");
        }
        let (_service, api) = started(&world, &database).await;
        let writes = world.writes();
        let body = json!({"program_id": world.program, "create_campaign": {"name": "Planned"}});
        let plan = api.post("mappings?dry_run=true", &body).await.expect(200).json()["plan"].clone();
        assert_eq!((&plan["counts"]["add_to_salesforce"], &plan["counts"]["people_to_create"]), (&json!(2), &json!(2)), "{plan:#}");
        // This one has only the statuses that Salesforce gives every campaign: it would be given the others.
        let other = world.emulators.salesforce.with(|org| org.add_campaign("Bare", "Webinar").unwrap());
        let body = json!({"program_id": world.program, "campaign_id": other, "provision_statuses": true});
        let map = json!([
            {"program_status": "Invited", "campaign_status": "Sent"}, {"program_status": "Registered", "campaign_status": "Registered"},
            {"program_status": "Attended", "campaign_status": "Responded"},
        ]);
        let mut body = body;
        body["status_map"] = map;
        let plan = api.post("mappings?dry_run=true", &body).await.expect(200).json()["plan"].clone();
        assert_eq!((&plan["counts"]["add_to_salesforce"], &plan["counts"]["held"]), (&json!(2), &json!(0)), "{plan:#}");
        assert_eq!(world.writes(), writes);
    }

    async fn of_those_who_share_an_address_as_many_are_created_as_was_planned(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        // Nothing in Salesforce is against two leads with one address; Marketo has one person for each.
        world.set_options(|options| options.duplicate_rule = DuplicateRule::Off);
        world.excused.add(&["duplicate_leads"]);
        for name in ["FamilyOne", "FamilyTwo", "FamilyThree"] {
            world.marketo_person_with(name, "family@people.example");
            world.set_in_marketo(name, "Registered");
        }
        for name in ["OfficeOne", "OfficeTwo"] {
            world.add_in_salesforce(world.lead_with(name, "office@people.example"), "Invited");
        }
        let (_service, api) = started(&world, &database).await;
        let body = json!({"program_id": world.program, "campaign_id": world.campaign, "paused": true});
        let mapping = api.post("mappings", &body).await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let plan = api.post(&format!("mappings/{mapping}/plan"), &json!({})).await.expect(201).json();
        let rows = rows(&api, &plan).await;
        assert_adds_up(&plan, &rows);
        let counts = &plan["counts"];
        for (name, n) in [("add_to_salesforce", 3), ("add_to_marketo", 1), ("people_to_create", 4), ("held", 1)] {
            assert_eq!(counts[name], n, "{name} in {counts:#} of {rows:#?}");
        }
        let applied = api.post(&format!("plans/{}/apply", plan["id"].as_str().unwrap()), &json!({})).await.expect(202).json();
        assert_eq!(applied["drifted"], json!([]), "{applied:#}");
        let run = format!("runs/{}", applied["run_id"].as_str().unwrap());
        eventually("the run", SOON, async || (api.get(&run).await.expect(200).json()["state"] == "completed").then_some(())).await;
        // Each row is what has come of its member, and nobody else has changed.
        let path = format!("mappings/{mapping}/members?limit=500");
        let members = eventually("everybody created", SOON, async || {
            let members = api.get(&path).await.expect(200).json()["data"].clone();
            let waits = |m: &Value| m["sync_state"] == "pending";
            (!members.as_array().unwrap().iter().any(waits)).then_some(members)
        }).await;
        for row in &rows {
            let is = |m: &&Value| {
                let same = |field: &str| !row["person"][field].is_null() && m["person"][field] == row["person"][field];
                same("marketo_id") || same("salesforce_id")
            };
            let member = members.as_array().unwrap().iter().find(is).unwrap_or_else(|| panic!("{row:#} in {members:#}"));
            let side = row["side"].as_str().unwrap();
            match row["action"].as_str() {
                Some("hold") => assert_eq!((&member["sync_state"], &member["reason"]), (&json!("parked"), &row["reason"]), "{row:#} {member:#}"),
                _ => assert_eq!((&member["sync_state"], &member[format!("{side}_status")]), (&json!("in_sync"), &row["to"]), "{row:#} {member:#}"),
            }
        }
        let held = rows.iter().find(|row| row["action"] == "hold").unwrap();
        assert_eq!((&held["side"], &held["reason"]), (&json!("marketo"), &json!("second_record")), "{held:#}");
        assert_eq!(["FamilyOne", "FamilyTwo", "FamilyThree"].map(|name| world.leads(name)), [1, 1, 1]);
        assert_eq!((world.in_marketo().len(), world.in_salesforce().len()), (8 + 3 + 1, 8 + 3 + 2));
    }
}
