//! Flow actions: what each does and when it is skipped, in campaigns with and without a mapping, for one person and for thousands.

use std::collections::BTreeMap;

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::salesforce::Id;
use serde_json::{Value, json};

use crate::support::{TestDatabase, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{KEY, SOON, World, address};

/// A running service, and a campaign that no program is mapped to, with the statuses `Sent`, `Responded` and `Visited`.
pub struct Fair {
    pub running: Running,
    pub campaign: Id,
}

impl Fair {
    pub async fn new(database: &TestDatabase) -> Self {
        Self::beside(Running::new(database).await)
    }

    fn beside(running: Running) -> Self {
        let campaign = Self::campaign(&running, "Fair");
        Self { running, campaign }
    }

    pub fn campaign(running: &Running, name: &str) -> Id {
        running.world.emulators.salesforce.with(|org| {
            let campaign = org.add_campaign(name, "Trade Show").unwrap();
            org.add_status(campaign, "Visited", true).unwrap();
            campaign
        })
    }

    pub fn add_before(&self, person: Id, status: &str) -> Id {
        self.running.world.emulators.salesforce.with(|org| org.add_member(self.campaign, person, Some(status)).unwrap())
    }

    /// Who holds which status, by last name.
    pub fn held(&self) -> BTreeMap<String, String> {
        held(&self.running, self.campaign)
    }

    /// Asked for with the answer when all is done: outcome and reason of each person.
    pub async fn act(&self, action: &str, status: Option<&str>, people: Value) -> Vec<String> {
        act(&self.running, action, json!({"campaign_id": self.campaign, "status": status, "people": people})).await
    }

    /// What receivers are told of a person in this campaign.
    pub async fn events_of(&self, name: &str) -> Vec<String> {
        let events = self.running.all_events().await;
        let mut told = Vec::new();
        for data in events.iter().map(|event| &event["data"]) {
            let person = data["person"]["salesforce_id"].as_str().unwrap_or_default();
            if data["campaign_id"] == json!(self.campaign) && self.running.world.name_of(person) == name {
                assert_eq!((&data["campaign_name"], &data["mapping_id"]), (&json!("Fair"), &Value::Null), "{data:#}");
                assert_eq!(data["sequence"], told.len() + 1, "{data:#}");
                let text = |name: &str| data[name].as_str().unwrap_or("-").to_owned();
                told.push(["old_status", "new_status", "origin", "detected_by"].map(text).join(" "));
            }
        }
        told
    }
}

pub fn held(running: &Running, campaign: Id) -> BTreeMap<String, String> {
    running.world.emulators.salesforce.with(|org| {
        let members = org.members(campaign).into_iter();
        let name = |id: Option<Id>| id.and_then(|id| org.row(id)).unwrap().text_of("LastName").to_owned();
        let found: Vec<_> = members.map(|m| (name(m.contact.or(m.lead)), m.status)).collect();
        let side: BTreeMap<_, _> = found.iter().cloned().collect();
        assert_eq!(side.len(), found.len(), "somebody is a member twice");
        side
    })
}

fn outcomes(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    results.iter().map(|r| format!("{} {}", text(&r["outcome"]), text(&r["reason"])).trim_end().to_owned()).collect()
}

async fn act(running: &Running, action: &str, body: Value) -> Vec<String> {
    let answer = running.api.post(&format!("flow-actions/{action}?wait=true"), &body).await;
    let id = answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned();
    let answer = ended(running, &id).await;
    outcomes(&answer)
}

/// The flow action once nothing of it is open.
async fn ended(running: &Running, id: &str) -> Value {
    eventually("the flow action to end", SOON * 2, async || {
        let answer = running.api.get(&format!("flow-actions/{id}")).await.expect(200).json();
        (answer["counts"]["queued"] == 0).then_some(answer)
    })
    .await
}

fn marketo(ids: &[i64]) -> Value {
    ids.iter().map(|id| json!({ "marketo_id": id })).collect()
}

on_both! {
    async fn each_does_what_it_says_in_a_campaign_without_a_mapping(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let world = &fair.running.world;
        let (inside, outside) = (world.lead("Inside"), world.lead("Outside"));
        fair.add_before(inside, "Sent");
        let (fresh, never) = (world.marketo_person("Fresh"), world.marketo_person("Never"));
        let people = json!([{"salesforce_id": inside}, {"salesforce_id": outside}, {"marketo_id": fresh}]);

        // Whoever is a member already keeps the status.
        assert_eq!(fair.act("add-to-campaign", Some("Visited"), people.clone()).await, ["skipped already_member", "applied", "applied"]);
        let expected = [("Fresh", "Visited"), ("Inside", "Sent"), ("Outside", "Visited")];
        assert_eq!(fair.held(), expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
        assert_eq!((world.leads("Fresh"), world.people("Fresh")), (1, 1));

        let later = world.marketo_person("Later");
        let everybody = json!([{"salesforce_id": inside}, {"salesforce_id": outside}, {"email": address("Later")}]);
        assert_eq!(fair.act("change-status", Some("Visited"), everybody).await, ["applied", "skipped same_status", "applied"]);
        assert!(fair.held().values().all(|status| status == "Visited"), "{:?}", fair.held());

        let people = json!([{"salesforce_id": inside}, {"marketo_id": later}, {"marketo_id": never}, {"email": "nobody@nowhere.example"}]);
        assert_eq!(
            fair.act("remove-from-campaign", None, people).await,
            ["applied", "applied", "skipped not_member", "skipped not_member"]
        );
        assert_eq!(fair.held().into_keys().collect::<Vec<_>>(), ["Fresh", "Outside"]);
        assert_eq!(world.leads("Never"), 0, "a removal created somebody");
        assert_eq!(fair.act("remove-from-campaign", None, json!([{"salesforce_id": inside}])).await, ["skipped not_member"]);

        fair.running.settle().await;
        assert_eq!(fair.events_of("Inside").await, ["Sent Visited flow_action write", "Visited - flow_action write"]);
        assert_eq!(fair.events_of("Outside").await, ["- Visited flow_action write"]);
        assert_eq!(fair.events_of("Fresh").await, ["- Visited flow_action write"]);
        assert_eq!(fair.events_of("Later").await, ["- Visited flow_action write", "Visited - flow_action write"]);
        fair.running.at_rest().await;
    }

    async fn on_a_mapped_campaign_the_result_travels_to_marketo(database: TestDatabase) {
        let running = Running::new(&database).await;
        let person = running.world.marketo_person("Mover");
        let known = running.world.lead("Known");
        let campaign = running.world.campaign;
        let body = |status: Option<&str>| json!({"campaign_id": campaign, "status": status, "people": [{"marketo_id": person}, {"salesforce_id": known}]});
        assert_eq!(act(&running, "add-to-campaign", body(Some("Registered"))).await, ["applied", "applied"]);
        running.both_have("Mover", Some("Registered")).await;
        running.both_have("Known", Some("Registered")).await;
        assert_eq!(act(&running, "change-status", body(Some("Attended"))).await, ["applied", "applied"]);
        running.both_have("Mover", Some("Attended")).await;
        assert_eq!(act(&running, "change-status", body(Some("Attended"))).await, ["skipped same_status", "skipped same_status"]);
        assert_eq!(act(&running, "remove-from-campaign", body(None)).await, ["applied", "applied"]);
        running.both_have("Mover", None).await;
        running.both_have("Known", None).await;
        running.at_rest().await;
        for name in ["Mover", "Known"] {
            let told = ["- Registered flow_action write", "Registered Attended flow_action write", "Attended - flow_action write"];
            assert_eq!(running.events_of(name).await, told);
            assert_eq!((running.world.leads(name), running.world.people(name)), (1, 1), "{name}");
        }
        let ledger = running.api.get("stats").await.expect(200).json()["ledger"].clone();
        let others: i64 = ledger.as_object().unwrap().iter().filter(|(name, _)| *name != "received").map(|(_, n)| n.as_i64().unwrap()).sum();
        assert_eq!(ledger["received"], others, "{ledger}");
    }

    async fn what_cannot_be_is_refused_and_nothing_changes(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let (running, person) = (&fair.running, fair.running.world.marketo_person("Nobody"));
        let writes = running.world.writes();
        let body = |campaign: Id, status: &str| json!({"campaign_id": campaign, "status": status, "people": [{"marketo_id": person}]});
        let refused = running.api.post("flow-actions/add-to-campaign", &body(fair.campaign, "visited")).await.expect(422).json();
        assert_eq!((&refused["code"], &refused["statuses"]), (&json!("unknown-status"), &json!(["Sent", "Responded", "Visited"])));
        running.api.get(&format!("campaign-members?campaign_id={}", fair.campaign)).await.expect(404);

        let policies = json!({"policies": {"direction": "observe"}});
        running.api.patch(&format!("mappings/{}", running.mapping), &policies).await.expect(200);
        let refused = running.api.post("flow-actions/add-to-campaign", &body(running.world.campaign, "Attended")).await.expect(409).json();
        assert_eq!((&refused["code"], &refused["mapping_id"]), (&json!("mapping-observes"), &json!(running.mapping)));
        running.runs_end().await;
        running.settle().await;
        assert_eq!(running.world.writes(), writes);
        assert_eq!(running.world.leads("Nobody"), 0);
        assert_eq!(running.api.get("changes?kind=flow_action").await.expect(200).json()["data"], json!([]));
    }

    async fn thousands_at_once_cost_full_calls_and_are_answered_in_pages(database: TestDatabase) {
        calm_only!("counts calls");
        // A lease as it is outside of tests: none is lost while a machine with much else to do links 100 people.
        let world = World::new().await;
        let launch = world.launch(&database).set("sync.lease", "30s");
        let fair = Fair::beside(Running::launch(world, launch).await);
        let world = &fair.running.world;
        let leads = (0..2000).map(|n| json!({"salesforce_id": world.lead(&format!("Lead{n}"))}));
        let people: Vec<Value> = leads.chain((0..100).map(|n| json!({"marketo_id": world.marketo_person(&format!("Fresh{n}"))}))).collect();
        let before = world.writes();
        let body = json!({"campaign_id": fair.campaign, "status": "Sent", "people": people});
        let made = fair.running.api.post("flow-actions/add-to-campaign", &body).await.expect(202);
        let id = made.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(made.header("location"), format!("/api/v1/flow-actions/{id}"));
        assert_eq!(made.json()["results"].as_array().unwrap().len(), people.len());
        ended(&fair.running, &id).await;
        let (mut seen, mut path) = (Vec::new(), format!("flow-actions/{id}?limit=300"));
        loop {
            let page = fair.running.api.get(&path).await.expect(200).json();
            assert_eq!(page["counts"]["applied"], people.len(), "{:#}", page["counts"]);
            seen.extend(page["results"].as_array().unwrap().iter().map(|result| result["person"].clone()));
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("flow-actions/{id}?limit=300&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seen, people, "everybody once, in the order in which they were named");
        assert_eq!(fair.held().len(), people.len());
        let calls = world.writes().1 - before.1;
        let endpoints = world.emulators.salesforce.with(|org| org.counters.endpoints.clone());
        assert!(calls <= 14, "{calls} calls for 2,100 members and 100 leads: {endpoints:?}");
        assert_eq!(world.emulators.salesforce.with(|org| org.counters.misuse.duplicate_leads), 0);
    }

    async fn one_unknown_person_in_two_campaigns_at_once_becomes_one_lead(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let other = Fair::campaign(&fair.running, "Other");
        let world = &fair.running.world;
        for round in 0..4 {
            let (known, by_address) = (format!("Known{round}"), format!("Address{round}"));
            let id = world.marketo_person(&known);
            let people = json!([{"marketo_id": id}, {"email": format!("{by_address}@new.example")}]);
            let body = |campaign: Id| json!({"campaign_id": campaign, "status": "Visited", "people": people});
            let (one, two) = tokio::join!(
                act(&fair.running, "add-to-campaign", body(fair.campaign)),
                act(&fair.running, "change-status", body(other))
            );
            assert_eq!((one, two), (vec!["applied".to_owned(); 2], vec!["applied".to_owned(); 2]));
            assert_eq!(world.leads(&known), 1, "{known}");
            // Nobody knows more of them than the address.
            let nameless = world.leads("[unknown]");
            assert_eq!(nameless, round + 1, "{by_address}");
        }
        assert_eq!(world.emulators.salesforce.with(|org| org.counters.misuse.duplicate_leads), 0);
    }

    async fn a_command_that_is_tried_again_is_not_overtaken(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let world = &fair.running.world;
        let lead = world.lead("Ordered");
        // The campaign is known and read before, so that the fault meets the addition.
        fair.act("remove-from-campaign", None, json!([{"salesforce_id": lead}])).await;
        fair.running.settle().await;
        let unwell = Action::Answer { status: 503, content_type: "text/html".to_owned(), body: "later".to_owned() };
        let fault = Fault { method: Some("POST".to_owned()), times: 2, ..Fault::next(Vendor::Salesforce, "/composite/sobjects", unwell) };
        world.emulators.faults.add(fault);
        let ask = async |action: &str, status: Option<&str>, person: Value| {
            let body = json!({"campaign_id": fair.campaign, "status": status, "people": [person]});
            let made = fair.running.api.post(&format!("flow-actions/{action}"), &body).await.expect(202).json();
            made["id"].as_str().unwrap().to_owned()
        };
        let add = ask("add-to-campaign", Some("Sent"), json!({"salesforce_id": lead})).await;
        eventually("the addition to fail", SOON, async || (world.emulators.faults.waiting().first().is_none_or(|f| f.times < 2)).then_some(())).await;
        let change = ask("change-status", Some("Visited"), json!({"salesforce_id": lead})).await;
        let remove = ask("remove-from-campaign", None, json!({"salesforce_id": lead})).await;
        for id in [add, change, remove] {
            assert_eq!(outcomes(&ended(&fair.running, &id).await), ["applied"]);
        }
        assert!(fair.held().is_empty());
        let told = ["- Sent flow_action write", "Sent Visited flow_action write", "Visited - flow_action write"];
        assert_eq!(fair.events_of("Ordered").await, told);
    }

    async fn a_lost_answer_is_understood(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let lead = fair.running.world.lead("Lost");
        for (action, status) in [("add-to-campaign", Some("Sent")), ("change-status", Some("Visited")), ("remove-from-campaign", None)] {
            let part = "/composite/sobjects";
            fair.running.world.emulators.faults.add(Fault {
                method: Some(if status == Some("Sent") { "POST" } else if status.is_some() { "PATCH" } else { "DELETE" }.to_owned()),
                ..Fault::next(Vendor::Salesforce, part, Action::AppliedButLost)
            });
            assert_eq!(fair.act(action, status, json!([{"salesforce_id": lead}])).await, ["applied"], "{action}");
            assert!(fair.running.world.emulators.faults.waiting().is_empty(), "{action}");
        }
        fair.running.settle().await;
        // Of a removal no row says whose it was, so its own webhook may tell of it first.
        let told = fair.events_of("Lost").await;
        assert_eq!(told.iter().map(|told| told.split(' ').take(3).collect::<Vec<_>>().join(" ")).take(2).collect::<Vec<_>>(),
            ["- Sent flow_action", "Sent Visited flow_action"]);
        assert!(told.len() == 3 && told[2].starts_with("Visited - "), "{told:?}");
    }

    async fn a_request_that_is_repeated_is_carried_out_once(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let person = fair.running.world.marketo_person("Once");
        let api = fair.running.api.with_header("idempotency-key", "once");
        let body = json!({"campaign_id": fair.campaign, "status": "Sent", "people": [{"marketo_id": person}]});
        let first = api.post("flow-actions/add-to-campaign?wait=true", &body).await.expect(200);
        assert_eq!((first.json()["outcome"].as_str(), first.json()["reason"].as_str()), (Some("applied"), None));
        let again = api.post("flow-actions/add-to-campaign?wait=true", &body).await.expect(200);
        assert_eq!((again.header("idempotency-replayed"), &again.text), ("true", &first.text));
        let other = json!({"campaign_id": fair.campaign, "status": "Visited", "people": [{"marketo_id": person}]});
        api.post("flow-actions/add-to-campaign?wait=true", &other).await.expect(422);
        // The key is of the operation too: neither an answer to another one, nor leave to do it.
        for operation in ["change-status", "remove-from-campaign"] {
            let refused = api.post(&format!("flow-actions/{operation}?wait=true"), &body).await.expect(422).json();
            assert_eq!(refused["errors"][0]["field"], "Idempotency-Key", "{operation}: {refused:#}");
        }
        assert_eq!(fair.held()["Once"], "Sent");
        fair.running.settle().await;
        assert_eq!(fair.events_of("Once").await, ["- Sent flow_action write"]);
    }

    async fn inside_a_mapped_program_nothing_is_implied(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let world = &fair.running.world;
        let (unknown, known) = (world.marketo_person("Unknown"), world.lead("Known"));
        let body = json!({"campaign_id": fair.campaign, "status": "Sent", "program_id": world.program,
            "people": [{"marketo_id": unknown}, {"salesforce_id": known}]});
        assert_eq!(act(&fair.running, "change-status", body.clone()).await, ["skipped left_to_mapping"; 2]);
        assert_eq!(act(&fair.running, "add-to-campaign", body).await, ["skipped left_to_mapping", "applied"]);
        assert_eq!((world.leads("Unknown"), fair.held().into_keys().collect::<Vec<_>>()), (0, vec!["Known".to_owned()]));
        let outside = json!({"campaign_id": fair.campaign, "status": "Sent", "program_id": 987_654, "people": marketo(&[unknown])});
        assert_eq!(act(&fair.running, "add-to-campaign", outside).await, ["applied"]);
        assert_eq!(world.leads("Unknown"), 1);
    }

    async fn a_step_in_marketo_calls_it_as_marketo_renders(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let person = fair.running.world.marketo_person("Step");
        let api = crate::support::Api::new(fair.running.service.url()).with_header("x-api-key", KEY);
        let body = format!(
            r#"{{"campaign_id":""{}"","status":""Visited"","leadId":""{person}"","program_id":{{{{program.id}}}}}}"#,
            fair.campaign
        );
        let answer = api.post_bytes("flow-actions/add-to-campaign?wait=true", body, "text/plain").await.expect(200).json();
        assert_eq!((&answer["outcome"], &answer["reason"], &answer["program_id"]), (&json!("applied"), &Value::Null, &Value::Null));
        assert_eq!(fair.held()["Step"], "Visited");
        let body = format!(r#"{{"campaign_id":"{}","status":"Visited","leadId":{person}}}"#, fair.campaign);
        let again = api.post_bytes("flow-actions/add-to-campaign?wait=true", body, "").await.expect(200).json();
        assert_eq!((&again["outcome"], &again["reason"]), (&json!("skipped"), &json!("already_member")));
    }

    async fn who_cannot_be_told_apart_fails_and_is_tried_again_by_a_person(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let world = &fair.running.world;
        let (one, two) = (world.lead("Double"), world.lead("Double"));
        let person = world.marketo_person("Double");
        assert_eq!(fair.act("add-to-campaign", Some("Sent"), marketo(&[person])).await, ["failed ambiguous_person"]);
        assert_eq!(fair.act("add-to-campaign", Some("Sent"), marketo(&[999_999_999])).await, ["failed person_unknown"]);
        let failed = fair.running.api.get("changes?kind=flow_action&state=parked").await.expect(200).json();
        let failed = failed["data"].as_array().unwrap().clone();
        assert_eq!(failed.iter().map(|change| &change["campaign_id"]).collect::<Vec<_>>(), [&json!(fair.campaign); 2]);
        let change = |n: usize, to: &str| format!("changes/{}/{to}", failed[n]["id"].as_str().unwrap());
        fair.running.api.post(&change(1, "discard"), &json!({})).await.expect(200);
        world.emulators.salesforce.with(|org| org.delete(&org.as_person(), two).unwrap());
        fair.running.api.post(&change(0, "retry"), &json!({})).await.expect(200);
        eventually("the retry", SOON, async || (fair.held().len() == 1).then_some(())).await;
        fair.running.settle().await;
        assert_eq!((world.leads("Double"), fair.events_of("Double").await.len()), (1, 1));
        assert_eq!(fair.running.world.name_of(&one.to_string()), "Double");
    }

    async fn a_campaign_that_was_named_is_followed_from_then_on(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let world = &fair.running.world;
        let before = fair.add_before(world.lead("Before"), "Sent");
        fair.act("add-to-campaign", Some("Visited"), json!([{"salesforce_id": world.lead("Named")}])).await;
        let members = format!("campaign-members?campaign_id={}", fair.campaign);
        eventually("the first read", SOON, async || (fair.running.api.get(&members).await.expect(200).json()["complete"] == true).then_some(())).await;
        let after = world.lead("After");
        fair.add_before(after, "Sent");
        world.emulators.salesforce.with(|org| org.set_member_status(before, "Visited").unwrap());
        eventually("the events", SOON, async || (fair.running.all_events().await.len() == 3).then_some(())).await;
        fair.running.settle().await;
        assert_eq!(fair.events_of("Before").await, ["Sent Visited salesforce webhook"]);
        assert_eq!(fair.events_of("After").await, ["- Sent salesforce webhook"]);
        assert_eq!(fair.events_of("Named").await, ["- Visited flow_action write"]);
    }
}
