//! Deliveries: how many a second reach a fast receiver, how far they lag behind a thousand events a second, and what a receiver that
//! hangs costs fifty others. Counted at the receiver, and in the database.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use campaign_sync::connector::{ConnectorError, SmartCampaigns};
use campaign_sync::domain::ids::MarketoId;
use campaign_sync::store::replays::ReplayFrom;
use campaign_sync::worker::deliver::{Deliverer, DeliverySettings};
use campaign_sync::worker::points::Points;
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::Figure;
use crate::ground::{Tables, TestDatabase, eventually, name_of};
use crate::log::Log;
use crate::sink::Sink;
use crate::spread::{Spread, percentile};
use crate::world::pause;

const MEMBERS: usize = 1_000;
/// As the service is configured unless told otherwise.
const CONCURRENCY: usize = 20;
/// Deliveries of a round at full speed.
const MANY: usize = 10_000;
const ROUNDS: usize = 5;
/// Events a second that are told while they are delivered, and for how long.
const PACE: usize = 1_000;
const SUSTAINED: Duration = Duration::from_secs(10);
const LIVE: usize = 50;
/// Events a second to each of them, and for how long.
const EVENTS: usize = 10;
const PHASE: Duration = Duration::from_secs(4);
const PHASES: usize = 11;
const LATE: Duration = Duration::from_secs(120);

/// No smart campaign is requested here.
struct Nobody;

#[async_trait]
impl SmartCampaigns for Nobody {
    async fn request_campaign(
        &self,
        campaign: i64,
        _: &[MarketoId],
        _: &[(String, String)],
    ) -> Result<(), ConnectorError> {
        panic!("smart campaign {campaign} was requested")
    }
}

pub async fn run() -> Vec<Figure> {
    let mut figures = Vec::new();
    for database in TestDatabase::each().await {
        let mut ground = Ground::new(&database).await;
        figures.push(ground.full_speed().await);
        figures.extend(ground.sustained().await);
        figures.extend(ground.beside_the_dead().await);
        ground.stop.cancel();
    }
    figures
}

struct Ground<'a> {
    database: &'a TestDatabase,
    log: Log,
    sink: Sink,
    tables: Tables,
    stop: CancellationToken,
}

impl<'a> Ground<'a> {
    async fn new(database: &'a TestDatabase) -> Self {
        let log = Log::new(database, MEMBERS).await;
        let settings = DeliverySettings {
            timeout: Duration::from_secs(15),
            max_age: Duration::from_secs(72 * 3600),
            concurrency: CONCURRENCY,
            lease: Duration::from_secs(30),
            allow_private: true,
        };
        let deliverer = Deliverer::new(log.store.clone(), Arc::new(Nobody), settings, Points::default()).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(deliverer.run(stop.clone()));
        Self { database, log, sink: Sink::new(), tables: Tables::open(&database.url).await, stop }
    }

