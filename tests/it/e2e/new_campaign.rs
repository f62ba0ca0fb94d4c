//! A campaign that is made for a program: what it gets, and that an attempt that is cut off leaves no second one.

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::marketo::Cost;
use campaign_sync::sandbox::salesforce::{Cell, Id};
use serde_json::{Value, json};

use crate::support::{Answer, Api, Service, TestDatabase, eventually, on_both};

use super::mapping_life::campaigns;
use super::running::Running;
use super::storm::calm_only;
use super::world::{KEY, SOON, World};

const STATUSES: [&str; 3] = ["Invited default", "Registered", "Attended responded"];

/// A service beside both vendors, and no mapping.
struct Unmapped {
    world: World,
    service: Service,
    api: Api,
}

impl Unmapped {
    async fn new(database: &TestDatabase) -> Self {
        let world = World::new().await;
        world.emulators.marketo.with(|m| {
            let cost = |month, cost| Cost { start_date: jiff::civil::date(2026, month, 1), cost, note: None };
            m.programs.get_mut(&world.program).unwrap().costs = vec![cost(1, 1500), cost(2, 1000)];
        });
        let service = world.launch(database).start().await;
        let api = Api::new(service.url()).with_key(KEY);
        Self { world, service, api }
    }

    fn fault(&self, method: &str, path: &str, action: Action) {
        let fault = Fault { method: Some(method.to_owned()), ..Fault::next(Vendor::Salesforce, path, action) };
        self.world.emulators.faults.add(fault);
    }

    async fn ask(&self, name: &str, key: &str) -> Answer {
        let body = json!({"program_id": self.world.program, "create_campaign": {"name": name}});
        self.api.with_header("idempotency-key", key).post("mappings", &body).await
    }

    /// Asks as a person would, again and again with the same key.
    async fn made(&self, name: &str) -> Value {
        let made = eventually("the mapping", SOON, async || {
            let answer = self.ask(name, name).await;
            (answer.status.as_u16() == 201).then(|| answer.json())
        });
        made.await
    }

    fn named(&self, name: &str) -> Vec<Id> {
        campaigns(&self.world).into_iter().filter(|(found, _)| found == name).map(|(_, id)| id).collect()
    }

    /// Goes on with the mapping that was made.
    async fn mapped(self, made: &Value) -> Running {
        let campaign = Id::parse(made["campaign_id"].as_str().unwrap()).unwrap();
        let mut world = self.world;
        world.campaign = campaign;
        let mapping = made["id"].as_str().unwrap().to_owned();
        world.send_webhooks_to(self.service.url());
        let running = Running { world, service: self.service, api: self.api, mapping };
        running.runs_end().await;
        running.settle().await;
        running
    }
}

