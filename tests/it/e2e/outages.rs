//! What the machines below and beside the service do to it: restarts, crashes, full disks, no connections left, cut wires, processes
//! that stand still, vendors that are away. Counted each time: changes that were acknowledged, that arrived, that were lost, and whatever
//! was made or told of twice.
//!
//! The sender is ours: it tells of each change until it is answered 200, as the vendors' own do for some time, and nobody else tells of it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use campaign_sync::domain::clock::Clock;
use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::salesforce::Webhooks;
use serde_json::{Value, json};

use crate::support::{Api, OwnServer, Service, SmallDisk, Wire, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{SOON, TOKEN, World};

/// Changes in each case.
pub const CHANGES: usize = 60;
/// A sender tries again after this long without an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of a case.
#[derive(Debug, Default, PartialEq, Eq)]
struct Toll {
    acknowledged: usize,
    applied: usize,
    lost: usize,
    doubled: usize,
}

/// Who tells of changes, and how often it was sent away.
pub struct Sender<'a> {
    running: &'a Running,
    names: Vec<String>,
    told: Cell<usize>,
    refused: Cell<usize>,
}

impl<'a> Sender<'a> {
    /// People who are only known to Marketo; everybody who joins has to be created in Salesforce.
    pub fn new(running: &'a Running, name: &str) -> Self {
        Self::of(running, name, CHANGES)
    }

    /// So many of them.
    fn of(running: &'a Running, name: &str, count: usize) -> Self {
        running.world.emulators.marketo.with(|world| world.campaigns.values_mut().for_each(|c| c.active = false));
        running.world.emulators.salesforce.set_webhooks(Webhooks::default());
        let names: Vec<String> = (0..count).map(|n| format!("{name}{n}")).collect();
        names.iter().for_each(|name| _ = running.world.marketo_person(name));
        Self { running, names, told: Cell::new(0), refused: Cell::new(0) }
    }

    /// Everybody joins the program, and each is told of until it is taken.
    async fn tell_of_all(&self) {
        let doors = [self.running.service.url()];
        self.tell(&doors).await;
    }

    /// The same, to one door after the other.
    async fn tell(&self, doors: &[&str]) {
        self.tell_at(|n| doors[n % doors.len()].to_owned()).await;
    }

    /// The same, to the door that is there at the `n`th attempt; it may be gone before it is reached.
    pub async fn tell_at(&self, door: impl Fn(usize) -> String) {
        for (n, name) in self.names.iter().enumerate() {
            self.running.world.set_in_marketo(name, "Invited");
            let id = self.running.world.marketo_id(name).unwrap();
            let body =
                json!({"event": "program_member.changed", "leadId": id, "programId": self.running.world.program});
            let tries = Cell::new(n);
            eventually("a webhook to be taken", SOON, async || {
                let door = Api::new(&door(tries.get())).with_header("authorization", &format!("Bearer {TOKEN}"));
                tries.set(tries.get() + 1);
                let sent = door.try_post_bytes("/webhooks/marketo", body.to_string(), "application/json");
                let answer = tokio::time::timeout(PATIENCE, sent).await;
                let status = answer.map(|answer| answer.map(|answer| answer.status.as_u16()));
                if matches!(status, Ok(Ok(200))) {
                    return Some(());
                }
                assert!(matches!(status, Err(_) | Ok(Err(_) | Ok(503))), "{status:?}");
                self.refused.set(self.refused.get() + 1);
                None
            })
            .await;
            self.told.set(self.told.get() + 1);
        }
    }

    /// Waits until so many are told of.
    pub async fn has_told(&self, count: usize) {
        eventually("some to be told of", SOON, async || (self.told.get() >= count).then_some(())).await;
    }

    async fn is_refused(&self) {
        let before = self.refused.get();
        eventually("somebody to be sent away", SOON, async || (self.refused.get() > before).then_some(())).await;
    }

