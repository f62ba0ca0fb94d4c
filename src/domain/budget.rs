//! How one vendor's budget is divided among the processes that share it.
//!
//! A process may use what it was granted until its lease is over, and no more: what the grants of all add up to is never above the
//! limit, whoever dies or is cut off in between. What is given back is free for others when it is in use no longer, and what a dead
//! process held when nothing of it can be in use. Pure: who keeps the account, and when, is others' business.

use std::time::Duration;

/// Who gets less than others is another one after this long, where there is less than one for each; milliseconds.
const TURN: i64 = 5_000;

/// Calls in flight, and calls in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// In flight at once.
    pub concurrency: u64,
    /// In any window.
    pub calls: u64,
}

/// What a process has, has used and wants.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of the process, which no other has or had.
    pub replica: String,
    /// What all may use together.
    pub most: Part,
    /// Calls in a day; none for no limit.
    pub daily: Option<u64>,
    /// The most that it can use from now on without being told more, or uses still.
    pub held: Part,
    /// What it could use.
    pub wants: Part,
    /// Some of its calls are under way.
    pub in_flight: bool,
    /// The vendor's day by its clock, as in 2026-11-27.
    pub day: String,
    /// Calls that it has begun in this day.
    pub calls_today: u64,
    /// The most that it can have begun without being told more.
    pub may_call: u64,
    /// Calls of the day that it wants ahead.
    pub ahead: u64,
    /// It begins no more calls until it has settled again.
    pub rests: bool,
    /// It begins no calls ever again.
    pub leaves: bool,
    /// How long it may use what it is granted.
    pub lease: Duration,
    /// The longest that a call takes.
    pub call: Duration,
    /// The window; zero for none.
    pub window: Duration,
    /// News from the vendor: the day is used up for so long.
    pub exhausted: Option<Duration>,
    /// News from the vendor: it was asked too fast.
    pub paused: Option<Duration>,
    /// News from the vendor: what it grants all in a day.
    pub granted: Option<u64>,
}

/// What a process may use until its lease is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    pub part: Part,
    /// The vendor's day. One later than that of the report is told to a process whose clock is behind.
    pub day: String,
    /// Calls that it may have begun in this day.
    pub may_call: u64,
    /// Nobody has calls of this day to give.
    pub day_is_out: bool,
    /// Calls of this day by all others.
    pub others_today: u64,
    /// Processes that call, this one included.
    pub replicas: u64,
    pub exhausted: Option<Duration>,
    pub paused: Option<Duration>,
    pub granted: Option<u64>,
    /// More, or less, is to be had soon: others have to give it back, or this one has.
    pub soon: bool,
}

/// What all processes together have had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub day: String,
    /// Calls of the day by processes that are no more.
    pub calls: u64,
    pub granted: Option<u64>,
    /// Epoch milliseconds, as all times here.
    pub exhausted_until: Option<i64>,
    pub paused_until: Option<i64>,
}

/// What one process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub replica: String,
    pub part: Part,
    pub wants: Part,
    pub day: String,
    pub calls_today: u64,
    pub may_call: u64,
    /// No call is begun after that.
    pub lease_until: i64,
    /// None is in flight.
    pub slots_until: i64,
    /// None counts in a window.
    pub window_until: i64,
    pub rests: bool,
}

impl Account {
    /// Settles with one process; the holdings that are over are taken out, its own is among them afterwards.
    pub fn settle(&mut self, holdings: &mut Vec<Holding>, report: &Report, now: i64) -> Grant {
        if report.day > self.day {
            self.day.clone_from(&report.day);
            self.calls = 0;
        }
        self.hear(report, now);
        self.bury(holdings, &report.replica, now);
        holdings.retain(|holding| holding.replica != report.replica);
        let grant = self.divide(holdings, report, now);
        if !report.leaves || report.held != Part::default() || report.calls_today > 0 {
            holdings.push(self.holding(report, &grant, now));
        }
        grant
    }

    /// What a vendor said to one holds for all.
    fn hear(&mut self, report: &Report, now: i64) {
        let later = |known: Option<i64>, news: Option<Duration>| {
            let known = known.filter(|until| *until > now);
            known.max(news.map(|time| now.saturating_add(millis(time))))
        };
        self.exhausted_until = later(self.exhausted_until, report.exhausted);
        self.paused_until = later(self.paused_until, report.paused);
        self.granted = report.granted.or(self.granted);
    }

    /// Takes out what is over. One that rests is kept for the day, since it goes on counting where it was; what a dead one could have
    /// called counts as called.
    fn bury(&mut self, holdings: &mut Vec<Holding>, but: &str, now: i64) {
        holdings.retain(|holding| {
            let of_today = holding.day == self.day;
            let over = holding.window_until <= now && !(holding.rests && of_today);
            if over && of_today && holding.replica != but {
                self.calls += holding.may_call;
            }
            !over
        });
    }

