//! A budget that several processes share.
//!
//! Owns what one process tells the others of its use, and goes by until it hears from them again: a part of the window and of the calls
//! in flight, and a number of calls of the day, for as long as a lease lasts. It settles while it calls, and when it needs more; not for
//! a single call. Who keeps the account it does not know: that is a `Pool`, handed in.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::civil::Date;
use tokio_util::sync::CancellationToken;

use super::{Budget, State, Turn, Withheld};
use crate::domain::budget::{Grant, Part, Report};

/// Whoever made no call for this long rests, and settles no more until the next one.
const LINGER: Duration = Duration::from_secs(10);
/// What was in flight at once is remembered for as long, and for as long again.
const PEAK: Duration = Duration::from_secs(1);
/// Calls at once that are asked for beyond twice what is usual, so that few wait for a settlement. Not all there are: whoever dies keeps
/// what it holds from the one that is started in its place.
const SPARE: u64 = 2;
/// Calls of a day that are asked for ahead, at the least.
const AHEAD: u64 = 64;
/// Settlements in one lease while nothing special happens, and while somebody waits for what others are to give back.
const BEATS: u32 = 10;
const HURRIED: u32 = 40;

/// The account was not reached, and what was asked may be granted or not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PoolError(pub String);

/// Keeps the account of a vendor's budget for all processes.
#[async_trait]
pub trait Pool: Send + Sync {
    /// Settles with one of them. What it reports holds for the others as soon as this has ended.
    async fn settle(&self, report: &Report) -> Result<Grant, PoolError>;
}

/// How a process shares the budget of a vendor.
#[derive(Clone)]
pub struct Sharing {
    pub pool: Arc<dyn Pool>,
    /// The name of this process, which no other has or had.
    pub replica: String,
    /// How long a part is this process's without hearing from the others.
    pub lease: Duration,
    /// Told when no more calls are made.
    pub stop: CancellationToken,
}

/// How a settlement came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Nothing is held, and nothing is to be settled before the next call.
    pub rests: bool,
    /// All that is wanted was granted.
    pub covered: bool,
    /// Others have to give something back first, or this one has.
    pub soon: bool,
}

/// How the budget is used, for whoever looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetUse {
    /// What all may use together.
    pub most: Part,
    /// What this process may use at the moment.
    pub part: Part,
    /// Calls that this process began in the vendor's present day.
    pub own_today: u64,
    /// That day, as in 2026-11-27.
    pub day: String,
    pub window: Option<Duration>,
    /// The day's calls are used up, for so long.
    pub exhausted: Option<Duration>,
    /// Until the vendor's next day.
    pub day_left: Duration,
}

/// What was granted, and what the next report is made of.
pub(super) struct Hold {
    replica: String,
    lease: Duration,
    /// The end of the lease, on the monotonic clock.
    until: Duration,
    part: Part,
    may_call: u64,
    day_is_out: bool,
    pub others_today: u64,
    unreachable: bool,
    /// The most in flight at once, in this stretch of time and the one before, and when this one began.
    peaks: [u64; 2],
    peaks_since: Duration,
    last_call: Duration,
    /// Calls since the start, at the last settlement.
    settled_calls: u64,
}

/// What the others are to be told of.
#[derive(Clone, Copy, Default)]
pub(super) struct News {
    pub exhausted: bool,
    pub paused: bool,
    pub granted: bool,
}

impl Hold {
    /// Nothing of the new day was granted yet.
    pub(super) fn begin_day(&mut self) {
        (self.may_call, self.day_is_out, self.others_today) = (0, false, 0);
    }

    /// Remembers the most in flight for a while.
    fn shift_peaks(&mut self, now: Duration, in_flight: u64) {
        if now.saturating_sub(self.peaks_since) >= PEAK {
            (self.peaks, self.peaks_since) = ([in_flight, self.peaks[0]], now);
        }
    }

    fn is_over(&self, now: Duration) -> bool {
        self.until <= now
    }
}

impl Budget {
    /// From now on nothing is begun but what a pool has granted.
    pub fn share(&self, replica: String, lease: Duration) {
        let now = self.clock.monotonic();
        self.state().hold = Some(Hold {
            replica,
            lease,
            until: Duration::ZERO,
            part: Part::default(),
            may_call: 0,
            day_is_out: false,
            others_today: 0,
            unreachable: false,
            peaks: [0; 2],
            peaks_since: now,
            last_call: now,
            settled_calls: 0,
        });
    }

