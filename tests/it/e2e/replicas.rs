//! Several processes on one database: what they call together, and what happens when they are replaced.
//!
//! The vendor counts by itself, as strictly as the limits are configured: what two processes did at once it would have refused.

use std::cell::RefCell;

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::salesforce::Id;
use serde_json::{Value, json};

use super::limits::log_in;
use super::outages::{CHANGES, Sender, on};
use super::running::Running;
use super::storm::calm_only;
use super::world::{KEY, SOON, World};
use crate::support::{Api, OwnServer, Service, Tables, TestDatabase, eventually, on_both};

/// Calls of Marketo in a window, the window, and calls at once: what the emulator allows is what is configured.
const CALLS: usize = 20;
const WINDOW: i64 = 4;
const AT_ONCE: usize = 2;

/// A program with so many people in it, and an empty campaign.
fn filled_pair(world: &World, name: &str, people: usize) -> (i64, Id) {
    let (program, campaign) = world.another_pair(name);
    for n in 0..people {
        let id = world.marketo_person(&format!("{name}{n}"));
        world.emulators.marketo.with(|marketo| marketo.set_status(program, id, "Invited").unwrap());
    }
    (program, campaign)
}

/// Asks until it is not told to come later, as a person would.
async fn map(url: &str, pair: (i64, Id)) {
    let api = Api::new(url).with_key(KEY);
    let body = json!({"program_id": pair.0, "campaign_id": pair.1});
    let made = eventually("the mapping", SOON, async || {
        let answer = api.post("mappings", &body).await;
        (answer.status != 503).then_some(answer)
    });
    made.await.expect(201);
}

/// What a process says of a vendor.
async fn shown(url: &str, vendor: &str) -> Value {
    Api::new(url).with_key(KEY).get("stats").await.expect(200).json()["vendors"][vendor].clone()
}

fn called(world: &World) -> u64 {
    world.emulators.marketo.with(|marketo| marketo.limits.used_today(marketo.now()))
}

/// Beside the one that runs already.
async fn others(running: &Running, database: &TestDatabase) -> Vec<Service> {
    let mut others = Vec::new();
    for _ in 1..database.processes() {
        others.push(running.world.launch(database).start().await);
    }
    others
}