    fn figure(&self, what: &str, values: &[f64], goal: Option<(&'static str, f64)>) -> Figure {
        let spread = Spread::of(values);
        let what = format!("{}: {what}{}", name_of(self.database), spread.told(values.len()));
        Figure { workload: "deliveries", what, value: spread.median, goal }
    }

    /// Waits until the receiver has got so many since it was asked last.
    async fn arrived(&self, count: usize) {
        eventually("the deliveries to arrive", LATE, async || (self.sink.count() >= count).then_some(())).await;
    }

    /// Waits until the database says of so many that a subscription was sent them.
    async fn recorded(&self, subscription: &str, count: usize) {
        let sql = format!(
            "SELECT CAST(COUNT(*) AS TEXT) FROM deliveries WHERE subscription_id = '{subscription}' AND state = 'delivered'"
        );
        let wanted = count.to_string();
        eventually("them to be recorded", LATE, async || (self.tables.texts(&sql).await[0] == wanted).then_some(()))
            .await;
    }

    /// A backlog of ten thousand; beside it, in the same rounds, a client that posts as many at the same concurrency and does nothing
    /// else.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    async fn full_speed(&mut self) -> Figure {
        while self.log.told < MANY {
            self.log.change(200).await;
        }
        let (mut ours, mut limits) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let url = format!("{}/fast", self.sink.url);
            let subscription = self.log.subscribe(&url, true).await.id;
            let started = Instant::now();
            self.log.store.replay(&subscription, ReplayFrom::Position(0), "bench").await.unwrap().unwrap();
            self.arrived(MANY).await;
            self.recorded(&subscription, MANY).await;
            let received = self.sink.take();
            let last = received.iter().map(|one| one.at).max().unwrap();
            assert_eq!(received.iter().map(|one| &one.id).collect::<HashSet<_>>().len(), MANY, "each of them once");
            ours.push(MANY as f64 / last.duration_since(started).as_secs_f64());
            self.log.store.delete_subscription(&subscription, "bench").await.unwrap();
            limits.push(self.posted(&url).await);
            println!(
                "deliveries {} round {round}: ours {:.0}/s; a client alone {:.0}/s",
                name_of(self.database),
                ours[round],
                limits[round]
            );
        }
        let ratios: Vec<_> = ours.iter().zip(&limits).map(|(own, limit)| own / limit).collect();
        println!("deliveries {}: to a client alone {:.2}", name_of(self.database), Spread::of(&ratios).median);
        self.figure("deliveries/s from a backlog to one receiver", &ours, Some(("at least", 1000.0)))
    }

    /// Requests a second of a client without a database.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    async fn posted(&self, url: &str) -> f64 {
        let (client, body) = (reqwest::Client::new(), "x".repeat(700));
        let started = Instant::now();
        let post = |_| client.post(url).body(body.clone()).send();
        let answered = stream::iter(0..MANY).map(post).buffer_unordered(CONCURRENCY);
        let good = answered.filter(|answer| std::future::ready(answer.as_ref().is_ok_and(|a| a.status() == 200)));
        assert_eq!(good.count().await, MANY);
        self.sink.take();
        MANY as f64 / started.elapsed().as_secs_f64()
    }

    /// Changes members at a pace, open loop, and says when each was about to be recorded.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    async fn tell(&mut self, a_second: usize, time: Duration) -> HashMap<(i64, usize), Instant> {
        // A batch at a time, as passes do.
        let batch = (a_second / 20).max(1);
        let every = Duration::from_secs_f64(batch as f64 / a_second as f64);
        let batches = (time.as_secs_f64() / every.as_secs_f64()).round() as u32;
        let (started, mut told) = (Instant::now(), HashMap::new());
        for n in 0..batches {
            pause((every * n).saturating_sub(started.elapsed())).await;
            let at = started + every * n;
            for of in self.log.told..self.log.told + batch {
                told.insert((i64::try_from(of % MEMBERS).unwrap() + 1, of / MEMBERS + 1), at);
            }
            self.log.change(batch).await;
        }
        told
    }

    /// From when each event was due to be recorded to its arrival, in milliseconds.
    fn latencies(&self, told: &HashMap<(i64, usize), Instant>) -> Vec<f64> {
        let late = |one: &crate::sink::Received| {
            told.get(&(one.person, one.sequence)).map(|at| one.at.duration_since(*at).as_secs_f64() * 1000.0)
        };
        self.sink.take().iter().filter_map(late).collect()
    }

    async fn sustained(&mut self) -> [Figure; 2] {
        let subscription = self.log.subscribe(&format!("{}/fast", self.sink.url), true).await.id;
        let count = PACE * usize::try_from(SUSTAINED.as_secs()).unwrap();
        let (mut rates, mut p99s) = (Vec::new(), Vec::new());
        let mut before = 0;
        for round in 0..ROUNDS {
            let told = self.tell(PACE, SUSTAINED).await;
            self.arrived(count).await;
            let first = *told.values().min().unwrap();
            let last = self.sink.received_last();
            before += count;
            self.recorded(&subscription, before).await;
            let mut late = self.latencies(&told);
            assert_eq!(late.len(), count, "each of them once");
            rates.push(count as f64 / last.duration_since(first).as_secs_f64());
            p99s.push(percentile(&mut late, 99));
            println!(
                "deliveries {} sustained round {round}: {:.0}/s, p50 {:.0} ms, p99 {:.0} ms",
                name_of(self.database),
                rates[round],
                percentile(&mut late, 50),
                p99s[round]
            );
        }
        self.log.store.delete_subscription(&subscription, "bench").await.unwrap();
        [
            self.figure("deliveries/s while 1,000 events/s are told", &rates, Some(("at least", 990.0))),
            self.figure("the same, p99 ms from the change to the receiver", &p99s, None),
        ]
    }

    /// Fifty receivers, in turns with and without one more that takes requests and never answers.
    async fn beside_the_dead(&mut self) -> [Figure; 2] {
        let mut live = Vec::new();
        for n in 0..LIVE {
            live.push(self.log.subscribe(&format!("{}/live/{n}", self.sink.url), true).await.id);
        }
        let count = EVENTS * usize::try_from(PHASE.as_secs()).unwrap() * LIVE;
        let mut p99s: [Vec<f64>; 2] = Default::default();
        for phase in 0..PHASES * 2 {
            // Alone, dead, dead, alone: what drifts with time falls on both.
            let with = matches!(phase % 4, 1 | 2);
            let dead = match with {
                true => Some(self.log.subscribe(&format!("{}/dead", self.sink.url), true).await.id),
                false => None,
            };
            let told = self.tell(EVENTS, PHASE).await;
            self.arrived(count).await;
            let mut late = self.latencies(&told);
            assert_eq!(late.len(), count, "each of them once");
            p99s[usize::from(with)].push(percentile(&mut late, 99));
            println!(
                "deliveries {} to {LIVE}, {}: p50 {:.1} ms, p99 {:.1} ms",
                name_of(self.database),
                if with { "one dead" } else { "alone" },
                percentile(&mut late, 50),
                percentile(&mut late, 99)
            );
            if let Some(dead) = dead {
                self.log.store.delete_subscription(&dead, "bench").await.unwrap();
            }
        }
        for id in live {
            self.log.store.delete_subscription(&id, "bench").await.unwrap();
        }
        let [alone, dead] = &p99s;
        let ratios: Vec<_> = dead.iter().zip(alone).map(|(dead, alone)| dead / alone).collect();
        [
            self.figure("p99 ms to 50 receivers", alone, None),
            self.figure("the same with a dead one beside them, to that", &ratios, Some(("at most", 1.1))),
        ]
    }
}