    /// What may be used now; none where nobody shares.
    pub(super) fn granted_part(&self, state: &State, now: Duration) -> Result<Option<Part>, Turn> {
        let Some(hold) = &state.hold else { return Ok(None) };
        if hold.is_over(now) && hold.unreachable {
            return Err(Turn::Withheld(Withheld::Paused(hold.lease / BEATS)));
        }
        if hold.is_over(now) {
            self.need.notify_one();
            return Err(Turn::NotYet);
        }
        if self.daily(state).is_some() && state.calls_today >= hold.may_call {
            if hold.day_is_out {
                return Err(Turn::Withheld(Withheld::Quota(self.until_midnight())));
            }
            self.need.notify_one();
            return Err(Turn::NotYet);
        }
        Ok(Some(hold.part))
    }

    pub(super) fn ask_if(&self, more_is_possible: bool) {
        if more_is_possible {
            self.need.notify_one();
        }
    }

    /// A call has begun.
    pub(super) fn note_call(&self, state: &mut State, now: Duration) {
        let (in_flight, today) = (state.in_flight as u64, state.calls_today);
        let daily = self.daily(state).is_some();
        let Some(hold) = &mut state.hold else { return };
        hold.shift_peaks(now, in_flight);
        hold.peaks[0] = hold.peaks[0].max(in_flight);
        hold.last_call = now;
        // Before they are out, so that nobody waits.
        self.ask_if(daily && !hold.day_is_out && hold.may_call.saturating_sub(today) == AHEAD / 2);
    }

    /// Settles once.
    ///
    /// # Errors
    /// When the account was not reached: what was granted before holds until its lease is over.
    pub async fn settle(&self, pool: &dyn Pool, leaves: bool) -> Result<Settled, PoolError> {
        let asked = self.clock.monotonic();
        let Some((report, news)) = self.report(asked, leaves) else {
            return Ok(Settled { rests: true, covered: true, soon: false });
        };
        let answer = tokio::select! {
            biased;
            answer = pool.settle(&report) => answer,
            () = (self.wait)(report.lease) => Err(PoolError("no answer in time".to_owned())),
        };
        let settled = match answer {
            Ok(grant) => Ok(self.take(&report, &grant, asked)),
            Err(error) => {
                self.not_reached(news);
                Err(error)
            }
        };
        self.changed.notify_waiters();
        settled
    }

    /// What is used and wanted. What is not wanted any more is given up here, before anybody is told.
    fn report(&self, now: Duration, leaves: bool) -> Option<(Report, News)> {
        let mut state = self.state();
        self.begin_day(&mut state);
        let window = self.limits.window.map_or(Duration::ZERO, |(_, span)| span);
        state.forget_ended(window, now);
        let (in_flight, waiting) = (state.in_flight as u64, state.queue.len() as u64);
        let (used, calls, today) = (state.in_window(), state.calls, state.calls_today);
        let day = state.day.map_or_else(String::new, |day| day.to_string());
        let news = std::mem::take(&mut state.news);
        let (exhausted, paused) = (state.exhausted_until.saturating_sub(now), state.paused_until.saturating_sub(now));
        let (daily, granted) = (self.daily(&state), state.granted);
        let most = Part { concurrency: self.limits.concurrency.max(1) as u64, calls: self.most_calls() };
        let windowed = self.limits.window.is_some();
        let hold = state.hold.as_mut()?;
        if hold.is_over(now) {
            (hold.part, hold.may_call) = (Part::default(), today);
        }
        hold.shift_peaks(now, in_flight);
        let idle = now.saturating_sub(hold.last_call) > LINGER;
        let rests = leaves || (idle && in_flight == 0 && waiting == 0);
        let peak = hold.peaks[0].max(hold.peaks[1]);
        let starved = waiting > 0 && !hold.is_over(now) && used >= hold.part.calls;
        let wants = Part {
            concurrency: (2 * peak + SPARE).max(in_flight + waiting).min(most.concurrency),
            calls: if starved { most.calls } else { (2 * used).max(used + waiting).max(4).min(most.calls) },
        };
        let wants = if rests { Part::default() } else { wants };
        let wants = if windowed { wants } else { Part { calls: 0, ..wants } };
        let ahead = (2 * (calls - hold.settled_calls)).max(waiting).max(AHEAD);
        hold.part =
            Part { concurrency: hold.part.concurrency.min(wants.concurrency), calls: hold.part.calls.min(wants.calls) };
        hold.may_call = hold.may_call.min(today + if rests { 0 } else { ahead });
        if rests {
            hold.until = Duration::ZERO;
        }
        hold.settled_calls = calls;
        let report = Report {
            replica: hold.replica.clone(),
            most,
            daily,
            held: Part {
                concurrency: hold.part.concurrency.max(in_flight),
                calls: hold.part.calls.max(if windowed { used } else { 0 }),
            },
            wants,
            in_flight: in_flight > 0,
            day,
            calls_today: today,
            may_call: hold.may_call,
            ahead,
            rests,
            leaves,
            lease: hold.lease,
            call: self.limits.timeout,
            window,
            exhausted: news.exhausted.then_some(exhausted),
            paused: news.paused.then_some(paused),
            granted: granted.filter(|_| news.granted),
        };
        Some((report, news))
    }

