//! The time that both emulators live in: the machine's, plus an offset that tests and the control API move.
//!
//! Owns the offset and nothing else. It only moves forward, since both vendors' logs are ordered by time. Must not know who
//! asks: an emulator is given a closure.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// Real time plus an offset in milliseconds; clones share the offset.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// The sandbox's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the emulated vendors have a clock of their own")]
    pub fn now(&self) -> Timestamp {
        let real = Timestamp::now();
        let offset = self.offset.load(Ordering::SeqCst);
        Timestamp::from_millisecond(real.as_millisecond().saturating_add(offset)).unwrap_or(real)
    }

    /// Moves the clock forward; a negative number of seconds is ignored.
    pub fn advance(&self, seconds: i64) {
        self.offset.fetch_add(seconds.max(0).saturating_mul(1000), Ordering::SeqCst);
    }

    /// How far the clock is ahead of real time, in seconds.
    #[must_use]
    pub fn offset_seconds(&self) -> i64 {
        self.offset.load(Ordering::SeqCst) / 1000
    }

    /// The closure that an emulator asks for the time.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_moves_every_reader_and_never_back() {
        let clock = Clock::default();
        let read = clock.reader();
        let before = read();
        clock.advance(3600);
        clock.advance(-7200);
        assert!(read().as_second() - before.as_second() >= 3600);
        assert_eq!(clock.offset_seconds(), 3600);
    }
}
