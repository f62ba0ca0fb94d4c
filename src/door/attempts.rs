//! Who keeps trying keys, tokens and signatures that are not ours.
//!
//! Owns the count of failures by address. An address that fails too often is refused without being looked at, so that guessing is
//! slow however fast the guesses come. An address from which something good came of late is looked at still: vendors and proxies
//! share theirs with others, and nobody is to lock them out by failing from there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::pace::next;
use super::proxies::Client;

/// As many failures as a minute allows may come at once.
const BURST: Duration = Duration::from_secs(60);
/// For how long an address is known to be used by somebody who has a right to.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// Addresses that are remembered; who has more of them forgets us, not we them, since each is worth a few guesses.
const MOST: usize = 20_000;

/// Failures by address.
#[derive(Debug)]
pub struct Attempts {
    /// Between two; zero for no limit.
    interval: Duration,
    known: Mutex<HashMap<Client, Known>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    paid_until: Duration,
    good_until: Duration,
}

impl Attempts {
    /// `per_minute` failures of one address; 0 for no limit.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self { interval: BURST.checked_div(per_minute).unwrap_or_default(), known: Mutex::default() }
    }

    /// Whether this address may try something at `now`, a monotonic time.
    ///
    /// # Errors
    /// With how long it has to wait.
    pub fn admit(&self, client: Client, now: Duration) -> Result<(), Duration> {
        let known = self.of(client);
        if known.good_until > now {
            return Ok(());
        }
        next(known.paid_until, now, self.interval, BURST).map(drop)
    }

    /// Counts a failure; whether what the address may fail is used up with it. True once, and then now and then: it is to be logged.
    pub fn failed(&self, client: Client, now: Duration) -> bool {
        if self.interval.is_zero() {
            return false;
        }
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut all, now);
        let known = all.entry(client).or_default();
        let Ok(paid_until) = next(known.paid_until, now, self.interval, BURST) else { return false };
        known.paid_until = paid_until;
        next(paid_until, now, self.interval, BURST).is_err()
    }

    /// Notes that somebody with a right to it came from there.
    pub fn succeeded(&self, client: Client, now: Duration) {
        if self.interval.is_zero() {
            return;
        }
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut all, now);
        all.entry(client).or_default().good_until = now + GOOD_FOR;
    }

    fn of(&self, client: Client) -> Known {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&client).copied().unwrap_or_default()
    }
}

/// Forgets those who have nothing to wait for, and when that is not enough, all that were never good.
fn make_room(all: &mut HashMap<Client, Known>, now: Duration) {
    if all.len() < MOST {
        return;
    }
    all.retain(|_, known| known.paid_until > now || known.good_until > now);
    if all.len() >= MOST {
        all.retain(|_, known| known.good_until > now);
    }
    if all.len() >= MOST {
        all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::new(text.parse().unwrap())
    }

    #[test]
    fn an_address_that_fails_too_often_waits_and_others_do_not() {
        let attempts = Attempts::new(6);
        let (one, other, now) = (client("203.0.113.7"), client("203.0.113.8"), Duration::from_secs(1000));
        let told: Vec<bool> = (0..6).map(|_| attempts.failed(one, now)).collect();
        assert_eq!(told, [false, false, false, false, false, true]);
        assert_eq!(attempts.admit(one, now), Err(Duration::from_secs(10)));
        assert_eq!(attempts.admit(other, now), Ok(()));
        // Failing while it waits does not make it wait longer: a client that does not listen is let in again one day.
        assert!(!attempts.failed(one, now));
        assert_eq!(attempts.admit(one, now + Duration::from_secs(10)), Ok(()));
        assert_eq!(attempts.admit(client("2001:db8::1"), now), Ok(()));
        for _ in 0..6 {
            attempts.failed(client("2001:db8::1"), now);
        }
        assert!(attempts.admit(client("2001:db8::ffff:1"), now).is_err(), "another address of the same network");
    }

    #[test]
    fn who_shares_an_address_with_somebody_good_locks_nobody_out() {
        let attempts = Attempts::new(6);
        let (shared, now) = (client("203.0.113.7"), Duration::from_secs(1000));
        attempts.succeeded(shared, now);
        for _ in 0..50 {
            attempts.failed(shared, now);
        }
        assert_eq!(attempts.admit(shared, now), Ok(()));
        let later = now + GOOD_FOR;
        for _ in 0..50 {
            attempts.failed(shared, later);
        }
        assert!(attempts.admit(shared, later).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_no_limit_is_none() {
        let attempts = Attempts::new(6);
        let now = Duration::from_secs(1000);
        let good = client("203.0.113.7");
        attempts.succeeded(good, now);
        for n in 0..u32::try_from(MOST).unwrap() * 2 {
            attempts.failed(Client::new(std::net::Ipv4Addr::from_bits(n).into()), now);
        }
        let known = attempts.known.lock().unwrap();
        assert!(known.len() <= MOST && known.contains_key(&good));
        drop(known);
        let unlimited = Attempts::new(0);
        assert!((0..50).all(|_| !unlimited.failed(good, now)) && unlimited.admit(good, now).is_ok());
    }
}
