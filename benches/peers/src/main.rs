//! Job queues of others, each as its authors publish and tune it: `peers PEER WHAT DATABASE JOBS` prints one line of JSON.
//!
//! `one` enqueues the jobs by sixteen producers, one a call; `many` in batches; `drain` works off what waits with a handler that does
//! nothing; `latency` enqueues fifty a second while a worker runs, and says how late each was begun. The database is the suite's, and so
//! are its settings: it is durable. What is told was found in the tables afterwards.

mod apalis_queue;
mod graphile_queue;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

pub const PRODUCERS: usize = 16;
/// Jobs of a batch.
pub const BATCH: usize = 1_000;
/// Between two jobs of `latency`.
const PACE: Duration = Duration::from_millis(20);

/// About 200 bytes as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub n: usize,
    pub body: String,
}

impl Job {
    pub fn new(n: usize) -> Self {
        Self { n, body: "x".repeat(180) }
    }

    /// What a handler does.
    pub fn begun(&self) {
        if let Some(begun) = BEGUN.get() {
            begun.lock().unwrap()[self.n] = Some(Instant::now());
        }
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BEGUN: OnceLock<Mutex<Vec<Option<Instant>>>> = OnceLock::new();

/// A queue as its users see it.
pub(crate) trait Queue: Clone + Send + 'static {
    async fn open(pool: &PgPool) -> Self;
    fn add(&mut self, job: Job) -> impl Future<Output = ()> + Send;
    async fn add_many(&mut self, jobs: Vec<Job>);
    /// Works in a task of its own, in bulk or as promptly as it can.
    fn work(&self, in_bulk: bool);
    /// Jobs that were not worked off.
    const WAITING: &str;
    /// Leaves nothing of earlier rounds.
    const EMPTY: &str;
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [peer, what, database, jobs] = &args[..] else { panic!("peers PEER WHAT DATABASE JOBS") };
    let pool = PgPoolOptions::new().max_connections(20).min_connections(16).connect(database).await.unwrap();
    let jobs = jobs.parse().unwrap();
    let told = match peer.as_str() {
        "graphile_worker" => run::<graphile_queue::Graphile>(what, &pool, jobs).await,
        "apalis" => run::<apalis_queue::Apalis>(what, &pool, jobs).await,
        other => panic!("there is no peer {other}"),
    };
    println!("{told}");
    // Whoever works has nothing left to do, and some do not end by themselves.
    std::process::exit(0);
}

async fn waiting<Q: Queue>(pool: &PgPool) -> usize {
    let (count,): (i64,) = sqlx::query_as(Q::WAITING).fetch_one(pool).await.unwrap();
    usize::try_from(count).unwrap()
}

async fn run<Q: Queue>(what: &str, pool: &PgPool, jobs: usize) -> serde_json::Value {
    let mut queue = Q::open(pool).await;
    if what != "drain" {
        sqlx::query(Q::EMPTY).execute(pool).await.unwrap();
    }
    let started = Instant::now();
    match what {
        "one" => {
            let mut producers = tokio::task::JoinSet::new();
            for producer in 0..PRODUCERS {
                let mut queue = queue.clone();
                producers.spawn(async move {
                    for n in (producer..jobs).step_by(PRODUCERS) {
                        queue.add(Job::new(n)).await;
                    }
                });
            }
            producers.join_all().await;
            let seconds = started.elapsed().as_secs_f64();
            assert_eq!(waiting::<Q>(pool).await, jobs, "enqueued and stored differ");
            json!({"jobs": jobs, "seconds": seconds})
        }
        "many" => {
            for from in (0..jobs).step_by(BATCH) {
                queue.add_many((from..jobs.min(from + BATCH)).map(Job::new).collect()).await;
            }
            let seconds = started.elapsed().as_secs_f64();
            assert_eq!(waiting::<Q>(pool).await, jobs, "enqueued and stored differ");
            json!({"jobs": jobs, "seconds": seconds})
        }
        "drain" => {
            assert_eq!(waiting::<Q>(pool).await, jobs, "what was enqueued is not there");
            let started = Instant::now();
            queue.work(true);
            while waited::<Q>(pool, jobs).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let seconds = started.elapsed().as_secs_f64();
            json!({"jobs": jobs, "seconds": seconds, "handled": COUNT.load(Ordering::Relaxed)})
        }
        "latency" => latency::<Q>(queue, pool, jobs).await,
        other => panic!("nobody can {other}"),
    }
}

/// Handled, and recorded as that. The table is asked only once the handlers have seen everything, so as not to be in the way.
async fn waited<Q: Queue>(pool: &PgPool, jobs: usize) -> bool {
    COUNT.load(Ordering::Relaxed) < jobs || waiting::<Q>(pool).await > 0
}

async fn latency<Q: Queue>(mut queue: Q, pool: &PgPool, jobs: usize) -> serde_json::Value {
    BEGUN.set(Mutex::new(vec![None; jobs])).unwrap();
    queue.work(false);
    // What listens has to be listening.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut adding, mut sent) = (tokio::task::JoinSet::new(), Vec::new());
    let started = Instant::now();
    for n in 0..jobs {
        tokio::time::sleep((started + PACE * u32::try_from(n).unwrap()).saturating_duration_since(Instant::now()))
            .await;
        sent.push(Instant::now());
        let mut queue = queue.clone();
        adding.spawn(async move { queue.add(Job::new(n)).await });
    }
    adding.join_all().await;
    let patience = Instant::now() + Duration::from_secs(30);
    while waited::<Q>(pool, jobs).await && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    queue.add_many(Vec::new()).await;
    let begun = BEGUN.get().unwrap().lock().unwrap();
    let mut late: Vec<f64> = begun
        .iter()
        .zip(&sent)
        .map(|(begun, sent)| begun.expect("begun by now").duration_since(*sent).as_secs_f64() * 1000.0)
        .collect();
    late.sort_by(f64::total_cmp);
    let at = |percent: usize| late[(late.len() * percent).div_ceil(100).saturating_sub(1)];
    json!({"jobs": jobs, "p50": at(50), "p99": at(99)})
}
