//! Budgets that several processes share, step by step: whoever dies, is cut off or comes late, a vendor that counts strictly never sees
//! more than the limit.
//!
//! Real budgets on the real store, each with connections of its own, on one clock that is moved by hand. The vendor is a list of calls
//! with the times at which they were begun, counted and ended there.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use campaign_sync::connector::budget::{Budget, Limits, Permit, Pool, PoolError, Priority, Wait, Withheld};
use campaign_sync::domain::budget::{Grant, Report};
use campaign_sync::domain::clock::Clock;
use campaign_sync::store::Store;
use futures_util::poll;
use jiff::{Timestamp, tz::TimeZone};

use crate::support::on_both;

const LEASE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(20);
const CALL: Duration = Duration::from_secs(4);
const CONCURRENCY: usize = 3;
const CALLS: u32 = 20;
const DAILY: u64 = 400;
const STEPS: usize = 1200;

fn limits() -> Limits {
    Limits {
        concurrency: CONCURRENCY,
        window: Some((CALLS, WINDOW)),
        daily_calls: Some(DAILY),
        daily_share: None,
        timeout: CALL,
    }
}

/// The store as one process has it, and what becomes of its next settlements.
struct Account {
    store: Store,
    fails: Fails,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fails {
    No,
    /// Nothing arrives.
    Before,
    /// All is stored, and no answer comes back.
    After,
}

#[async_trait]
impl Pool for Account {
    async fn settle(&self, report: &Report) -> Result<Grant, PoolError> {
        if self.fails == Fails::Before {
            return Err(PoolError("cut off".to_owned()));
        }
        let grant = self.store.settle_budget("marketo", report).await.map_err(|e| PoolError(e.to_string()))?;
        if self.fails == Fails::After { Err(PoolError("no answer".to_owned())) } else { Ok(grant) }
    }
}

type Waiting = Pin<Box<dyn Future<Output = Result<Permit<'static>, Withheld>>>>;

struct Process {
    account: Account,
    budget: &'static Budget,
    waiting: Vec<Waiting>,
    calls: Vec<(Duration, Permit<'static>)>,
}

impl Process {
    async fn new(url: &str, clock: &Clock) -> Self {
        let store = Store::connect(url, 2, clock.clone()).await.unwrap();
        // Nobody waits here: what a budget waits for, it is asked for again.
        let wait: Wait = Arc::new(|_| Box::pin(std::future::pending()));
        // Lives as long as the test, as a process does.
        let budget: &'static Budget = Box::leak(Box::new(Budget::new(limits(), TimeZone::UTC, clock.clone(), wait)));
        budget.share(store.new_id(), LEASE);
        Self { account: Account { store, fails: Fails::No }, budget, waiting: Vec::new(), calls: Vec::new() }
    }
}

/// A call as the vendor sees it.
struct Call {
    begun: Duration,
    counted: Duration,
    ended: Duration,
}

/// Numbers without end, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn time(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(most.as_millis()).unwrap() + 1))
    }
}

/// A day of it; the vendor's calls.
async fn play(url: &str, seed: u64) -> Vec<Call> {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed + 1));
    let noon: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let clock = Clock::manual(noon + jiff::SignedDuration::from_hours(24 * i64::try_from(seed).unwrap()));
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(Process::new(url, &clock).await);
    }
    let mut vendor: Vec<Call> = Vec::new();
    for _ in 0..STEPS {
        clock.advance(dice.time(Duration::from_millis(500)));
        let now = clock.monotonic();
        processes.iter_mut().for_each(|process| process.calls.retain(|(ends, _)| *ends > now));
        let n = usize::try_from(dice.below(3)).unwrap();
        match dice.below(100) {
            // Killed: its calls go on at the vendor. Another one begins in its place.
            0 => {
                let killed = std::mem::replace(&mut processes[n], Process::new(url, &clock).await);
                killed.calls.into_iter().for_each(|(_, permit)| std::mem::forget(permit));
                killed.waiting.into_iter().for_each(std::mem::forget);
            }
            // Stopped as it should be.
            1 => {
                let stopped = std::mem::replace(&mut processes[n], Process::new(url, &clock).await);
                stopped.budget.settle(&stopped.account, true).await.unwrap();
            }
            2 => processes[n].account.fails = [Fails::Before, Fails::After][usize::try_from(dice.below(2)).unwrap()],
            3..7 => processes[n].account.fails = Fails::No,
            7..40 => _ = processes[n].budget.settle(&processes[n].account, false).await,
            // One of them works less than the others.
            _ if n == 2 && dice.below(4) > 0 => {}
            _ => {
                let process = &mut processes[n];
                if process.waiting.len() < 6 {
                    process.waiting.push(Box::pin(process.budget.acquire(Priority::Webhook)));
                }
                let mut waiting = Vec::new();
                for mut one in std::mem::take(&mut process.waiting) {
                    match poll!(one.as_mut()) {
                        std::task::Poll::Pending => waiting.push(one),
                        std::task::Poll::Ready(Err(_)) => {}
                        std::task::Poll::Ready(Ok(permit)) => {
                            let ended = now + dice.time(CALL);
                            vendor.push(Call { begun: now, counted: now + dice.time(ended - now), ended });
                            process.calls.push((ended, permit));
                        }
                    }
                }
                process.waiting = waiting;
            }
        }
    }
    // Whoever could not say any more what it called counts as having called all that it was granted, once nothing of it is in use.
    clock.advance(LEASE + CALL + WINDOW);
    for process in &mut processes {
        process.account.fails = Fails::No;
        process.budget.settle(&process.account, true).await.unwrap();
    }
    let counted = processes[0].account.store.shared_use("marketo").await.unwrap().calls_today;
    assert!(counted >= vendor.len() as u64, "seed {seed}: {counted} of {} calls are counted", vendor.len());
    vendor
}

/// What a strict vendor would have refused.
fn judge(seed: u64, vendor: &[Call]) {
    for call in vendor {
        let at_once = vendor.iter().filter(|other| other.begun <= call.begun && other.ended > call.begun).count();
        assert!(at_once <= CONCURRENCY, "seed {seed}: {at_once} calls in flight at {:?}", call.begun);
        let counted = |other: &&Call| other.counted >= call.counted && other.counted < call.counted + WINDOW;
        let inside = vendor.iter().filter(counted).count();
        assert!(inside <= CALLS as usize, "seed {seed}: {inside} calls in the window from {:?}", call.counted);
    }
    let calls = vendor.len() as u64;
    assert!(calls <= DAILY, "seed {seed}: {calls} calls in a day");
    assert!(calls > DAILY / 8, "seed {seed}: {calls} calls are hardly any");
}

on_both! {
    async fn whatever_processes_do_the_vendor_sees_no_more_than_the_limit(database: TestDatabase) {
        let store = Store::connect(&database.url, 2, Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        let mut all = 0;
        for seed in 0..6 {
            let vendor = play(&database.url, seed).await;
            judge(seed, &vendor);
            all += vendor.len();
        }
        eprintln!("{all} calls of 18 processes and those that followed them");
    }
}
