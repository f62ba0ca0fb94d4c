//! How many calls a vendor may be sent, and who goes first.
//!
//! Owns the sliding window, the calls in flight, the day's count and the pauses that a vendor asked for. A caller waits for
//! a free slot; of those who wait, flow actions go first, then webhooks, polls and reconciliation. Must not know
//! what the calls are.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::tz::TimeZone;
use jiff::{ToSpan, civil::Date};
use tokio::sync::Notify;

use super::Pace;
use crate::domain::clock::Clock;

/// How the waiting is done: the runtime's timer, or in tests a step of the manual clock.
pub type Wait = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// Waits on the runtime's timer.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the connectors' only wait; tests hand in their own")]
pub fn runtime_wait() -> Wait {
    Arc::new(|time| Box::pin(tokio::time::sleep(time)))
}

/// What we allow ourselves, of what the vendor allows the whole instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Calls in flight at once.
    pub concurrency: usize,
    /// Calls in any span of this length; none for no limit.
    pub window: Option<(u32, Duration)>,
    /// Calls in a day of the vendor; none for no limit.
    pub daily_calls: Option<u64>,
    /// Share of the daily calls that the vendor itself names in its answers, once it has.
    pub daily_share: Option<f64>,
    /// Longest time that one call may take.
    pub timeout: Duration,
}

/// Whose call it is; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    FlowAction,
    Webhook,
    /// Looking for changes that nobody told of.
    Poll,
    Reconcile,
}

/// Why there will be no slot soon enough to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The vendor said that we are too fast.
    Paused(Duration),
    /// The day's calls are used up.
    Quota(Duration),
}

/// The budget of one vendor.
pub struct Budget {
    clock: Clock,
    wait: Wait,
    /// Where the vendor's day begins.
    zone: TimeZone,
    limits: Limits,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    /// When calls ended that still count in the window. The end and not the start, since the vendor counts a call
    /// somewhere between the two: so its own window cannot hold more than ours, however long the calls take.
    ended: VecDeque<Duration>,
    /// Who waits, first come first served within a priority.
    queue: BTreeSet<Ticket>,
    tickets: u64,
    day: Option<Date>,
    calls_today: u64,
    /// Since the start.
    calls: u64,
    shared_limit: Option<u64>,
    paused_until: Duration,
    exhausted_until: Duration,
}

type Ticket = (Priority, u64);

enum Turn {
    Taken,
    /// Somebody else's, until something changes.
    NotYet,
    /// The window is full for this long.
    In(Duration),
    Withheld(Withheld),
}

/// One slot; given back when dropped.
pub struct Permit<'a>(&'a Budget);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let now = self.0.clock.monotonic();
        let mut state = self.0.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        if self.0.limits.window.is_some() {
            state.ended.push_back(now);
        }
        drop(state);
        self.0.changed.notify_waiters();
    }
}

/// A place in the queue; given up when the caller goes away.
struct Queued<'a>(&'a Budget, Ticket);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.state().queue.remove(&self.1);
        self.0.changed.notify_waiters();
    }
}

impl Budget {
    /// A budget whose day begins at midnight in `zone`.
    #[must_use]
    pub fn new(limits: Limits, zone: TimeZone, clock: Clock, wait: Wait) -> Self {
        Self { clock, wait, zone, limits, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot. Does not wait where the vendor or the day's count says no.
    ///
    /// # Errors
    /// `Withheld` with the time after which it is worth asking again.
    pub async fn acquire(&self, priority: Priority) -> Result<Permit<'_>, Withheld> {
        let ticket = {
            let mut state = self.state();
            state.tickets += 1;
            let ticket = (priority, state.tickets);
            state.queue.insert(ticket);
            ticket
        };
        let _queued = Queued(self, ticket);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.turn(ticket) {
                Turn::Taken => return Ok(Permit(self)),
                Turn::Withheld(why) => return Err(why),
                Turn::NotYet => changed.await,
                Turn::In(time) => {
                    tokio::select! {
                        () = changed => {}
                        () = (self.wait)(time) => {}
                    }
                }
            }
        }
    }

