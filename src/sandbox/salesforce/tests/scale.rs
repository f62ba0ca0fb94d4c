//! The org again, and the org at its size: the same from the same seed, saved and loaded, and as quick with many as with few.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::super::cell::Cell;
use super::super::{Actor, Id, Object, Options, Row, World, api};
use super::clock;

fn lived_in(seed: u64) -> World {
    let mut w = World::new(Options { seed, ..Options::default() }, clock().1);
    let campaign = w.add_campaign("C", "Webinar").unwrap();
    w.add_status(campaign, "Attended", true).unwrap();
    let people: Vec<Id> = (0..4).map(|n| w.add_lead("A", "B", &format!("p{n}@x.example"), "X").unwrap()).collect();
    let members: Vec<Id> = people.iter().map(|p| w.add_member(campaign, *p, Some("Attended")).unwrap()).collect();
    w.convert_lead(people[0]).unwrap();
    w.merge(&w.as_person(), people[1], people[2]).unwrap();
    w.delete_member(members[3]).unwrap();
    w.purge(members[3]).unwrap();
    w
}

#[test]
fn the_same_seed_and_acts_make_the_same_org() {
    assert_eq!(lived_in(7).save(), lived_in(7).save());
    assert_ne!(json!(lived_in(7).save())["rows"], json!(lived_in(8).save())["rows"], "ids are others");
}

#[test]
fn a_saved_org_is_loaded_and_goes_on_where_it_was() {
    let mut before = lived_in(7);
    let text = json!(before.save()).to_string();
    let mut after = World::new(Options::default(), clock().1);
    after.load(serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(after.save(), before.save());
    let campaign = after.rows(Object::Campaign).next().unwrap().id;
    assert_eq!((after.members(campaign), after.tally(campaign)), (before.members(campaign), before.tally(campaign)));
    let next = [&mut before, &mut after].map(|w| w.add_lead("N", "N", "n@x.example", "X").unwrap());
    assert_eq!(next[0], next[1], "no id is given out twice");
    let stranger = Id::new("0XX", 1).to_string();
    let strange = json!(after.save()).to_string().replace(&next[0].to_string(), &stranger);
    assert!(after.load(serde_json::from_str(&strange).unwrap()).is_err());
}

/// An org with a campaign of so many members, and a second one with ten; the clock has moved on since.
fn org_of(members: u64) -> (World, Id, Id) {
    let (seconds, now) = clock();
    let mut w = World::new(Options { duplicate_rule: super::super::DuplicateRule::Off, ..Options::default() }, now);
    let campaigns = ["Large", "Small"].map(|name| w.add_campaign(name, "Webinar").unwrap());
    let (time, user) = (w.stamp(), w.person);
    for (campaign, count) in [(campaigns[0], members), (campaigns[1], 10)] {
        for _ in 0..count {
            let mut lead = Row::new(w.next_id(Object::Lead), Object::Lead, time, user);
            lead.set("LastName", Cell::text("L"));
            lead.set("Email", Cell::text(&format!("{}@x.example", lead.id)));
            let mut member = Row::new(w.next_id(Object::CampaignMember), Object::CampaignMember, time, user);
            member.set("CampaignId", Cell::Id(campaign));
            member.set("LeadId", Cell::Id(lead.id));
            member.set("Status", Cell::text("Sent"));
            w.put(lead);
            w.put(member);
        }
    }
    w.commit();
    seconds.fetch_add(3600, Ordering::Relaxed);
    let [large, small] = campaigns;
    (w, large, small)
}

/// How many rows each of the calls of a day looks at.
fn work(members: u64) -> Vec<(&'static str, u64)> {
    let (mut w, large, small) = org_of(members);
    let actor = Actor { user: w.api_user, api: true, call: 1, allow_save: true };
    let ids: Vec<String> = w.members(large).iter().take(200).map(|m| format!("'{}'", m.id)).collect();
    let mut done = Vec::new();
    let mut measure = |w: &mut World, name, act: &dyn Fn(&mut World)| {
        let before = w.examined();
        act(w);
        w.commit();
        done.push((name, w.examined() - before));
    };
    let query = |w: &mut World, soql: String| {
        let request = api::Request {
            method: "GET".into(),
            version: "60.0".into(),
            path: vec!["query".into()],
            query: vec![("q".into(), soql)],
            ..api::Request::default()
        };
        assert_eq!(api::answer(w, &actor, &request).status, 200);
    };
    let fields = |value: serde_json::Value| value.as_object().unwrap().clone();
    measure(&mut w, "create", &|w| {
        let lead = w
            .create(&actor, Object::Lead, &fields(json!({"LastName": "N", "Company": "X", "Email": "n@x.example"})))
            .unwrap();
        w.create(&actor, Object::CampaignMember, &fields(json!({"CampaignId": large, "LeadId": lead}))).unwrap();
    });
    let first = Id::parse(ids[0].trim_matches('\'')).unwrap();
    measure(&mut w, "update", &|w| w.update(&actor, first, &fields(json!({"Status": "Responded"}))).unwrap());
    measure(&mut w, "changed", &|w| {
        query(
            w,
            format!(
                "SELECT Id FROM CampaignMember WHERE CampaignId = '{large}' AND SystemModstamp >= 2026-11-23T20:30:00Z"
            ),
        )
    });
    measure(&mut w, "by id", &|w| {
        query(w, format!("SELECT Id, Lead.Email FROM CampaignMember WHERE Id IN ({})", ids.join(",")))
    });
    measure(&mut w, "of a small campaign", &|w| {
        query(w, format!("SELECT Id FROM CampaignMember WHERE CampaignId = '{small}'"))
    });
    measure(&mut w, "by address", &|w| query(w, "SELECT Id FROM Lead WHERE Email = 'n@x.example'".into()));
    measure(&mut w, "delete", &|w| w.delete(&actor, first).unwrap());
    done
}

#[test]
fn a_hundred_thousand_members_slow_nothing_down() {
    assert_eq!(work(100_000), work(1_000));
}