on_both! {
    async fn a_campaign_is_made_for_the_program(database: TestDatabase) {
        let service = Unmapped::new(&database).await;
        service.world.marketo_person("Early");
        service.world.set_in_marketo("Early", "Registered");
        // A campaign of the program's name is there already: perhaps it is meant.
        let taken = service.api.post("mappings", &json!({"program_id": service.world.program, "create_campaign": {}})).await.expect(422).json();
        assert_eq!((&taken["errors"][0]["field"], &taken["errors"][0]["code"]), (&json!("create_campaign.name"), &json!("taken")));
        assert_eq!(campaigns(&service.world).len(), 1);

        let made = service.ask("Spring 2027", "once").await.expect(201);
        let made = made.json();
        let again = service.ask("Spring 2027", "once").await.expect(201);
        assert_eq!((again.header("idempotency-replayed"), &again.json()["id"]), ("true", &made["id"]));
        let refused = service.ask("Spring 2028", "twice").await.expect(409).json();
        assert_eq!((&refused["code"], &refused["mapping_id"]), (&json!("already-mapped"), &made["id"]));

        let [id] = service.named("Spring 2027")[..] else { panic!("{:?}", campaigns(&service.world)) };
        assert_eq!(made["campaign_id"], id.to_string());
        assert_eq!(service.world.statuses_of(id), STATUSES);
        service.world.emulators.salesforce.with(|org| {
            let row = org.row(id).unwrap();
            assert_eq!((row.text_of("Type"), row.get("IsActive")), ("Webinar", &Cell::Bool(true)));
            assert_eq!(row.get("ActualCost"), &Cell::Number(2500.0));
        });
        let running = service.mapped(&made).await;
        running.both_have("Early", Some("Registered")).await;
        assert!(running.warnings().await.is_empty());
        running.at_rest().await;
        assert_eq!(running.world.emulators.salesforce.with(|org| org.counters.misuse.coerced_statuses), 0);
    }

    async fn a_name_that_is_too_long_is_shortened_or_refused(database: TestDatabase) {
        let service = Unmapped::new(&database).await;
        let long = format!("Spring, {}", "é".repeat(100));
        service.world.emulators.marketo.with(|m| m.programs.get_mut(&service.world.program).unwrap().name.clone_from(&long));
        let body = json!({"program_id": service.world.program, "create_campaign": {"name": long}});
        let refused = service.api.post("mappings", &body).await.expect(422).json();
        assert_eq!(refused["errors"][0]["code"], "too-long");
        let body = json!({"program_id": service.world.program, "create_campaign": {}});
        let made = service.api.post("mappings", &body).await.expect(201).json();
        let name = made["campaign_name"].as_str().unwrap();
        assert!(name.chars().count() == 80 && name.ends_with('…') && long.starts_with(name.trim_end_matches('…')), "{name}");
        // A name with a comma cannot be asked for, and its costs neither.
        let running = service.mapped(&made).await;
        running.warns_of(&["cost-unreadable"]).await;
    }

    async fn a_channel_without_success_keeps_responded(database: TestDatabase) {
        let service = Unmapped::new(&database).await;
        service.world.emulators.marketo.with(|m| {
            for status in m.channels.values_mut().flat_map(|channel| &mut channel.statuses) {
                status.success = false;
            }
        });
        let made = service.made("Nobody wins").await;
        let [id] = service.named("Nobody wins")[..] else { panic!("not one") };
        assert_eq!(service.world.statuses_of(id), ["Responded responded", "Invited default", "Registered", "Attended"]);
        assert_eq!(made["warnings"][0]["code"], "status-unmatched");
    }

    async fn whatever_is_lost_on_the_way_one_campaign_is_made(database: TestDatabase) {
        calm_only!("looks at a single answer");
        let service = Unmapped::new(&database).await;
        let program = service.world.program;
        for (n, (method, path, action)) in [
            ("POST", "/sobjects/Campaign", Action::AppliedButLost),
            ("POST", "/sobjects/Campaign", Action::Drop),
            ("POST", "/composite/sobjects", Action::AppliedButLost),
            ("POST", "/composite/sobjects", Action::Drop),
            ("DELETE", "/composite/sobjects", Action::AppliedButLost),
            ("DELETE", "/composite/sobjects", Action::Drop),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("Cut {n}");
            service.fault(method, path, action);
            let first = service.ask(&name, &name).await;
            assert_eq!(first.status.as_u16(), 503, "{name}: {}", first.text);
            assert!(service.world.emulators.faults.waiting().is_empty(), "{name}");
            let made = service.ask(&name, &name).await.expect(201).json();
            let [id] = service.named(&name)[..] else { panic!("{name}: {:?}", campaigns(&service.world)) };
            assert_eq!((&made["campaign_id"], &made["program_id"]), (&json!(id.to_string()), &json!(program)));
            assert_eq!(service.world.statuses_of(id), STATUSES, "{name}");
            service.api.delete(&format!("mappings/{}", made["id"].as_str().unwrap())).await.expect(204);
        }
    }

    async fn another_name_goes_on_with_the_campaign_of_the_first_attempt(database: TestDatabase) {
        calm_only!("looks at a single answer");
        let service = Unmapped::new(&database).await;
        service.fault("POST", "/sobjects/Campaign", Action::AppliedButLost);
        assert_eq!(service.ask("First", "first").await.status.as_u16(), 503);
        let [id] = service.named("First")[..] else { panic!("not made") };
        let made = service.ask("Second", "second").await.expect(201).json();
        assert_eq!((&made["campaign_id"], service.named("Second")), (&json!(id.to_string()), vec![id]));
        // A campaign that was made and thrown away since is made again.
        service.api.delete(&format!("mappings/{}", made["id"].as_str().unwrap())).await.expect(204);
        service.fault("POST", "/composite/sobjects", Action::Drop);
        assert_eq!(service.ask("Third", "third").await.status.as_u16(), 503);
        let [third] = service.named("Third")[..] else { panic!("not made") };
        service.world.emulators.salesforce.with(|org| {
            let person = org.as_person();
            org.atomically(|org| org.delete(&person, third)).unwrap();
        });
        let made = service.ask("Third", "third").await.expect(201).json();
        assert_ne!(made["campaign_id"], json!(third.to_string()));
        assert_eq!(service.named("Third").len(), 1);
    }

    async fn two_requests_at_once_make_one_campaign(database: TestDatabase) {
        let service = Unmapped::new(&database).await;
        service.fault("POST", "/sobjects/Campaign", Action::Delay { ms: 600 });
        let (a, b) = tokio::join!(service.ask("Together", "a"), service.ask("Together", "b"));
        let (made, refused) = if a.status.as_u16() == 201 { (a, b) } else { (b, a) };
        let (made, refused) = (made.expect(201).json(), refused.expect(409).json());
        assert_eq!((&refused["code"], &refused["mapping_id"]), (&json!("already-mapped"), &made["id"]));
        assert_eq!(service.named("Together").len(), 1);
    }

    async fn killed_while_it_creates_it_goes_on_after_a_restart(database: TestDatabase) {
        calm_only!("ends in the middle of a single call");
        for (n, (method, path)) in [("POST", "/sobjects/Campaign"), ("POST", "/composite/sobjects")].into_iter().enumerate() {
            let name = format!("Killed {n}");
            let service = Unmapped::new(&database).await;
            service.fault(method, path, Action::Delay { ms: 1500 });
            let body = json!({"program_id": service.world.program, "create_campaign": {"name": name}});
            let url = format!("{}/api/v1/mappings", service.service.url());
            let asked = tokio::spawn(async move {
                reqwest::Client::new().post(url).bearer_auth(KEY).json(&body).send().await.map(|answer| answer.status())
            });
            eventually("the call", SOON, async || service.world.emulators.faults.waiting().is_empty().then_some(())).await;
            let Unmapped { world, service, .. } = service;
            let launch = service.kill();
            assert!(asked.await.unwrap().is_err(), "answered before it was killed");
            let service = launch.start().await;
            let api = Api::new(service.url()).with_key(KEY);
            let service = Unmapped { world, service, api };
            let made = service.made(&name).await;
            let [id] = service.named(&name)[..] else { panic!("{name}: {:?}", campaigns(&service.world)) };
            assert_eq!(made["campaign_id"], id.to_string());
            assert_eq!(service.world.statuses_of(id), STATUSES);
            service.api.delete(&format!("mappings/{}", made["id"].as_str().unwrap())).await.expect(204);
        }
    }
}