    fn turn(&self, ticket: Ticket) -> Turn {
        let now = self.clock.monotonic();
        let mut state = self.state();
        self.begin_day(&mut state);
        if state.exhausted_until > now {
            return Turn::Withheld(Withheld::Quota(state.exhausted_until - now));
        }
        if state.paused_until > now {
            return Turn::Withheld(Withheld::Paused(state.paused_until - now));
        }
        let daily = [self.limits.daily_calls, state.shared_limit].into_iter().flatten().min();
        if daily.is_some_and(|most| state.calls_today >= most) {
            return Turn::Withheld(Withheld::Quota(self.until_midnight()));
        }
        if state.queue.first() != Some(&ticket) || state.in_flight >= self.limits.concurrency.max(1) {
            return Turn::NotYet;
        }
        if let Some((calls, span)) = self.limits.window {
            while state.ended.front().is_some_and(|&end| end + span <= now) {
                state.ended.pop_front();
            }
            if state.in_flight + state.ended.len() >= calls.max(1) as usize {
                return state.ended.front().map_or(Turn::NotYet, |&end| Turn::In(end + span - now));
            }
        }
        state.in_flight += 1;
        state.calls_today += 1;
        state.calls += 1;
        state.queue.remove(&ticket);
        Turn::Taken
    }

    fn begin_day(&self, state: &mut State) {
        let today = self.clock.now().to_zoned_datetime(self.zone.clone()).date();
        if state.day != Some(today) {
            state.day = Some(today);
            state.calls_today = 0;
        }
    }

    /// Time until the vendor's next day begins.
    #[must_use]
    pub fn until_midnight(&self) -> Duration {
        let now = self.clock.now();
        let tomorrow = now.to_zoned_datetime(self.zone.clone()).date().checked_add(1.day());
        tomorrow
            .and_then(|day| day.to_zoned_datetime(self.zone.clone()))
            .ok()
            .and_then(|midnight| midnight.timestamp().duration_since(now).try_into().ok())
            .unwrap_or(Duration::from_hours(24))
    }

    /// No calls for this long, because the vendor refused one for the rate: further calls would count against us.
    pub fn pause(&self, time: Duration) {
        let until = self.clock.monotonic() + time;
        let mut state = self.state();
        state.paused_until = state.paused_until.max(until);
        drop(state);
        self.changed.notify_waiters();
    }

