//! Several budgets on one account in memory, with the task that settles.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use jiff::tz::TimeZone;

use super::super::{Limits, Priority, runtime_wait};
use super::*;
use crate::domain::budget::{Account, Holding};
use crate::domain::clock::Clock;

const LEASE: Duration = Duration::from_secs(4);
/// Processes so far, for their names.
static NAMES: AtomicUsize = AtomicUsize::new(0);

/// The account, and how often it was settled.
struct Ledger {
    clock: Clock,
    account: Mutex<(Account, Vec<Holding>)>,
    settlements: AtomicUsize,
    away: AtomicBool,
}

impl Ledger {
    fn new() -> Arc<Self> {
        let (settlements, away) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { clock: Clock::system(), account: Mutex::default(), settlements, away })
    }

    fn calls_today(&self) -> u64 {
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.0.calls_today(&account.1)
    }
}

#[async_trait]
impl Pool for Ledger {
    async fn settle(&self, report: &Report) -> Result<Grant, PoolError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(PoolError("away".to_owned()));
        }
        self.settlements.fetch_add(1, Ordering::SeqCst);
        let mut account = self.account.lock().unwrap();
        let (account, holdings) = &mut *account;
        Ok(account.settle(holdings, report, self.clock.now().as_millisecond()))
    }
}

/// One process.
struct Process {
    budget: Arc<Budget>,
    stop: CancellationToken,
    keeper: tokio::task::JoinHandle<()>,
}

impl Process {
    fn new(ledger: &Arc<Ledger>, limits: Limits) -> Self {
        let budget = Arc::new(Budget::new(limits, TimeZone::UTC, Clock::system(), runtime_wait()));
        budget.share(format!("p{}", NAMES.fetch_add(1, Ordering::SeqCst)), LEASE);
        let stop = CancellationToken::new();
        let (kept, pool, told) = (Arc::clone(&budget), Arc::clone(ledger), stop.clone());
        let keeper = tokio::spawn(async move { kept.keep(&*pool, &told).await });
        Self { budget, stop, keeper }
    }

    /// Calls that last a moment, so many at a time.
    async fn call(&self, times: usize, at_once: usize) {
        let one = async || {
            for _ in 0..times / at_once {
                let permit = self.budget.acquire(Priority::Webhook).await.unwrap();
                tokio::task::yield_now().await;
                drop(permit);
            }
        };
        join_all((0..at_once).map(|_| one())).await;
    }

    async fn end(self) {
        self.stop.cancel();
        self.keeper.await.unwrap();
    }
}

fn limits(concurrency: usize, daily_calls: u64) -> Limits {
    let timeout = Duration::from_secs(1);
    Limits { concurrency, window: None, daily_calls: Some(daily_calls), daily_share: None, timeout }
}

#[tokio::test]
async fn one_alone_has_all_and_asks_hardly_ever() {
    let ledger = Ledger::new();
    let alone = Process::new(&ledger, limits(5, 1_000_000));
    alone.call(5_000, 5).await;
    assert_eq!(alone.budget.in_use().part.concurrency, 5);
    let asked = ledger.settlements.load(Ordering::SeqCst);
    assert!(asked < 100, "{asked} settlements for 5,000 calls");
    alone.end().await;
    assert_eq!(ledger.calls_today(), 5_000);
}

#[tokio::test]
async fn the_count_of_the_day_outlives_processes_and_is_never_exceeded() {
    let ledger = Ledger::new();
    let first = Process::new(&ledger, limits(5, 300));
    first.call(100, 1).await;
    // Killed: what it was granted ahead counts as called.
    first.keeper.abort();
    let others = [Process::new(&ledger, limits(5, 300)), Process::new(&ledger, limits(5, 300))];
    let mut calls = 0;
    let mut refused = 0;
    while refused < 2 {
        refused = 0;
        for other in &others {
            match other.budget.acquire(Priority::Webhook).await {
                Ok(_) => calls += 1,
                Err(Withheld::Quota(_)) => refused += 1,
                Err(why) => panic!("{why:?}"),
            }
        }
    }
    assert!((100..=200).contains(&calls), "{calls} after 100 of 300");
    let later = Process::new(&ledger, limits(5, 300));
    assert!(matches!(later.budget.acquire(Priority::Webhook).await.err(), Some(Withheld::Quota(_))));
}

#[tokio::test]
async fn what_one_is_told_the_others_know_before_they_call() {
    let ledger = Ledger::new();
    let (one, other) = (Process::new(&ledger, limits(2, 1000)), Process::new(&ledger, limits(2, 1000)));
    one.call(1, 1).await;
    one.budget.exhaust(Duration::from_hours(2));
    one.end().await;
    let Err(Withheld::Quota(left)) = other.budget.acquire(Priority::FlowAction).await else { panic!("not told") };
    assert!(left > Duration::from_mins(119), "{left:?}");
    assert_eq!(other.budget.in_use().exhausted.map(|left| left > Duration::from_mins(119)), Some(true));
    // A process that starts afterwards knows it too, and has made no call to find out.
    let next = Process::new(&ledger, limits(2, 1000));
    assert!(matches!(next.budget.acquire(Priority::Webhook).await.err(), Some(Withheld::Quota(_))));
    assert_eq!(ledger.calls_today(), 1);
}

#[tokio::test]
async fn without_the_account_nobody_calls_and_nobody_waits_for_ever() {
    let ledger = Ledger::new();
    ledger.away.store(true, Ordering::SeqCst);
    let one = Process::new(&ledger, limits(2, 1000));
    assert!(matches!(one.budget.acquire(Priority::Webhook).await.err(), Some(Withheld::Paused(_))));
    ledger.away.store(false, Ordering::SeqCst);
    while one.budget.acquire(Priority::Webhook).await.is_err() {
        tokio::task::yield_now().await;
    }
    one.end().await;
}

#[tokio::test]
async fn two_that_want_all_have_half_each_and_the_one_that_stays_has_all_again() {
    let ledger = Ledger::new();
    let (one, other) = (Process::new(&ledger, limits(4, 100_000)), Process::new(&ledger, limits(4, 100_000)));
    let most = Mutex::new((0, 0));
    let in_flight = AtomicUsize::new(0);
    let calls = async |process: &Process, times: usize| {
        for _ in 0..times {
            let permit = process.budget.acquire(Priority::Webhook).await.unwrap();
            let now = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            (runtime_wait())(Duration::from_millis(1)).await;
            let mut most = most.lock().unwrap();
            most.0 = most.0.max(now);
            most.1 += 1;
            drop(most);
            in_flight.fetch_sub(1, Ordering::SeqCst);
            drop(permit);
        }
    };
    let (a, b) = (join_all((0..6).map(|_| calls(&one, 150))), join_all((0..6).map(|_| calls(&other, 150))));
    tokio::join!(a, b);
    assert_eq!(*most.lock().unwrap(), (4, 1800));
    other.end().await;
    join_all((0..6).map(|_| calls(&one, 150))).await;
    assert_eq!(one.budget.in_use().part.concurrency, 4);
    assert_eq!(ledger.calls_today(), 2700);
}
