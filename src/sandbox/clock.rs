//! The time that both emulators live in: the machine's, plus an offset that tests and the control API move; or a time that stands still
//! between two of their moves, so that what is played twice is the same to the second.
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
    /// Where it stands, but for the offset; zero while it runs.
    stopped: Arc<AtomicI64>,
}

impl Clock {
    /// The sandbox's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the emulated vendors have a clock of their own")]
    pub fn now(&self) -> Timestamp {
        let real = Timestamp::now();
        let base = match self.stopped.load(Ordering::SeqCst) {
            0 => real.as_millisecond(),
            stopped => stopped,
        };
        let offset = self.offset.load(Ordering::SeqCst);
        Timestamp::from_millisecond(base.saturating_add(offset)).unwrap_or(real)
    }

    /// Stops the clock at a time, from which only `advance` moves it. Not at one that has passed: then it stands where it is.
    pub fn stop_at(&self, time: Timestamp) {
        let at = time.max(self.now()).as_millisecond();
        self.stopped.store(at - self.offset.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Moves the clock to a time, if it is behind.
    pub fn reach(&self, time: Timestamp) {
        let behind = time.as_millisecond() - self.now().as_millisecond();
        self.offset.fetch_add(behind.max(0), Ordering::SeqCst);
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

    #[test]
    fn a_stopped_clock_moves_when_it_is_moved() {
        let clock = Clock::default();
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        clock.advance(7200);
        clock.stop_at(time("2031-01-06T08:00:00Z"));
        assert_eq!((clock.now(), clock.now()), (time("2031-01-06T08:00:00Z"), time("2031-01-06T08:00:00Z")));
        clock.advance(30);
        clock.stop_at(time("2020-01-01T00:00:00Z"));
        assert_eq!(clock.now(), time("2031-01-06T08:00:30Z"), "it went back");
        clock.reach(time("2031-01-06T08:00:10Z"));
        clock.reach(time("2031-01-06T09:00:00Z"));
        assert_eq!(clock.now(), time("2031-01-06T09:00:00Z"));
    }
}