    /// No calls for this long, because the vendor's day is used up.
    pub fn exhaust(&self, time: Duration) {
        let until = self.clock.monotonic() + time;
        let mut state = self.state();
        state.exhausted_until = state.exhausted_until.max(until);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Learns the daily calls that the vendor grants the whole instance.
    pub fn granted(&self, daily: u64) {
        if let Some(share) = self.limits.daily_share {
            self.state().shared_limit = Some((daily as f64 * share) as u64);
        }
    }

    /// Calls begun in the vendor's present day.
    #[must_use]
    pub fn calls_today(&self) -> u64 {
        let mut state = self.state();
        self.begin_day(&mut state);
        state.calls_today
    }

    /// How fast calls may follow each other, and how many are left of this day; `remaining` is what the vendor last said.
    #[must_use]
    pub fn pace_of_calls(&self, remaining: Option<u64>) -> Pace {
        let daily = self.daily_limit();
        let left = daily.map(|daily| daily.saturating_sub(self.calls_today()));
        let window = self.limits.window.filter(|(_, span)| !span.is_zero());
        Pace {
            per_second: window.map(|(calls, span)| f64::from(calls) / span.as_secs_f64()),
            call_millis: None,
            calls: Some(self.state().calls),
            left_today: [left, remaining].into_iter().flatten().min(),
            daily,
            day_ends_in: self.until_midnight(),
        }
    }

    /// The most calls that we allow ourselves in a day, where that is known.
    #[must_use]
    pub fn daily_limit(&self) -> Option<u64> {
        [self.limits.daily_calls, self.state().shared_limit].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(concurrency: usize, calls: u32) -> Limits {
        Limits {
            concurrency,
            window: Some((calls, Duration::from_secs(20))),
            daily_calls: None,
            daily_share: None,
            timeout: Duration::from_secs(1),
        }
    }

    /// A budget on a manual clock that waiting moves.
    fn budget(limits: Limits) -> (Arc<Budget>, Clock) {
        let clock = Clock::manual("2026-11-23T12:00:00Z".parse().unwrap());
        let hand = clock.clone();
        let wait: Wait = Arc::new(move |time| {
            let hand = hand.clone();
            Box::pin(async move { hand.advance(time) })
        });
        let zone = TimeZone::posix("CST6CDT,M3.2.0,M11.1.0").unwrap();
        (Arc::new(Budget::new(limits, zone, clock.clone(), wait)), clock)
    }

    #[tokio::test]
    async fn no_window_ever_holds_more_than_allowed() {
        let (budget, clock) = budget(limits(5, 10));
        let mut begun = Vec::new();
        for n in 0..95_u64 {
            let permit = budget.acquire(Priority::Webhook).await.unwrap();
            begun.push(clock.monotonic());
            clock.advance(Duration::from_millis(n * 37 % 900));
            drop(permit);
        }
        for start in &begun {
            let inside = begun.iter().filter(|t| **t >= *start && **t < *start + Duration::from_secs(20)).count();
            assert!(inside <= 10, "{inside} calls from {start:?}");
        }
        assert_eq!(budget.calls_today(), 95);
    }

    #[tokio::test]
    async fn concurrency_holds_and_the_first_priority_goes_first() {
        let (budget, _) = budget(limits(1, 1000));
        let held = budget.acquire(Priority::Reconcile).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for priority in [Priority::Reconcile, Priority::Webhook, Priority::FlowAction, Priority::Webhook] {
            let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let _permit = budget.acquire(priority).await.unwrap();
                order.lock().unwrap().push(priority);
                tokio::task::yield_now().await;
            }));
            tokio::task::yield_now().await;
        }
        assert!(order.lock().unwrap().is_empty());
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        use Priority::{FlowAction, Reconcile, Webhook};
        assert_eq!(*order.lock().unwrap(), [FlowAction, Webhook, Webhook, Reconcile]);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_the_queue() {
        let (budget, _) = budget(limits(1, 1000));
        let held = budget.acquire(Priority::Webhook).await.unwrap();
        let mut gone = Box::pin(budget.acquire(Priority::FlowAction));
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
        drop(gone);
        drop(held);
        assert!(budget.acquire(Priority::Reconcile).await.is_ok());
    }

    #[tokio::test]
    async fn the_day_of_marketo_ends_at_midnight_central() {
        let (budget, clock) = budget(Limits { daily_calls: Some(2), ..limits(5, 1000) });
        for _ in 0..2 {
            drop(budget.acquire(Priority::Webhook).await.unwrap());
        }
        // 12:00 UTC is 06:00 in winter Central time.
        let left = Duration::from_hours(18);
        assert_eq!(budget.acquire(Priority::Webhook).await.err(), Some(Withheld::Quota(left)));
        clock.advance(left);
        assert!(budget.acquire(Priority::Webhook).await.is_ok());
        assert_eq!(budget.calls_today(), 1);
    }

    #[tokio::test]
    async fn a_pause_answers_at_once_and_ends() {
        let (budget, clock) = budget(limits(5, 1000));
        budget.pause(Duration::from_secs(20));
        let why = Withheld::Paused(Duration::from_secs(20));
        assert_eq!(budget.acquire(Priority::FlowAction).await.err(), Some(why));
        clock.advance(Duration::from_secs(20));
        assert!(budget.acquire(Priority::FlowAction).await.is_ok());
    }

    #[tokio::test]
    async fn a_share_of_what_the_vendor_grants_is_the_limit() {
        let (budget, _) = budget(Limits { daily_share: Some(0.5), ..limits(5, 1000) });
        budget.granted(6);
        assert_eq!(budget.daily_limit(), Some(3));
        for _ in 0..3 {
            drop(budget.acquire(Priority::Webhook).await.unwrap());
        }
        assert!(matches!(budget.acquire(Priority::Webhook).await.err(), Some(Withheld::Quota(_))));
    }
}
