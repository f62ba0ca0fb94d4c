//! What is shown, and what a person can do about it: mappings, members, changes, guards, events, figures.

use std::collections::HashMap;
use std::time::Duration;

use campaign_sync::domain::merge::{Base, Side};
use campaign_sync::domain::trigger::{DetectedBy, Origin, Seen, Transition, TransitionKind};
use campaign_sync::store::guards::GuardLimits;
use campaign_sync::store::lanes::Claim;
use campaign_sync::store::members::Member;
use campaign_sync::store::outbox::{Kind, NewWork, Subject};
use campaign_sync::store::people::Half;
use campaign_sync::store::record::{Batch, End, Recorded, Settled, VendorError};
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use super::vendors::campaign;
use super::{Answer, Service};
use crate::support::on_both;

pub(super) const LEASE: Duration = Duration::from_secs(30);

/// A snapshot without what differs from run to run.
macro_rules! snapshot {
    ($name:literal, $answer:expr) => {{
        let body: Value = $answer.json();
        assert_json_snapshot!($name, body, {
            ".**.id" => "[id]", ".**.mapping_id" => "[id]", ".**.run_id" => "[id]", ".run_id" => "[id]", ".id" => "[id]",
            ".mapping_id" => "[id]", ".**.target" => "[id]", ".**.actor" => "[actor]", ".**.guard_id" => "[id]",
            ".key" => "[key]",
        });
    }};
}
pub(super) use snapshot;

impl Service {
    /// Three members: one agrees, one is gated, one is held; a change is parked, a removal waits.
    pub(super) async fn populated(&self) -> String {
        let mapping_id = self.mapped().await;
        let mapping = self.store.mapping(&mapping_id).await.unwrap().unwrap();
        let lane = mapping.campaign_id.to_string();
        let subject = Subject::Marketo(318_592);
        let hint = |subject: Subject, source| NewWork {
            lane: lane.clone(),
            mapping_id: Some(mapping_id.clone()),
            kind: Kind::Hint,
            subject,
            source,
            payload: None,
            due_at: self.clock.now().as_millisecond(),
        };
        let held = Subject::Salesforce("00Q5g0000000001".parse().unwrap());
        self.store.enqueue(&[hint(subject.clone(), "marketo"), hint(held.clone(), "salesforce")]).await.unwrap();
        self.later(Duration::from_millis(40));
        let Claim { leases, changes, .. } = self.store.claim("w", LEASE, 10).await.unwrap();
        let halves = [Half::Marketo(318_592), Half::Marketo(318_593), Half::Marketo(318_594)];
        let people = self.store.ensure_people(&halves).await.unwrap();
        let status = |text: &str| Seen::Status(text.to_owned());
        let pairs = [
            (status("Attended"), status("Attended"), "in_sync", None),
            (status("Invited"), Seen::Absent, "gated", Some("below_gate")),
            (status("Registered"), status("Invited"), "diverged", Some("conflict_hold")),
        ];
        let members =
            people.into_iter().zip(pairs).enumerate().map(|(n, (person, (marketo, salesforce, state, reason)))| {
                let base = (n == 0)
                    .then(|| Base { marketo: Some("Attended".to_owned()), salesforce: Some("Attended".to_owned()) });
                let member = Member {
                    marketo,
                    salesforce,
                    base,
                    sync_state: state.to_owned(),
                    reason: reason.map(str::to_owned),
                    rule: Some("7".to_owned()),
                    ..Member::new(self.store.new_id(), lane.clone(), person)
                };
                let added = Transition {
                    kind: TransitionKind::Added,
                    old_status: None,
                    new_status: Some("Attended".to_owned()),
                };
                let events = if n == 0 { vec![(added, DetectedBy::Write, Origin::Marketo)] } else { Vec::new() };
                Recorded { member, events, history: vec![("decided", json!({"rule": "7"}))] }
            });
        let refused = VendorError {
            vendor: "salesforce".to_owned(),
            code: "FIELD_CUSTOM_VALIDATION_EXCEPTION".to_owned(),
            message: "not today, \"please\"".to_owned(),
        };
        let settled = changes.iter().map(|change| Settled {
            id: change.id.clone(),
            lane: lane.clone(),
            subject: change.subject.clone(),
            kind: Kind::Hint,
            end: match change.subject == subject {
                true => End::Applied,
                false => End::Parked { reason: "vendor_rejected".to_owned(), error: Some(refused.clone()) },
            },
        });
        let batch = Batch {
            leases,
            mappings: HashMap::from([(lane.clone(), mapping)]),
            members: members.collect(),
            settled: settled.collect(),
            ..Batch::default()
        };
        self.store.record(batch).await.unwrap();
        mapping_id
    }

