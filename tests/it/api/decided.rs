//! What a person decides: changes tried again or given up, removals approved, kept apart or undone.

use std::collections::HashSet;
use std::time::Duration;

use campaign_sync::domain::merge::Side;
use campaign_sync::store::guards::GuardLimits;
use campaign_sync::store::outbox::{Kind, NewWork, Subject};
use campaign_sync::store::record::{Batch, End, Settled};
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use super::Service;
use super::shown::{LEASE, id_of, one_by_one, snapshot};
use super::vendors::campaign;
use crate::support::on_both;

on_both! {
    async fn changes_are_retried_and_discarded(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.populated().await;
        snapshot!("changes", service.get("changes").await.expect(200));
        snapshot!("stats", service.get("stats").await.expect(200));
        let csv = service.ask("GET", "changes?state=parked", &[("accept", "text/csv")], "").await.expect(200);
        assert!(csv.text.ends_with(",\"not today, \"\"please\"\"\",,2026-11-23T20:05:01Z,2026-11-23T20:05:01.04Z\r\n"), "{}", csv.text);
        let parked = id_of(&service.get(&format!("changes?state=parked&mapping_id={mapping}&kind=hint")).await);
        let path = format!("changes/{parked}");
        let bulk = |action: &str, dry: bool| json!({"filter": {"mapping_id": mapping}, "action": action, "dry_run": dry});
        let counted = async |action: &str, dry: bool| service.post("changes/bulk", bulk(action, dry)).await.expect(200).json()["count"].clone();
        let ledger = async || service.get("stats").await.json()["ledger"].clone();

        assert_eq!(counted("retry", true).await, 1);
        assert_eq!(counted("retry", false).await, 1);
        let retried = service.get(&path).await.expect(200).json();
        assert_eq!((&retried["state"], &retried["next_attempt_at"]), (&json!("available"), &json!("2026-11-23T20:05:01.04Z")));
        assert_eq!(service.ask("POST", &format!("{path}/retry"), &[], "").await.problem(), (409, "conflict".to_owned()));
        assert_eq!((ledger().await["waiting"].clone(), ledger().await["held"].clone()), (json!(1), json!(0)));
        assert_eq!(counted("discard", false).await, 1);
        assert_eq!(service.get(&path).await.json()["state"], "discarded");
        assert_eq!((ledger().await["waiting"].clone(), ledger().await["discarded"].clone()), (json!(0), json!(1)));
        let again = service.ask("POST", &format!("{path}/retry"), &[], "").await.expect(200).json();
        assert_eq!(again["state"], "available");
        let discarded = service.ask("POST", &format!("{path}/discard"), &[], "").await.expect(200).json();
        assert_eq!((&discarded["state"], &discarded["next_attempt_at"]), (&json!("discarded"), &Value::Null));
        let total: i64 = ledger().await.as_object().unwrap().iter().filter(|(name, _)| *name != "received").map(|(_, n)| n.as_i64().unwrap()).sum();
        assert_eq!(ledger().await["received"], total);
    }

    async fn of_changes_about_one_subject_one_is_tried_again(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.populated().await;
        // A second row about the subject whose first is parked: parked as well.
        let hint = NewWork {
            lane: campaign('1'),
            mapping_id: Some(mapping.clone()),
            kind: Kind::Hint,
            subject: Subject::Salesforce("00Q5g0000000001".parse().unwrap()),
            source: "salesforce",
            payload: None,
            due_at: service.clock.now().as_millisecond(),
        };
        service.store.enqueue(std::slice::from_ref(&hint)).await.unwrap();
        let claim = service.store.claim("w", LEASE, 10).await.unwrap();
        let settled = claim.changes.iter().map(|change| Settled {
            id: change.id.clone(),
            lane: change.lane.clone(),
            subject: change.subject.clone(),
            kind: Kind::Hint,
            end: End::Parked { reason: "person_unknown".to_owned(), error: None },
        });
        let batch = Batch { leases: claim.leases.clone(), settled: settled.collect(), ..Batch::default() };
        service.store.record(batch).await.unwrap();
        let states = async || {
            let rows = service.get("changes?kind=hint").await.json();
            let mut states: Vec<_> = rows["data"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect();
            states.sort();
            states
        };
        assert_eq!(states().await, ["completed", "parked", "parked"]);
        let retried = service.post("changes/bulk", json!({"filter": {"state": "parked"}, "action": "retry"})).await.expect(200);
        assert_eq!(retried.json()["count"], 2);
        assert_eq!(states().await, ["available", "completed", "completed"]);
        let claim = service.store.claim("w", LEASE, 10).await.unwrap();
        assert_eq!(claim.changes.len(), 1, "the lane is due again");
    }

    async fn what_waited_for_a_removed_mapping_is_discarded_and_counted_so(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.populated().await;
        let hint = NewWork {
            lane: campaign('1'),
            mapping_id: Some(mapping.clone()),
            kind: Kind::Hint,
            subject: Subject::Marketo(318_595),
            source: "marketo",
            payload: None,
            due_at: service.clock.now().as_millisecond(),
        };
        let id = service.store.enqueue(&[hint]).await.unwrap().remove(0);
        let claim = service.store.claim("w", LEASE, 10).await.unwrap();
        let settled = claim.changes.iter().map(|change| Settled {
            id: change.id.clone(),
            lane: change.lane.clone(),
            subject: change.subject.clone(),
            kind: Kind::Hint,
            end: End::Retry { due_at: i64::MAX, reason: "retrying".to_owned(), error: None },
        });
        let batch = Batch { leases: claim.leases.clone(), settled: settled.collect(), ..Batch::default() };
        service.store.record(batch).await.unwrap();
        service.ask("DELETE", &format!("mappings/{mapping}"), &[], "").await.expect(204);
        let counted = async || {
            let ledger = service.get("stats").await.json()["ledger"].clone();
            ["waiting", "failed", "discarded"].map(|name| ledger[name].as_i64().unwrap())
        };
        assert_eq!(counted().await, [0, 0, 1]);
        service.ask("POST", &format!("changes/{id}/retry"), &[], "").await.expect(200);
        assert_eq!(counted().await, [1, 0, 0]);
    }

    async fn removals_are_approved_kept_apart_or_restored(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.populated().await;
        let removals = |member: &str| [(member.to_owned(), Side::Salesforce)];
        let limits = GuardLimits { members: 0, percent: 0, window: 3_600_000 };

        let (guard, member) = service.guarded(&mapping).await;
        snapshot!("guards", service.get(&format!("mappings/{mapping}/guards")).await.expect(200));
        let in_state = async |state: &str| service.get(&format!("mappings/{mapping}/guards?state={state}&limit=1")).await.expect(200).json();
        assert_eq!(in_state("waiting").await["data"][0]["id"], json!(guard));
        assert_eq!(in_state("discarded").await, json!({"data": [], "next_cursor": null}));
        assert_eq!(service.get(&format!("mappings/{mapping}/guards?state=gone")).await.problem().0, 422);
        let kept = service.post(&format!("guards/{guard}/discard"), json!({"restore": null})).await.expect(200).json();
        assert_eq!(in_state("waiting").await, json!({"data": [], "next_cursor": null}));
        assert_eq!(in_state("discarded").await["data"][0]["id"], json!(guard));
        assert_eq!(kept["state"], "discarded");
        assert_eq!(service.ask("POST", &format!("guards/{guard}/approve"), &[], "").await.problem(), (409, "conflict".to_owned()));
        let apart = service.get(&format!("members/{member}")).await.json();
        assert_eq!((&apart["reason"], &apart["base"]), (&json!("kept_apart"), &json!({"marketo": null, "salesforce": "Attended"})));

        service.later(Duration::from_secs(60));
        let claim = service.store.claim("w", LEASE, 10).await.unwrap();
        assert!(claim.changes.iter().any(|change| matches!(change.subject, Subject::Person(_))), "the member is looked at again");
        assert!(!service.store.guard(&mapping, &campaign('1'), &removals(&member), &limits).await.unwrap().contains(&member));
        let second = service.get(&format!("mappings/{mapping}/guards")).await.json()["data"][1]["id"].as_str().unwrap().to_owned();
        service.post(&format!("guards/{second}/discard"), json!({"restore": true})).await.expect(200);
        let restored = service.get(&format!("members/{member}")).await.json();
        assert_eq!((&restored["reason"], &restored["base"]), (&json!("waiting"), &Value::Null));
        assert!(service.store.renew(&claim.leases, LEASE).await.unwrap().0.iter().all(|lease| lease.lane != campaign('1')),
            "who had the members in hand records nothing");

        service.store.guard(&mapping, &campaign('1'), &removals(&member), &limits).await.unwrap();
        let third = service.get(&format!("mappings/{mapping}/guards")).await.json()["data"][2]["id"].as_str().unwrap().to_owned();
        service.ask("POST", &format!("guards/{third}/approve"), &[], "").await.expect(200);
        let allowed = service.store.guard(&mapping, &campaign('1'), &removals(&member), &limits).await.unwrap();
        assert_eq!(allowed, HashSet::from([member.clone()]));
        let kinds: Vec<_> = one_by_one(&service, &format!("members/{member}/history?")).await.iter().map(|row| row["kind"].clone()).collect();
        assert_eq!(kinds, ["decided", "guard.discarded", "guard.restored", "guard.approved"]);
    }
}