    fn divide(&self, others: &[Holding], report: &Report, now: i64) -> Grant {
        let living = || others.iter().filter(|other| other.lease_until > now);
        let replicas = 1 + living().count() as u64;
        let divided = |most: u64, held: u64, want: u64, of: fn(&Part) -> u64, until: fn(&Holding) -> i64| {
            let reserved = others.iter().filter(|other| until(other) > now);
            let (of_living, of_dead) = reserved.partition::<Vec<_>, _>(|other| other.lease_until > now);
            let sum = |holdings: Vec<&Holding>| holdings.iter().map(|other| of(&other.part)).sum::<u64>();
            let (of_living, of_dead) = (sum(of_living), sum(of_dead));
            let wants = living().map(|other| (other.replica.as_str(), of(&other.wants)));
            let wants = wants.chain([(report.replica.as_str(), want)]).collect();
            let share = fair(most.saturating_sub(of_dead), wants, &report.replica, now / TURN);
            let free = most.saturating_sub(of_dead + of_living);
            let granted = if share > held { share.min(free.max(held)) } else { share };
            (granted, granted < share || held > share)
        };
        let (most, held, wants) = (report.most, report.held, report.wants);
        let (concurrency, one) =
            divided(most.concurrency, held.concurrency, wants.concurrency, |p| p.concurrency, |h| h.slots_until);
        let (calls, other) = divided(most.calls, held.calls, wants.calls, |p| p.calls, |h| h.window_until);
        let of_today = || others.iter().filter(|other| other.day == self.day);
        let others_today = self.calls + of_today().map(|other| other.calls_today).sum::<u64>();
        let left = |until: Option<i64>| {
            let left = until.filter(|until| *until > now).map(|until| until - now);
            left.map(|left| Duration::from_millis(left.unsigned_abs()))
        };
        let mut grant = Grant {
            part: Part { concurrency, calls },
            day: self.day.clone(),
            others_today,
            replicas,
            exhausted: left(self.exhausted_until),
            paused: left(self.paused_until),
            granted: self.granted,
            soon: one || other,
            ..Grant::default()
        };
        if report.day != self.day {
            // Its clock is behind: it counts anew, and settles again.
            grant.soon = true;
            return grant;
        }
        let reserved = self.calls + of_today().map(|other| other.may_call).sum::<u64>();
        let free = report.daily.map_or(u64::MAX, |most| most.saturating_sub(reserved + report.calls_today));
        // Near the end of the day in small pieces, so that nobody has calls that others want.
        let piece = if replicas == 1 { free } else { (free / (2 * replicas)).max(1) };
        let ahead = if report.rests || report.leaves { 0 } else { report.ahead.min(piece).min(free) };
        grant.may_call = report.may_call.max(report.calls_today + ahead);
        grant.day_is_out = free == 0 && grant.may_call <= report.calls_today;
        grant
    }

    fn holding(&self, report: &Report, grant: &Grant, now: i64) -> Holding {
        let rests = report.rests || report.leaves;
        let lease_until = if rests { now } else { now.saturating_add(millis(report.lease)) };
        let slots_until = lease_until.saturating_add(if rests && !report.in_flight { 0 } else { millis(report.call) });
        let most = |held: u64, granted: u64| held.max(granted);
        let of_today = report.day == self.day;
        Holding {
            replica: report.replica.clone(),
            // It goes by the grant only once it has it: until then it may use what it held.
            part: Part {
                concurrency: most(report.held.concurrency, grant.part.concurrency),
                calls: most(report.held.calls, grant.part.calls),
            },
            wants: report.wants,
            day: self.day.clone(),
            calls_today: if of_today { report.calls_today } else { 0 },
            may_call: if of_today { grant.may_call } else { 0 },
            lease_until,
            slots_until,
            window_until: slots_until.saturating_add(millis(report.window)),
            rests: report.rests && !report.leaves,
        }
    }

    /// Calls of the day by all.
    #[must_use]
    pub fn calls_today(&self, holdings: &[Holding]) -> u64 {
        self.calls + holdings.iter().filter(|one| one.day == self.day).map(|one| one.calls_today).sum::<u64>()
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What is fair for one: whoever wants little gets it, the others the same. Where there is less than one for each, they take turns.
fn fair(most: u64, mut wants: Vec<(&str, u64)>, me: &str, turn: i64) -> u64 {
    wants.retain(|(_, want)| *want > 0);
    wants.sort_unstable();
    if !wants.is_empty() && most < wants.len() as u64 {
        let count = wants.len();
        wants.rotate_left(usize::try_from(turn.rem_euclid(i64::try_from(count).unwrap_or(1))).unwrap_or(0));
    }
    wants.sort_by_key(|(_, want)| *want);
    let (mut left, mut count) = (most, wants.len() as u64);
    for (replica, want) in wants {
        let share = want.min(left / count);
        if replica == me {
            return share;
        }
        left -= share;
        count -= 1;
    }
    0
}

#[cfg(test)]
mod tests;
