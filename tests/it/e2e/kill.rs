//! SIGKILL of the real process, at every named point of a pass and at any moment: nothing is lost, nothing is doubled.
//!
//! In a round everything that can happen to a member happens on both sides while one process only receives; the next one works
//! it off and dies at the point; a third one has to end it without being told again. `KILLS` says how often each point is hit.

use campaign_sync::worker::points::Point;
use serde_json::json;

use crate::support::{Launch, eventually, on_both};

use super::running::Running;
use super::storm;
use super::world::{SOON, World};

/// How often each point is hit: once, or as `KILLS` says.
fn rounds() -> usize {
    std::env::var("KILLS").map_or(1, |times| times.parse().unwrap())
}

/// What happens in a round: a name's ending, and the status before and after; the first half in Marketo.
const STORY: [(&str, Option<&str>, Option<&str>); 6] = [
    ("JoinsMarketo", None, Some("Invited")),
    ("MovesInMarketo", Some("Invited"), Some("Attended")),
    ("LeavesMarketo", Some("Invited"), None),
    ("JoinsSalesforce", None, Some("Invited")),
    ("MovesInSalesforce", Some("Invited"), Some("Attended")),
    ("LeavesSalesforce", Some("Invited"), None),
];

fn in_marketo(name: &str) -> bool {
    name.ends_with("Marketo")
}

/// Everybody of a round as they are before it.
fn cast(world: &World, round: &str) {
    for (ending, before, _) in STORY {
        let name = format!("{round}{ending}");
        if before.is_some() || in_marketo(&name) {
            world.marketo_person(&name);
        }
        if before.is_some() || !in_marketo(&name) {
            let lead = world.lead(&name);
            if let Some(before) = before {
                world.add_in_salesforce(lead, before);
                world.set_in_marketo(&name, before);
            }
        }
    }
}

/// What people do in a round.
fn act(world: &World, round: &str) {
    for (ending, before, after) in STORY {
        let name = format!("{round}{ending}");
        match (in_marketo(&name), before, after) {
            (true, _, after) => world.set_in_marketo(&name, after.unwrap_or("Not in Program")),
            (false, None, Some(after)) => _ = world.add_in_salesforce(world.lead_named(&name), after),
            (false, _, Some(after)) => world.change_in_salesforce(&name, after),
            (false, _, None) => world.remove_in_salesforce(&name),
        }
    }
}

/// Both sides show the end of a round.
fn is_over(world: &World, round: &str) -> bool {
    let (marketo, salesforce) = (world.in_marketo(), world.in_salesforce());
    STORY.iter().all(|(ending, _, after)| {
        let name = format!("{round}{ending}");
        let wanted = after.map(|status| vec![status.to_owned()]);
        marketo.get(&name) == wanted.as_ref() && salesforce.get(&name) == wanted.as_ref()
    })
}

on_both! {
    async fn killed_at_each_point(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(30);
        let rounds: Vec<(Point, usize)> =
            (0..rounds()).flat_map(|round| Point::ALL.map(|point| (point, round))).collect();
        let name = |(point, round): &(Point, usize)| format!("{}{round}", point.as_str());
        rounds.iter().for_each(|round| cast(&world, &name(round)));
        let launch = world.launch(&database).set("sync.lease", "1s");
        let mut running = Running::launch(world, launch.clone()).await;
        for round in &rounds {
            let plan = format!("{}:{}", round.0.as_str(), round.1 % times(round.0));
            running = play(running, &launch, &name(round), &plan).await;
        }
        running.at_rest().await;
        for round in &rounds {
            check(&running, &name(round)).await;
        }
        report("at a named point", rounds.len(), rounds.len());
    }

    async fn killed_at_any_moment(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(30);
        let rounds: Vec<String> = (0..8 * rounds()).map(|round| format!("Any{round}")).collect();
        rounds.iter().for_each(|round| cast(&world, round));
        let launch = world.launch(&database).set("sync.lease", "1s");
        let mut running = Running::launch(world, launch).await;
        for (n, pair) in rounds.chunks(2).enumerate() {
            let before = running.world.writes();
            pair.iter().for_each(|round| act(&running.world, round));
            // The moment is a different one each time: after none, one, two... writes, and whatever lies behind the last of them.
            let wanted = u64::try_from(n % 6).unwrap();
            eventually("some writes", SOON, async || {
                let now = running.world.writes();
                (now.0 + now.1 >= before.0 + before.1 + wanted).then_some(())
            })
            .await;
            let Running { world, service, mapping, api } = running;
            let service = service.kill().start().await;
            running = Running { world, service, mapping, api: api.clone() }.again();
            // What was said while nobody listened is found by looking.
            running.reconcile().await;
        }
        running.at_rest().await;
        for round in &rounds {
            check(&running, round).await;
        }
        report("at any moment", rounds.len() / 2, rounds.len());
    }
}

/// Once everybody was looked at: what had been lost or doubled would have failed.
fn report(when: &str, kills: usize, rounds: usize) {
    eprintln!("killed {when}: {kills} times, {} changes, lost 0, doubled 0", rounds * STORY.len());
}

/// How often a point is reached in a round at least: once a pass, but for the points of single calls.
fn times(point: Point) -> usize {
    match point {
        Point::Written => 5,
        Point::Created | Point::Intended => 2,
        _ => 1,
    }
}

/// One round, in which the process dies.
async fn play(running: Running, launch: &Launch, round: &str, plan: &str) -> Running {
    let Running { world, service, mapping, api } = running;
    service.terminate().await;
    let service = launch.clone().arg("--role", "http").start().await;
    let running = Running { world, service, mapping, api }.again();
    act(&running.world, round);
    eventually("everything to be received", SOON, async || {
        let outbox = &running.api.get("stats").await.expect(200).json()["outbox"];
        // Where webhooks are lost, the next process finds the rest by looking.
        let all_sent = storm::seed().is_some() && running.world.all_sent();
        (outbox["available"] == json!(STORY.len()) || all_sent).then_some(())
    })
    .await;
    let Running { world, service, mapping, api } = running;
    service.terminate().await;
    let mut service = launch.clone().env("CAMPAIGN_SYNC_KILL_AT", plan).start().await;
    world.send_webhooks_to(service.url());
    eventually(&format!("the death at {plan} in {round}"), SOON, async || service.has_ended().then_some(())).await;
    drop(service);
    let service = launch.clone().start().await;
    let running = Running { world, service, mapping, api }.again();
    eventually(&format!("the end of {round} after {plan}"), SOON, async || {
        is_over(&running.world, round).then_some(())
    })
    .await;
    running.settle().await;
    running
}

/// Everybody was told of once, and is there once.
async fn check(running: &Running, round: &str) {
    for (ending, before, after) in STORY {
        let name = format!("{round}{ending}");
        let transition = format!("{} {}", before.unwrap_or("-"), after.unwrap_or("-"));
        assert_eq!(running.transitions_of(&name).await, [transition], "{name}");
        assert_eq!((running.world.leads(&name), running.world.people(&name)), (1, 1), "{name}");
    }
}
