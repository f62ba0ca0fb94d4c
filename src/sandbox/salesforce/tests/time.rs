//! Times and numbers that the emulated org keeps by itself: audit fields, windows, roll-ups.

use std::sync::atomic::Ordering;

use reqwest::Method;
use serde_json::json;

use super::super::{Options, World};
use super::clock;
use super::wire::Org;

#[test]
fn audit_fields_say_who_and_when_in_whole_seconds() {
    let (seconds, now) = clock();
    let mut w = World::new(Options::default(), now);
    let lead = w.add_lead("A", "B", "a@x.example", "X").unwrap();
    let made = w.row(lead).unwrap().clone();
    assert_eq!((made.created, made.stamp), ((made.modified.0, w.person), made.modified.0));
    seconds.fetch_add(5, Ordering::Relaxed);
    let actor = super::super::Actor { user: w.api_user, api: true, call: 1, allow_save: false };
    w.update(&actor, lead, json!({"Title": "T"}).as_object().unwrap()).unwrap();
    let changed = w.row(lead).unwrap().clone();
    assert_eq!(changed.created, made.created);
    assert_eq!((changed.modified.1, changed.stamp.as_second() - made.stamp.as_second()), (w.api_user, 5));
    assert_eq!(w.read(&changed, "SystemModstamp").to_json(), "2026-11-23T20:05:05.000+0000");
    // A clock that is put back does not take the stamps with it.
    seconds.fetch_sub(60, Ordering::Relaxed);
    w.update(&actor, lead, json!({"Title": "U"}).as_object().unwrap()).unwrap();
    assert_eq!(w.row(lead).unwrap().stamp, changed.stamp);
}

#[test]
fn roll_ups_count_people_and_responses() {
    let mut w = World::new(Options::default(), clock().1);
    let campaign = w.add_campaign("C", "Webinar").unwrap();
    let leads: Vec<_> = (0..3).map(|n| w.add_lead("L", "L", &format!("l{n}@x.example"), "X").unwrap()).collect();
    let contact = w.add_contact("C", "C", "c@x.example").unwrap();
    for (person, status) in
        [(leads[0], "Responded"), (leads[1], "Sent"), (leads[2], "Responded"), (contact, "Responded")]
    {
        w.add_member(campaign, person, Some(status)).unwrap();
    }
    let shown = |w: &World| {
        let row = w.row(campaign).unwrap();
        ["NumberOfLeads", "NumberOfConvertedLeads", "NumberOfContacts", "NumberOfResponses"]
            .map(|name| w.read(row, name).to_json())
    };
    assert_eq!(shown(&w), [3, 0, 1, 3].map(|n| json!(n)));
    w.convert_lead(leads[1]).unwrap();
    assert_eq!(shown(&w), [2, 1, 2, 3].map(|n| json!(n)));
    let member = w.members(campaign).into_iter().find(|m| m.lead == Some(leads[0])).unwrap().id;
    w.delete_member(member).unwrap();
    assert_eq!(shown(&w), [1, 1, 2, 2].map(|n| json!(n)));
}

#[tokio::test]
async fn windows_of_changes_lag_end_and_do_not_reach_back_for_ever() {
    let org = Org::new(Options { replication_lag_seconds: 120, ..Options::default() }).await;
    org.seconds.fetch_add(600, Ordering::Relaxed);
    let window = |object: &str, which: &str, start: &str, end: &str| {
        format!("/sobjects/{object}/{which}/?start={start}&end={end}")
    };
    let (_, found) = org.get(&window("Lead", "updated", "2026-11-23T20:00:00Z", "2026-11-23T20:20:00Z")).await;
    assert_eq!(found["latestDateCovered"], "2026-11-23T20:13:00.000+0000", "the clock says 20:15, and it lags");
    for (which, start, status) in [
        ("updated", "2026-10-26T00:00:00Z", 200),
        ("updated", "2026-10-23T00:00:00Z", 400),
        ("deleted", "2026-11-09T00:00:00Z", 200),
        ("deleted", "2026-11-07T00:00:00Z", 400),
        ("updated", "soon", 400),
    ] {
        let (found, error) = org.get(&window("CampaignMember", which, start, "2026-11-23T20:00:00Z")).await;
        assert_eq!(found, status, "{which} {start}: {error}");
        assert!(status == 200 || error[0]["errorCode"] == "INVALID_REPLICATION_DATE");
    }
}

#[tokio::test]
async fn locators_last_two_days() {
    let org = Org::new(Options { page_size: Some(1), token_seconds: 1_000_000, ..Options::default() }).await;
    org.salesforce.with(|w| (0..2).for_each(|n| _ = w.add_lead("A", "B", &format!("p{n}@x.example"), "X").unwrap()));
    let next = org.query("SELECT Id FROM Lead").await.1["nextRecordsUrl"].as_str().unwrap().to_owned();
    org.seconds.fetch_add(2 * 86_400 - 1, Ordering::Relaxed);
    assert_eq!(org.get(&next).await.0, 200);
    org.seconds.fetch_add(1, Ordering::Relaxed);
    assert_eq!(org.get(&next).await.1[0]["errorCode"], "INVALID_QUERY_LOCATOR");
    org.control(Method::POST, "/locators/expire", json!({})).await;
}