    /// A guard that holds the removal of the member who agrees, with what is shown of it.
    pub(super) async fn guarded(&self, mapping_id: &str) -> (String, String) {
        let members = self.get(&format!("mappings/{mapping_id}/members?sync_state=in_sync")).await.expect(200).json();
        let member = members["data"][0]["id"].as_str().unwrap().to_owned();
        let limits = GuardLimits { members: 0, percent: 0, window: 3_600_000 };
        let removals = [(member.clone(), Side::Salesforce)];
        let allowed = self.store.guard(mapping_id, &campaign('1'), &removals, &limits).await.unwrap();
        assert!(allowed.is_empty());
        let guards = self.get(&format!("mappings/{mapping_id}/guards")).await.expect(200).json();
        (guards["data"][0]["id"].as_str().unwrap().to_owned(), member)
    }
}

/// The pages of a list, one row each.
pub(super) async fn one_by_one(service: &Service, path: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = service.get(&format!("{path}limit=1{cursor}")).await.expect(200).json();
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
        assert!(rows.len() < 50, "{path} never ends");
    }
}

pub(super) fn id_of(answer: &Answer) -> String {
    answer.json()["data"][0]["id"].as_str().unwrap().to_owned()
}

on_both! {
    async fn a_mapping_is_made_shown_changed_and_removed(database: TestDatabase) {
        let service = Service::new(&database).await;
        let made = service.post("mappings", json!({"program_id": 1044, "campaign_id": &campaign('1')[..15], "policies": {"conflict": "hold"}})).await;
        let made = made.expect(201);
        snapshot!("mapping_made", made);
        assert_eq!(made.header("etag"), "\"1\"");
        let path = made.header("location").to_owned();
        let shown = service.get(&path).await.expect(200);
        snapshot!("mapping_shown", shown);

        let renamed = service.ask("PATCH", &path, &[("if-match", "\"1\"")], r#"{"program_name":"Other"}"#).await.expect(200);
        assert_eq!((renamed.header("etag"), renamed.json()["run_id"].clone()), ("\"2\"", Value::Null));
        let gated = service.ask("PATCH", &path, &[], r#"{"policies":{"gate":["Attended"]}}"#).await.expect(200).json();
        assert_eq!((&gated["policies"]["gate"], &gated["policies"]["conflict"]), (&json!(["Attended"]), &json!("hold")));
        assert_eq!(gated["run_id"], made.json()["run_id"], "the first sync that goes on is begun anew");
        let same = service.ask("PATCH", &path, &[], r#"{"policies":{"gate":["Attended"]}}"#).await.expect(200);
        assert_eq!((same.header("etag"), same.json()["run_id"].clone()), ("\"3\"", Value::Null));
        let mapped = json!({"status_map": [
            {"program_status": "Invited", "campaign_status": "Invited"},
            {"program_status": "Registered", "campaign_status": "Invited", "direction": "to_salesforce"},
            {"program_status": "Attended", "campaign_status": "Attended"},
            {"program_status": "Registered", "campaign_status": "Registered", "direction": "to_marketo"},
        ]});
        let mapped = service.ask("PATCH", &path, &[], &mapped.to_string()).await.expect(200).json();
        assert_eq!((&mapped["custom_status_map"], mapped["status_map"].as_array().unwrap().len()), (&json!(true), 4));
        let automatic = service.ask("PATCH", &path, &[], r#"{"status_map":null}"#).await.expect(200).json();
        assert_eq!((&automatic["custom_status_map"], automatic["status_map"].as_array().unwrap().len()), (&json!(false), 3));

        for (operation, state) in [("pause", "paused"), ("pause", "paused"), ("resume", "active")] {
            let answer = service.ask("POST", &format!("{path}/{operation}"), &[], "").await.expect(200);
            assert_eq!(answer.json()["state"], state);
        }
        let run = service.ask("POST", &format!("{path}/reconcile"), &[], "").await.expect(202).json();
        let runs = service.get(&format!("{path}/runs")).await.expect(200);
        snapshot!("runs", runs);
        assert_eq!(runs.json()["data"][0]["id"], run["run_id"]);
        service.get(&format!("runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
        service.ask("DELETE", &path, &[], "").await.expect(204);
        snapshot!("audit", service.get("audit").await.expect(200));
    }

    async fn mappings_are_found_by_what_they_map(database: TestDatabase) {
        let service = Service::new(&database).await;
        let first = service.mapped().await;
        let body = json!({"program_id": 1045, "campaign_id": campaign('5'), "paused": true});
        let second = service.post("mappings", body).await.expect(201).json()["id"].clone();
        let first = json!(first);
        let (small, short) = (campaign('5'), campaign('5')[..15].to_owned());
        for (filter, expected) in [
            ("", vec![&first, &second]),
            ("state=paused", vec![&second]),
            ("program_id=1044", vec![&first]),
            (&format!("campaign_id={small}"), vec![&second]),
            (&format!("campaign_id={short}"), vec![&second]),
            ("q=CAMPAIGN%205", vec![&second]),
            ("q=nothing", vec![]),
        ] {
            let rows = one_by_one(&service, &format!("mappings?{filter}&")).await;
            assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), expected, "{filter}");
        }
    }

    async fn members_are_shown_with_their_reasons(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.populated().await;
        let path = format!("mappings/{mapping}/members");
        snapshot!("members", service.get(&path).await.expect(200));
        assert_eq!(one_by_one(&service, &format!("{path}?")).await.len(), 3);
        for (filter, count) in [("status=Invited", 2), ("sync_state=gated", 1), ("reason=conflict_hold", 1), ("q=318593", 1), ("q=x", 0)] {
            let found = service.get(&format!("{path}?{filter}")).await.expect(200).json();
            assert_eq!(found["data"].as_array().unwrap().len(), count, "{filter}");
        }
        let csv = service.ask("GET", &format!("{path}?limit=2&status=Invited"), &[("accept", "text/csv")], "").await.expect(200);
        assert_eq!((csv.header("content-type"), csv.header("link")), ("text/csv; charset=utf-8", ""));
        assert_eq!(csv.text.lines().count(), 3);
        let csv = service.ask("GET", &format!("{path}?limit=1&status=Invited"), &[("accept", "text/csv")], "").await.expect(200);
        let next = csv.header("link").trim_start_matches('<').split('>').next().unwrap().to_owned();
        assert!(next.contains("status=Invited&cursor="), "{next}");
        let next = service.ask("GET", &next, &[("accept", "text/csv")], "").await.expect(200);
        assert_eq!((next.text.lines().count(), next.header("link")), (2, ""));

        let held = service.get(&format!("{path}?reason=conflict_hold")).await;
        let id = id_of(&held);
        assert_eq!(service.get(&format!("members/{id}")).await.expect(200).json(), held.json()["data"][0]);
        snapshot!("explanation", service.get(&format!("members/{id}/explain")).await.expect(200));
        snapshot!("history", service.get(&format!("members/{id}/history")).await.expect(200));
    }

    async fn members_that_wait_for_a_person_are_listed_over_all_mappings(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.populated().await;
        let of_one = service.get(&format!("mappings/{mapping}/members?sync_state=diverged")).await.expect(200).json();
        assert_eq!(of_one["data"].as_array().unwrap().len(), 1);
        assert_eq!(one_by_one(&service, "members?").await, *of_one["data"].as_array().unwrap());
        for (filter, count) in [("sync_state=parked", 0), ("reason=conflict_hold", 1), ("reason=regression", 0)] {
            let found = service.get(&format!("members?{filter}")).await.expect(200).json();
            assert_eq!(found["data"].as_array().unwrap().len(), count, "{filter}");
        }
        assert_eq!(service.get("members?sync_state=in_sync").await.problem(), (422, "invalid-input".to_owned()));
        let csv = service.ask("GET", "members", &[("accept", "text/csv")], "").await.expect(200);
        assert_eq!((csv.header("content-type"), csv.text.lines().count()), ("text/csv; charset=utf-8", 2));
        service.ask("DELETE", &format!("mappings/{mapping}"), &[], "").await.expect(204);
        let gone = service.get("members").await.expect(200).json();
        assert_eq!(gone["data"], json!([]), "nobody waits in a mapping that was removed");
    }

    async fn mappings_are_found_by_their_ids(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.populated().await;
        let other = "01a21c0d-3741-736e-ae4c-e9b74af8d774";
        for (query, count) in [(format!("id={mapping}&id={other}"), 1), (format!("id={other}"), 0), (String::new(), 1)] {
            let found = service.get(&format!("mappings?{query}")).await.expect(200).json();
            assert_eq!(found["data"].as_array().unwrap().len(), count, "{query}");
        }
        for query in ["id=x".to_owned(), vec![format!("id={other}"); 501].join("&")] {
            assert_eq!(service.get(&format!("mappings?{query}")).await.problem(), (422, "invalid-input".to_owned()));
        }
    }

    async fn figures_of_today_are_told_apart(database: TestDatabase) {
        let service = Service::new(&database).await;
        service.populated().await;
        let stats = service.get("stats").await.expect(200).json();
        assert_eq!((&stats["ledger"]["received"], &stats["today"]["received"]), (&json!(2), &json!(2)));
        assert_eq!((&stats["ledger"]["applied"], &stats["today"]["applied"]), (&json!(1), &json!(1)));
        assert_eq!((&stats["members"]["in_sync"], &stats["members"]["diverged"]), (&json!(1), &json!(1)));
        service.later(Duration::from_secs(24 * 3600));
        let stats = service.get("stats").await.expect(200).json();
        assert_eq!((&stats["ledger"]["applied"], &stats["today"]["applied"]), (&json!(1), &json!(0)));
    }

    async fn the_bridge_sums(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.populated().await;
        let bridge = service.get(&format!("mappings/{mapping}")).await.expect(200).json()["bridge"].clone();
        let expected = json!({"marketo_members": 3, "salesforce_members": 2, "in_sync": 1, "only_marketo": {"below_gate": 1},
            "only_salesforce": {}, "different": {"conflict_hold": 1}});
        assert_eq!(bridge, expected);
    }

    async fn trigger_events_are_found_from_a_time_or_a_position(database: TestDatabase) {
        let service = Service::new(&database).await;
        service.populated().await;
        snapshot!("trigger_events", service.get("trigger-events").await.expect(200));
        for (filter, count) in [
            ("since=0", 1), ("since=1", 0), ("since=2026-11-23T20:05:01Z", 1), ("since=2026-11-23T20:05:02Z", 0),
            ("type=campaign.member.added&type=campaign.member.removed", 1), ("type=campaign.member.removed", 0),
            ("status=Attended", 1), ("new_status=Invited", 0), ("old_status=Invited", 0),
            ("program_id=1044", 1), ("program_id=1045", 0), ("program_id=1045&program_id=1044&status=Attended", 1),
        ] {
            let found = service.get(&format!("trigger-events?{filter}")).await.expect(200).json();
            assert_eq!(found["data"].as_array().unwrap().len(), count, "{filter}");
        }
        let of = async |id: String| service.get(&format!("trigger-events?campaign_id={id}")).await.json()["data"].as_array().unwrap().len();
        assert_eq!((of(campaign('1')).await, of(campaign('5')).await), (1, 0));
        assert_eq!(service.get("trigger-events?program_id=x").await.problem(), (422, "invalid-input".to_owned()));
        assert_eq!(service.get("trigger-events/stream?program_id=x").await.problem(), (422, "invalid-input".to_owned()));
    }

    async fn the_campaigns_of_a_person_are_paged_as_every_list(database: TestDatabase) {
        let service = Service::new(&database).await;
        service.populated().await;
        let rows = one_by_one(&service, "people/318592/campaigns?").await;
        assert_eq!((rows.len(), &rows[0]["campaign_id"], &rows[0]["status"]), (1, &json!(campaign('1')), &json!("Attended")));
        for query in ["limit=0", "limit=501", "cursor=NDI", "colour=red"] {
            let answer = service.get(&format!("people/318592/campaigns?{query}")).await;
            assert_eq!(answer.problem(), (422, "invalid-input".to_owned()), "{query}");
        }
    }

    async fn nothing_is_worked_off_while_campaign_sync_is_off(database: TestDatabase) {
        let service = Service::new(&database).await;
        service.mapped().await;
        assert_eq!(service.get("settings/campaign-sync").await.json(), json!({"enabled": true}));
        service.ask("PUT", "settings/campaign-sync", &[], r#"{"enabled":false}"#).await.expect(200);
        assert_eq!(service.get("settings/campaign-sync").await.json(), json!({"enabled": false}));
        assert!(service.store.claim("w", LEASE, 10).await.unwrap().leases.is_empty());
        assert_eq!(service.store.next_due().await.unwrap(), None);
        service.ask("PUT", "settings/campaign-sync", &[], r#"{"enabled":true}"#).await.expect(200);
        assert!(service.store.next_due().await.unwrap().is_some());
        assert_eq!(service.store.claim("w", LEASE, 10).await.unwrap().leases.len(), 1);
    }
}