on_both! {
    async fn together_they_keep_within_what_the_vendor_allows_also_when_one_is_killed(database: TestDatabase) {
        calm_only!("counts calls");
        let world = World::new().await;
        world.bystanders(3);
        world.emulators.marketo.with(|marketo| {
            (marketo.options.rate_limit, marketo.options.rate_window_seconds) = (Some(CALLS), WINDOW);
            (marketo.options.concurrency_limit, marketo.options.latency_ms) = (Some(AT_ONCE), 20);
        });
        // Shorter than it takes to work off what is claimed at once, with so few calls, would begin it again and again.
        let launch = world.launch(&database).set("sync.lease", "10s").set("limits.marketo.window", &format!("{WINDOW}s"))
            .set("limits.marketo.calls_per_window", &CALLS.to_string()).set("limits.marketo.concurrency", &AT_ONCE.to_string());
        let running = Running::launch(world, launch.clone()).await;
        let mut others = Vec::new();
        for _ in 0..2 {
            others.push(launch.clone().start().await);
        }
        let pairs: Vec<_> = (0..9).map(|n| filled_pair(&running.world, &format!("Crowd{n}"), 3)).collect();
        let arrived = |pairs: &[(i64, Id)]| {
            running.world.emulators.salesforce.with(|org| pairs.iter().all(|(_, campaign)| org.members(*campaign).len() == 3))
        };
        for (n, pair) in pairs.iter().enumerate() {
            let doors = [running.service.url(), others[0].url(), others[1].url()];
            map(doors[n % 3], *pair).await;
            if n == 4 {
                let killed = others.pop().unwrap().kill();
                others.push(killed.start().await);
            }
        }
        eventually("everybody to arrive", SOON, async || arrived(&pairs).then_some(())).await;
        running.settle().await;
        let (most, errors) = running.world.emulators.marketo.with(|marketo| {
            (marketo.police.most_in_flight, marketo.police.errors_by_code.clone())
        });
        assert!(most <= AT_ONCE, "{most} calls at once");
        let beyond: Vec<_> = errors.iter().filter(|(code, _)| matches!(code, 606 | 607 | 615)).collect();
        assert!(beyond.is_empty(), "{beyond:?}");
        assert!(called(&running.world) > 3 * CALLS as u64, "they were not held back by anything");
        let budget = shown(running.service.url(), "marketo").await["budget"].clone();
        let limit = |of: &str| budget[of]["limit"].as_u64().unwrap();
        assert_eq!((limit("concurrency"), limit("window")), (AT_ONCE as u64, CALLS as u64), "{budget:#}");
        let metrics = running.api.get("/metrics").await.expect(200).text;
        assert!(metrics.contains("campaign_sync_vendor_budget_own{vendor=\"marketo\",of=\"window\"}"), "{metrics}");
    }

    async fn the_calls_of_a_day_are_counted_together_and_outlive_the_processes(database: TestDatabase) {
        calm_only!("counts calls");
        let running = Running::new(&database).await;
        let others = others(&running, &database).await;
        let doors: Vec<&str> = [running.service.url()].into_iter().chain(others.iter().map(Service::url)).collect();
        for (n, door) in doors.iter().enumerate() {
            map(door, filled_pair(&running.world, &format!("Day{n}"), 2)).await;
        }
        running.settle().await;
        for door in &doors {
            let counted = async || (shown(door, "marketo").await["calls_today"] == called(&running.world)).then_some(());
            eventually("both to count the same", SOON, counted).await;
        }
        drop(others);
        let Running { world, service, mapping, api } = running;
        let before = called(&world);
        let service = service.kill().start().await;
        let running = Running { world, service, mapping, api }.again();
        // What it had not said yet counts when its lease is over.
        let after = eventually("what was called to be counted", SOON, async || {
            shown(running.service.url(), "marketo").await["calls_today"].as_u64().filter(|after| *after >= before)
        }).await;
        running.world.set_in_marketo("Bystander0", "Attended");
        running.both_have("Bystander0", Some("Attended")).await;
        running.settle().await;
        eventually("new calls to be counted", SOON, async || {
            let shown = shown(running.service.url(), "marketo").await["calls_today"].as_u64().unwrap();
            (shown >= called(&running.world) && shown > after).then_some(())
        }).await;
    }

    async fn a_quota_that_is_used_up_is_known_to_all_shown_and_costs_no_attempt(database: TestDatabase) {
        calm_only!("counts calls");
        let running = Running::new(&database).await;
        let others = others(&running, &database).await;
        let body = json!({"requestId": "a#1", "success": false, "errors": [{"code": "607", "message": "Daily quota reached"}]});
        let used_up = Action::Answer { status: 200, content_type: "application/json".to_owned(), body: body.to_string() };
        running.world.emulators.faults.add(Fault::next(Vendor::Marketo, "/rest/v1/leads.json", used_up));
        let add = |name: &str| _ = running.world.add_in_salesforce(running.world.lead(name), "Invited");
        add("Lovelace");
        let waits = format!("mappings/{}/members?reason=quota", running.mapping);
        let waiting = async |running: &Running, count: usize| {
            eventually("them to wait for it", SOON, async || {
                let waiting = running.api.get(&waits).await.expect(200).json();
                (waiting["data"].as_array().unwrap().len() == count).then_some(())
            }).await;
        };
        waiting(&running, 1).await;
        let calls = called(&running.world);
        let resumes = shown(running.service.url(), "marketo").await["resumes_at"].clone();
        // Midnight US Central, in winter or summer.
        let at: jiff::Timestamp = resumes.as_str().unwrap().parse().unwrap();
        assert!(matches!(at.as_second().rem_euclid(86_400) / 3600, 4..=6), "{resumes}");
        for other in &others {
            eventually("the others to show it", SOON, async || {
                let there = shown(other.url(), "marketo").await["resumes_at"].clone();
                // To the second: each counts from its own clock.
                (there.as_str()?.parse::<jiff::Timestamp>().ok()?.duration_since(at).abs() < jiff::SignedDuration::from_secs(2)).then_some(())
            }).await;
        }
        let metrics = running.api.get("/metrics").await.expect(200).text;
        assert!(metrics.lines().any(|line| line.starts_with("campaign_sync_vendor_resumes_in_seconds{vendor=\"marketo\"}") && !line.ends_with(" 0")), "{metrics}");
        let logged_in = log_in(&Api::new(running.service.url()), KEY).await;
        let cookie = logged_in.header("set-cookie").split(';').next().unwrap().to_owned();
        let page = Api::new(running.service.url()).with_header("cookie", &cookie).get("/vendors").await.expect(200).text;
        assert!(page.contains("Calls are made again"), "{page}");
        // Whoever works on what comes now, and whoever is started anew, finds that out without a call.
        ["Hopper", "Franklin", "Curie"].into_iter().for_each(add);
        waiting(&running, 4).await;
        let Running { world, service, mapping, api } = running;
        let service = service.kill().start().await;
        let running = Running { world, service, mapping, api }.again();
        running.world.add_in_salesforce(running.world.lead("Meitner"), "Invited");
        waiting(&running, 5).await;
        assert_eq!(called(&running.world), calls, "asked again though it had said no");
        let rows = running.api.get("changes?state=retryable&limit=500").await.expect(200).json();
        let rows = rows["data"].as_array().unwrap();
        // A lease that ran out, of the killed process or while its part was not free yet, counts as one.
        assert!(rows.len() >= 5 && rows.iter().all(|row| row["reason"] == "quota" && row["attempts"].as_i64() <= Some(1)), "{rows:#?}");
        // The vendor's new day, which is hours away, comes at once.
        let Running { world, service, mapping, api } = running;
        drop(others);
        let (_, stopped) = service.terminate().await;
        let tables = Tables::open(&database.url).await;
        for sql in ["UPDATE budgets SET exhausted_until = 0", "UPDATE outbox SET due_at = 0 WHERE state = 'retryable'", "UPDATE lanes SET next_due_at = 0 WHERE next_due_at IS NOT NULL"] {
            tables.execute(sql).await;
        }
        let running = Running { world, service: stopped.start().await, mapping, api }.again();
        for name in ["Lovelace", "Hopper", "Franklin", "Curie", "Meitner"] {
            running.both_have(name, Some("Invited")).await;
        }
        assert_eq!(shown(running.service.url(), "marketo").await["resumes_at"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_replaced_one_after_the_other_under_load() {
    calm_only!("counts");
    let Some(server) = OwnServer::start("").await else { return };
    let Running { world, service, mapping, api } = on(&server.url()).await;
    let (_, stopped) = service.terminate().await;
    // It stays, to be asked in the end: the others take what is told of, and work.
    let service = stopped.arg("--role", "http").start().await;
    let running = Running { world, service, mapping, api }.again();
    let start = async |role| running.world.launch_on(&server.url()).arg("--role", role).start().await;
    let roles = ["http", "worker", "worker"];
    let mut processes = Vec::new();
    for role in roles {
        processes.push(start(role).await);
    }
    let door = RefCell::new(processes[0].url().to_owned());
    for (what, kill) in [("terminated", false), ("killed", true)] {
        let sender = Sender::new(&running, what);
        let telling = sender.tell_at(|n| match n % 2 {
            0 => running.service.url().to_owned(),
            _ => door.borrow().clone(),
        });
        let replacing = async {
            for (n, role) in roles.into_iter().enumerate() {
                sender.has_told(CHANGES * (n + 1) / 5).await;
                let old = processes.remove(0);
                let launch = if kill {
                    old.kill()
                } else {
                    let (status, launch) = old.terminate().await;
                    assert_eq!(status.code(), Some(0));
                    launch
                };
                let new = launch.start().await;
                if role == "http" {
                    door.replace(new.url().to_owned());
                }
                processes.push(new);
            }
        };
        tokio::join!(telling, replacing);
        sender.toll(&format!("processes {what} in turn")).await;
    }
    running.at_rest().await;
    let beyond = running.world.emulators.salesforce.with(|org| org.counters.misuse);
    assert_eq!((beyond.duplicate_leads, beyond.duplicate_members), (0, 0));
}