    /// Waits for the end, and counts.
    pub async fn toll(&self, what: &str) {
        let running = self.running;
        let there = |name: &String| {
            let wanted = vec!["Invited".to_owned()];
            running.world.in_marketo().get(name) == Some(&wanted)
                && running.world.in_salesforce().get(name) == Some(&wanted)
        };
        // In vain for those who are lost, who are counted then.
        let all = eventually("all to arrive", SOON * 2, async || self.names.iter().all(there).then_some(()));
        let _ = tokio::time::timeout(SOON, all).await;
        running.settle().await;
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for event in running.all_events().await {
            let id = event["data"]["person"]["salesforce_id"].as_str().unwrap_or_default().to_owned();
            *told.entry(running.world.name_of(&id)).or_default() += 1;
        }
        let mut toll = Toll { acknowledged: self.told.get(), ..Toll::default() };
        for name in &self.names {
            toll.applied += usize::from(there(name));
            let twice = running.world.leads(name) > 1 || running.world.people(name) > 1;
            toll.doubled += usize::from(twice || told.get(name).is_some_and(|events| *events > 1));
            toll.lost += usize::from(there(name) && !told.contains_key(name));
        }
        toll.lost += toll.acknowledged - toll.applied;
        eprintln!("{what}: {toll:?}, sent away {}", self.refused.get());
        let all = self.names.len();
        assert_eq!(toll, Toll { acknowledged: all, applied: all, lost: 0, doubled: 0 }, "{what}");
        let window = running.api.get("stats").await.expect(200).json()["ledger"].clone();
        assert_eq!(window["waiting"], 0, "{window:#}");
    }
}