    fn take(&self, report: &Report, grant: &Grant, asked: Duration) -> Settled {
        let now = self.clock.monotonic();
        let mut state = self.state();
        self.begin_day(&mut state);
        let day = grant.day.parse::<Date>().ok();
        if let Some(day) = day.filter(|day| state.day.is_none_or(|today| today < *day)) {
            state.begin_day(day);
        }
        let until = |time: Option<Duration>| time.map_or(Duration::ZERO, |time| now + time);
        state.exhausted_until = state.exhausted_until.max(until(grant.exhausted));
        state.paused_until = state.paused_until.max(until(grant.paused));
        state.granted = grant.granted.or(state.granted);
        let of_today = state.day == day && report.day == grant.day;
        if let Some(hold) = &mut state.hold {
            hold.until = if report.rests { Duration::ZERO } else { asked + hold.lease };
            hold.part = grant.part;
            hold.unreachable = false;
            if of_today {
                hold.may_call = grant.may_call;
                hold.day_is_out = grant.day_is_out;
                hold.others_today = grant.others_today;
            }
        }
        let whole = grant.part.concurrency >= report.wants.concurrency && grant.part.calls >= report.wants.calls;
        Settled { rests: report.rests, covered: whole && of_today, soon: grant.soon }
    }

    fn not_reached(&self, news: News) {
        let mut state = self.state();
        state.news.exhausted |= news.exhausted;
        state.news.paused |= news.paused;
        state.news.granted |= news.granted;
        if let Some(hold) = &mut state.hold {
            hold.unreachable = true;
        }
    }

    /// Settles whenever it is due, until told to stop; what was held is given back then.
    pub async fn keep(&self, pool: &dyn Pool, stop: &CancellationToken) {
        let Some(lease) = self.state().hold.as_ref().map(|hold| hold.lease) else { return };
        let (mut due, mut away) = (None, false);
        while !stop.is_cancelled() {
            let beat = async {
                match due {
                    Some(pause) => (self.wait)(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.need.notified() => {}
                () = beat => {}
            }
            let outcome = self.settle(pool, false).await;
            match &outcome {
                Err(error) if !away => {
                    tracing::warn!(%error, "calls to the vendors end with the lease of their budget")
                }
                _ => {}
            }
            away = outcome.is_err();
            let hurry = lease / HURRIED;
            let breath;
            (due, breath) = match outcome {
                Ok(settled) if settled.rests => (None, Duration::ZERO),
                Ok(settled) if settled.soon => (Some(Duration::ZERO), hurry),
                Ok(settled) if settled.covered => (Some(lease / BEATS), Duration::ZERO),
                // Who gets no more than is fair does not ask for it with each call.
                Ok(_) => (Some(lease / BEATS), hurry),
                Err(_) => (Some(Duration::ZERO), hurry),
            };
            if !breath.is_zero() {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = (self.wait)(breath) => {}
                }
            }
        }
        if let Err(error) = self.settle(pool, true).await {
            tracing::warn!(%error, "this process's part of the calls is free for others only when its lease is over");
        }
    }

    /// How it is used, as far as is known here.
    #[must_use]
    pub fn in_use(&self) -> BudgetUse {
        let now = self.clock.monotonic();
        let mut state = self.state();
        self.begin_day(&mut state);
        let most = Part { concurrency: self.limits.concurrency.max(1) as u64, calls: self.most_calls() };
        let part = match &state.hold {
            None => most,
            Some(hold) if hold.is_over(now) => Part::default(),
            Some(hold) => hold.part,
        };
        let exhausted = match self.withheld(&state, now) {
            Some(Withheld::Quota(time)) => Some(time),
            _ => None,
        };
        BudgetUse {
            most,
            part,
            own_today: state.calls_today,
            day: state.day.map_or_else(String::new, |day| day.to_string()),
            window: self.limits.window.map(|(_, span)| span),
            exhausted,
            day_left: self.until_midnight(),
        }
    }
}

#[cfg(test)]
mod tests;
