//! Stops calling a vendor that is down.
//!
//! Owns the count of failures in a row and the time of the next probe. Must not know what a failure is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::clock::Clock;

/// Failures in a row that open the circuit.
const FAILURES: u32 = 5;
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(1);

/// Whether calls go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls go through.
    Closed,
    /// Calls are answered here.
    Open,
    /// The next call, or the one under way, decides.
    HalfOpen,
}

/// The circuit of one vendor.
pub struct Circuit {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// How long and until when it is open.
    open: Option<(Duration, Duration)>,
    probing: bool,
}

/// Leave to make one call. Dropped without a word it counts neither way, as when the caller went away.
pub struct Pass<'a> {
    circuit: &'a Circuit,
    probe: bool,
}

impl Circuit {
    /// A closed circuit.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call may be made now.
    ///
    /// # Errors
    /// The time after which to ask again.
    pub fn enter(&self) -> Result<Pass<'_>, Duration> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        match state.open {
            None => Ok(Pass { circuit: self, probe: false }),
            Some((_, until)) if now < until => Err(until - now),
            Some(_) if state.probing => Err(Duration::from_secs(1)),
            Some(_) => {
                state.probing = true;
                Ok(Pass { circuit: self, probe: true })
            }
        }
    }

    /// As seen from outside.
    #[must_use]
    pub fn shown(&self) -> CircuitState {
        match self.state().open {
            None => CircuitState::Closed,
            Some((_, until)) if self.clock.monotonic() < until => CircuitState::Open,
            Some(_) => CircuitState::HalfOpen,
        }
    }
}

impl Pass<'_> {
    /// Says how the call went.
    pub fn finish(self, answered: bool) {
        let now = self.circuit.clock.monotonic();
        let mut state = self.circuit.state();
        if answered {
            (state.failures, state.open) = (0, None);
        } else {
            state.failures = state.failures.saturating_add(1);
            match state.open {
                Some((length, _)) if self.probe => {
                    let length = (length * 2).min(LONGEST);
                    state.open = Some((length, now + length));
                }
                None if state.failures >= FAILURES => state.open = Some((SHORTEST, now + SHORTEST)),
                // A call that began before it opened tells nothing new.
                _ => {}
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.circuit.state().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_five_doubles_to_a_minute_and_closes_on_one_answer() {
        let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
        let circuit = Circuit::new(clock.clone());
        for _ in 0..5 {
            assert_eq!(circuit.shown(), CircuitState::Closed);
            circuit.enter().ok().unwrap().finish(false);
        }
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_eq!(circuit.enter().err(), Some(Duration::from_secs(seconds)));
            clock.advance(Duration::from_secs(seconds));
            assert_eq!(circuit.shown(), CircuitState::HalfOpen);
            let probe = circuit.enter().ok().unwrap();
            assert!(circuit.enter().is_err(), "one probe at a time");
            probe.finish(false);
        }
        clock.advance(Duration::from_mins(1));
        drop(circuit.enter().ok().unwrap());
        assert_eq!(circuit.shown(), CircuitState::HalfOpen, "a probe that went away lets the next one in");
        circuit.enter().ok().unwrap().finish(true);
        assert_eq!(circuit.shown(), CircuitState::Closed);
    }

    #[test]
    fn an_answer_in_between_starts_the_count_again() {
        let circuit = Circuit::new(Clock::manual(jiff::Timestamp::UNIX_EPOCH));
        for n in 0..20 {
            circuit.enter().ok().unwrap().finish(n % 4 == 0);
        }
        assert_eq!(circuit.shown(), CircuitState::Closed);
    }
}