pub async fn on(url: &str) -> Running {
    let world = World::new().await;
    world.bystanders(4);
    let launch = world.launch_on(url);
    Running::launch(world, launch).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_server_is_restarted_and_killed_under_load() {
    calm_only!("counts");
    let Some(server) = OwnServer::start("").await else { return };
    let running = on(&server.url()).await;
    for (what, mode) in [("restarted", None), ("stopped for a while", Some("fast")), ("killed", Some("immediate"))] {
        let sender = Sender::new(&running, what.split(' ').next().unwrap());
        let break_it = async {
            sender.has_told(CHANGES / 4).await;
            match mode {
                None => server.restart().await,
                Some(mode) => {
                    server.down(mode).await;
                    sender.is_refused().await;
                    server.up().await;
                }
            }
        };
        tokio::join!(sender.tell_of_all(), break_it);
        sender.toll(&format!("database server {what}")).await;
    }
}

async fn full(disk: SmallDisk, what: &str) {
    let running = on(&disk.url).await;
    // Enough of them that room is needed in the end, whatever there is in pages that are there.
    let sender = Sender::of(&running, "Full", 4 * CHANGES);
    let break_it = async {
        sender.has_told(CHANGES / 4).await;
        disk.fill();
        sender.is_refused().await;
        sender.is_refused().await;
        running.api.get("/healthz").await.expect(200);
        disk.free();
    };
    tokio::join!(sender.tell_of_all(), break_it);
    assert!(sender.refused.get() > 1, "the disk was not full");
    sender.toll(what).await;
    running.at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_below_a_file_is_answered_503_until_there_is_room() {
    calm_only!("counts");
    if let Some(disk) = SmallDisk::with_file() {
        full(disk, "disk full, database in a file").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_below_a_server_is_answered_503_until_there_is_room() {
    calm_only!("counts");
    if let Some(disk) = SmallDisk::with_server().await {
        full(disk, "disk full, database on a server").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_others_took_come_back() {
    calm_only!("counts");
    let Some(server) = OwnServer::start("-c max_connections=14 -c superuser_reserved_connections=1").await else {
        return;
    };
    let running = on(&server.url()).await;
    let sender = Sender::new(&running, "Taken");
    let break_it = async {
        sender.has_told(CHANGES / 4).await;
        let taken = server.take_all_connections("campaign-sync").await;
        sender.is_refused().await;
        drop(taken);
    };
    tokio::join!(sender.tell_of_all(), break_it);
    sender.toll("connections exhausted").await;
}

/// A second process beside the one of `running`.
async fn beside(running: &Running, url: &str) -> Service {
    running.world.launch_on(url).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_one_is_cut_off_from_the_database() {
    calm_only!("counts");
    let Some(server) = OwnServer::start("").await else { return };
    let wire = Wire::to_socket(server.socket()).await;
    let running = on(&server.url()).await;
    let far = beside(&running, &server.url_at(wire.port)).await;
    for (what, cut) in [("swallowed", true), ("hung up", false)] {
        let sender = Sender::new(&running, what.split(' ').next().unwrap());
        let break_it = async {
            sender.has_told(CHANGES / 4).await;
            if cut {
                wire.swallows()
            } else {
                wire.cut()
            }
            sender.has_told(CHANGES * 3 / 4).await;
            // Longer than its leases: the other one has taken over what it had in hand.
            sender.is_refused().await;
            wire.up();
        };
        // Every second change is told to the one that is cut off, and to the other one when that does not answer.
        let doors = [running.service.url(), far.url()];
        tokio::join!(sender.tell(&doors), break_it);
        sender.toll(&format!("partition to the database, {what}")).await;
    }
}

on_both! {
    async fn a_process_stands_still_for_longer_than_its_lease(database: TestDatabase) {
        calm_only!("counts");
        let world = World::new().await;
        world.bystanders(4);
        let running = Running::start(world, &database).await;
        let mut others = Vec::new();
        for _ in 1..database.processes() {
            others.push(running.world.launch(&database).start().await);
        }
        let sender = Sender::new(&running, "Still");
        let doors: Vec<&str> = [running.service.url()].into_iter().chain(others.iter().map(Service::url)).collect();
        let break_it = async {
            for part in 1..4 {
                sender.has_told(CHANGES * part / 5).await;
                running.service.signal("STOP");
                let clock = Clock::system();
                // The lease is two seconds.
                eventually("the lease to be over", SOON, async || (clock.monotonic() > Duration::from_secs(3)).then_some(())).await;
                running.service.signal("CONT");
            }
        };
        tokio::join!(sender.tell(&doors), break_it);
        sender.toll("stopped past the lease").await;
        let misuse = running.world.emulators.salesforce.with(|org| org.counters.misuse);
        assert_eq!((misuse.duplicate_leads, misuse.duplicate_members), (0, 0));
    }

    async fn both_vendors_are_away_for_many_attempts(database: TestDatabase) {
        calm_only!("counts");
        let world = World::new().await;
        world.bystanders(4);
        // With the pauses of a production this would be an hour: more attempts than one gets are behind when they come back. Not
        // more: the circuit of each vendor stays open for twice as long each time.
        let launch = world.launch(&database).set("sync.retry_base", "20ms").set("sync.retry_cap", "100ms").set("sync.lease", "1s")
            .set("sync.max_attempts", "2");
        let running = Running::launch(world, launch).await;
        let sender = Sender::new(&running, "Away");
        let page = Action::Answer { status: 503, content_type: "text/html".to_owned(), body: "<h1>Maintenance</h1>".to_owned() };
        let break_it = async {
            sender.has_told(CHANGES / 4).await;
            for vendor in [Vendor::Marketo, Vendor::Salesforce] {
                running.world.emulators.faults.add(Fault { times: u32::MAX, ..Fault::next(vendor, "/", page.clone()) });
            }
            let most = eventually("many attempts", SOON, async || {
                let waiting = running.api.get("changes?state=retryable&limit=500").await.expect(200).json();
                let attempts = waiting["data"].as_array().unwrap().iter().filter_map(|c| c["attempts"].as_i64()).max()?;
                (attempts > 2 && sender.told.get() == CHANGES).then_some(attempts)
            })
            .await;
            running.world.emulators.faults.clear();
            most
        };
        let (_, attempts) = tokio::join!(sender.tell_of_all(), break_it);
        let failed: Value = running.api.get("changes?state=discarded").await.expect(200).json();
        assert_eq!(failed["data"], json!([]), "given up after {attempts} attempts, though nobody was to blame");
        sender.toll(&format!("vendors away for {attempts} attempts")).await;
    }
}
