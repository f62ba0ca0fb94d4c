//! What must hold at the end of a history, from the edits and the final values alone.

use std::collections::{BTreeMap, BTreeSet};

use campaign_sync::domain::mapping::{Direction, Regression};
use campaign_sync::domain::trigger::Seen;
use campaign_sync::store::triggers::EventFilter;
use serde_json::Value;

use super::History;
use super::world::Owners;

/// Ends a history with what happened in it.
#[track_caller]
pub fn fail(history: &History, what: &str) -> ! {
    let world = history.worlds.get();
    panic!(
        "{what}\nseed {} {:?}\n{}\nmarketo {:?}\nsalesforce {:?}\npeople {:?}\n{:?}",
        history.seed,
        history.mapping.policies,
        world.log.join("\n"),
        world.members_m,
        world.members_s.values().map(|r| (r.id.as_str(), r.person().cloned(), r.status.clone())).collect::<Vec<_>>(),
        world.people_m,
        world.people_s,
    )
}

/// Judges a history that has come to rest. `before` are the rows that stood when the mapping was made.
pub async fn judge(history: &History, before: &Owners) {
    let members = history.store.member_page(history.mapping.campaign_id.as_str(), "", 1_000).await.unwrap();
    let (offences, people_m, rows) = {
        let world = history.worlds.get();
        (world.offences.clone(), world.members_m.clone(), world.members_s.clone())
    };
    if let Some(offence) = offences.first() {
        fail(history, offence);
    }

    // Each member of either side is known, as what it is, and in sync only when both sides say the same.
    let mut known_m = BTreeSet::new();
    let mut known_s = BTreeSet::new();
    for member in &members {
        let m = member.person.marketo_id.and_then(|id| people_m.get(&id));
        let row =
            member.person.salesforce_id.as_ref().and_then(|id| rows.values().find(|row| row.person() == Some(id)));
        known_m.extend(member.person.marketo_id.filter(|_| m.is_some()));
        known_s.extend(row.map(|row| row.id.clone()));
        let s = row.map(|row| &row.status);
        if seen(&member.salesforce) != s {
            fail(
                history,
                &format!("{:?} is recorded in salesforce as {:?}, and is {s:?}", member.person, member.salesforce),
            );
        }
        match member.sync_state.as_str() {
            "in_sync" if m.is_none() || m != s => {
                fail(history, &format!("{member:?} is called in sync: {m:?} and {s:?}"))
            }
            "closed" if m.is_some() || s.is_some() => fail(history, &format!("{member:?} is closed: {m:?} and {s:?}")),
            // More than half of the campaign at once waits for a person.
            "pending" if member.reason.as_deref() == Some("removal_waiting") => {}
            "pending" => fail(history, &format!("{member:?} is still pending")),
            "in_sync" | "closed" => {}
            _ if member.reason.is_none() => fail(history, &format!("{member:?} has no reason")),
            _ => {}
        }
    }
    if let Some(id) = people_m.keys().find(|id| !known_m.contains(id)) {
        fail(history, &format!("program member {id} is unknown"));
    }
    if let Some(id) = rows.keys().find(|id| !known_s.contains(*id)) {
        fail(history, &format!("campaign member {id} is unknown"));
    }
    nothing_was_invented(history);
    events_tell_the_transitions(history, &members, before).await;
    the_ledger_balances(history).await;
}

fn seen(seen: &Seen) -> Option<&String> {
    match seen {
        Seen::Status(status) => Some(status),
        Seen::Unknown | Seen::Absent => None,
    }
}

/// Every status that is found was set by a person, somewhere; nobody vanished unless a person removed somebody.
fn nothing_was_invented(history: &History) {
    let world = history.worlds.get();
    let found = world.members_m.values().chain(world.members_s.values().map(|row| &row.status));
    let strange: Vec<_> = found.filter(|status| !world.set_by_people.contains(*status)).cloned().collect();
    // To add again at a lower step takes a removal.
    let readds = history.mapping.policies.regression == Regression::Readd;
    let lost = !world.removed_by_people && !readds && world.removed_by_us > 0;
    let observed = history.mapping.policies.direction == Direction::Observe && world.writes > 0;
    drop(world);
    if !strange.is_empty() {
        fail(history, &format!("nobody ever set {strange:?}"));
    }
    if lost || observed {
        fail(history, "something was written without a cause");
    }
}

/// The events of each member are numbered without gaps, each begins where the one before ended, and the last ends at what
/// is recorded; the positions of the log have no gaps. Nobody is told "added" of a row that stood before the mapping.
async fn events_tell_the_transitions(
    history: &History,
    members: &[campaign_sync::store::members::Member],
    before: &Owners,
) {
    let filter = EventFilter { campaign_ids: vec![history.mapping.campaign_id.to_string()], ..EventFilter::default() };
    let events = history.store.events(&filter, 0, 10_000).await.unwrap();
    if events.windows(2).any(|pair| pair[0].position >= pair[1].position) {
        fail(history, "positions do not grow");
    }
    let mut by_row: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in &events {
        let body: Value = serde_json::from_str(&event.body()).unwrap();
        by_row
            .entry(body["data"]["person"]["salesforce_id"].as_str().unwrap_or("?").to_owned())
            .or_default()
            .push(body);
    }
    // A row that was merged into another person's hands is news about that person.
    let stood = |event: &Value| {
        let world = history.worlds.get();
        let owner = before.iter().find(|(row, _)| event["subject"] == row.as_str()).map(|(_, person)| person);
        let contact = owner.and_then(|lead| world.people_s.get(lead)?.contact.clone());
        let person = &event["data"]["person"]["salesforce_id"];
        [owner, contact.as_ref()].into_iter().flatten().any(|id| *person == id.as_str())
    };
    for (_, events) in by_row.iter() {
        for pair in events.windows(2) {
            if pair[0]["data"]["new_status"] != pair[1]["data"]["old_status"] {
                fail(history, &format!("events do not follow each other: {} then {}", pair[0], pair[1]));
            }
        }
        if let Some(first) = events.first()
            && first["type"] == "campaign.member.added"
            && first["data"]["sequence"] == 1
            && stood(first)
        {
            fail(history, &format!("told added of somebody who was there before: {first}"));
        }
    }
    for member in members {
        // Events that name a record are another member's, where this one has none: one of a lead that was converted since.
        let Some(id) = member.person.salesforce_id.as_ref().filter(|_| member.sequence > 0) else { continue };
        let Some(last) = by_row.get(id.as_str()).and_then(|events| events.last()) else { continue };
        if last["data"]["new_status"].as_str() != seen(&member.salesforce).map(String::as_str) {
            fail(history, &format!("the last event of {member:?} is {last}"));
        }
    }
}

/// Received is the sum of the others, and nothing waits.
async fn the_ledger_balances(history: &History) {
    for window in history.store.ledger(&history.mapping.id).await.unwrap() {
        let rest = window.applied
            + window.no_op
            + window.superseded
            + window.waiting
            + window.held
            + window.failed
            + window.discarded;
        if window.received != rest || window.waiting != 0 {
            fail(history, &format!("the ledger does not balance: {window:?}"));
        }
    }
}
