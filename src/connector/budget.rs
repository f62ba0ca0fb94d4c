//! How many calls a vendor may be sent, and who goes first.
//!
//! Owns the sliding window, the calls in flight, the day's count and the pauses that a vendor asked for. A caller waits for
//! a free slot; of those who wait, flow actions go first, then webhooks, polls and reconciliation. Several processes share a budget
//! through a pool (`sharing`): each goes by the part that it was granted, without asking anybody for a single call. Must not know
//! what the calls are.

mod sharing;

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::tz::TimeZone;
use jiff::{ToSpan, civil::Date};
use tokio::sync::Notify;

use super::Pace;
use crate::domain::budget::Part;
use crate::domain::clock::Clock;
pub use sharing::{BudgetUse, Pool, PoolError, Settled, Sharing};
use sharing::{Hold, News};

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
    /// The vendor said that we are too fast, or nobody can say what others use.
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
    /// More than was granted is needed, or there is news for all.
    need: Notify,
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
    /// What the vendor grants the whole instance in a day.
    granted: Option<u64>,
    paused_until: Duration,
    exhausted_until: Duration,
    /// What was granted of a budget that others share; none while nobody does.
    hold: Option<Hold>,
    news: News,
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
        let (state, changed, need) = Default::default();
        Self { clock, wait, zone, limits, state, changed, need }
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
        if let Some(why) = self.withheld(&state, now) {
            return Turn::Withheld(why);
        }
        if state.queue.first() != Some(&ticket) {
            return Turn::NotYet;
        }
        let most = Part { concurrency: self.limits.concurrency.max(1) as u64, calls: self.most_calls() };
        let part = match self.granted_part(&state, now) {
            Ok(part) => part.unwrap_or(most),
            Err(turn) => return turn,
        };
        if state.in_flight as u64 >= part.concurrency.min(most.concurrency) {
            self.ask_if(part.concurrency < most.concurrency);
            return Turn::NotYet;
        }
        if let Some((_, span)) = self.limits.window {
            state.forget_ended(span, now);
            if state.in_window() >= part.calls.min(most.calls) {
                self.ask_if(part.calls < most.calls);
                return state.ended.front().map_or(Turn::NotYet, |&end| Turn::In(end + span - now));
            }
        }
        state.queue.remove(&ticket);
        self.begin_call(&mut state, now);
        Turn::Taken
    }

    /// Whether the vendor, or the day's count of all, says no.
    fn withheld(&self, state: &State, now: Duration) -> Option<Withheld> {
        if state.exhausted_until > now {
            return Some(Withheld::Quota(state.exhausted_until - now));
        }
        if state.paused_until > now {
            return Some(Withheld::Paused(state.paused_until - now));
        }
        let used_up = self.daily(state).is_some_and(|most| self.of_all(state) >= most);
        used_up.then(|| Withheld::Quota(self.until_midnight()))
    }

    fn begin_call(&self, state: &mut State, now: Duration) {
        state.in_flight += 1;
        state.calls_today += 1;
        state.calls += 1;
        self.note_call(state, now);
    }

    fn begin_day(&self, state: &mut State) {
        let today = self.clock.now().to_zoned_datetime(self.zone.clone()).date();
        // Never back: the vendor's day has begun for all when it has for one.
        if state.day.is_none_or(|day| day < today) {
            state.begin_day(today);
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
        state.news.paused = true;
        drop(state);
        self.tell_all();
    }

    /// No calls for this long, because the vendor's day is used up.
    pub fn exhaust(&self, time: Duration) {
        let until = self.clock.monotonic() + time;
        let mut state = self.state();
        state.exhausted_until = state.exhausted_until.max(until);
        state.news.exhausted = true;
        drop(state);
        self.tell_all();
    }

    fn tell_all(&self) {
        self.changed.notify_waiters();
        self.need.notify_one();
    }

    /// Learns the daily calls that the vendor grants the whole instance.
    pub fn granted(&self, daily: u64) {
        let mut state = self.state();
        if self.limits.daily_share.is_some() && state.granted != Some(daily) {
            state.granted = Some(daily);
            state.news.granted = true;
        }
    }

    /// Calls begun in the vendor's present day, by all processes as far as is known here.
    #[must_use]
    pub fn calls_today(&self) -> u64 {
        let mut state = self.state();
        self.begin_day(&mut state);
        self.of_all(&state)
    }

    fn of_all(&self, state: &State) -> u64 {
        state.calls_today + state.hold.as_ref().map_or(0, |hold| hold.others_today)
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
        self.daily(&self.state())
    }

    fn daily(&self, state: &State) -> Option<u64> {
        let of_granted = self.limits.daily_share.zip(state.granted).map(|(share, daily)| (daily as f64 * share) as u64);
        [self.limits.daily_calls, of_granted].into_iter().flatten().min()
    }

    fn most_calls(&self) -> u64 {
        self.limits.window.map_or(0, |(calls, _)| u64::from(calls.max(1)))
    }
}

impl State {
    fn begin_day(&mut self, day: Date) {
        self.day = Some(day);
        self.calls_today = 0;
        if let Some(hold) = &mut self.hold {
            hold.begin_day();
        }
    }

    fn forget_ended(&mut self, span: Duration, now: Duration) {
        while self.ended.front().is_some_and(|&end| end + span <= now) {
            self.ended.pop_front();
        }
    }

    /// Calls that count in the window.
    fn in_window(&self) -> u64 {
        (self.in_flight + self.ended.len()) as u64
    }
}

#[cfg(test)]
mod tests;
