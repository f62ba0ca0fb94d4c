//! The named points of a pass at which it may be interrupted.
//!
//! Tests stop a pass there, or kill the process, to show that nothing is lost or doubled whichever it is. In a release
//! nothing is installed and a point costs a comparison.

use std::fmt;
use std::sync::Arc;

/// Where a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Rows are claimed, nothing was read.
    Claimed,
    /// Both sides were read.
    Read,
    /// Commands are decided, nothing is written.
    Decided,
    /// Intents of creating people are committed.
    Intended,
    /// A vendor has created people, links are not stored.
    Created,
    /// A vendor has answered a write.
    Written,
    /// All is written, nothing is recorded.
    Unrecorded,
    /// All is recorded.
    Recorded,
    /// Deliveries are found to be due, nothing is sent.
    Delivering,
    /// A receiver has answered, nothing is recorded.
    Answered,
    /// What was answered is recorded.
    Noted,
    /// A page of a log was read, neither it nor its place is stored. Of a poll, not of a pass.
    Polled,
}

impl Point {
    /// Every point of a pass, in order.
    pub const ALL: [Self; 8] = [
        Self::Claimed,
        Self::Read,
        Self::Decided,
        Self::Intended,
        Self::Created,
        Self::Written,
        Self::Unrecorded,
        Self::Recorded,
    ];

    /// Those of deliveries, which pass by themselves.
    pub const OF_DELIVERIES: [Self; 3] = [Self::Delivering, Self::Answered, Self::Noted];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Read => "read",
            Self::Decided => "decided",
            Self::Intended => "intended",
            Self::Created => "created",
            Self::Written => "written",
            Self::Unrecorded => "unrecorded",
            Self::Recorded => "recorded",
            Self::Delivering => "delivering",
            Self::Answered => "answered",
            Self::Noted => "noted",
            Self::Polled => "polled",
        }
    }
}

/// The pass was interrupted, as by a crash: nothing may be done after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted at {}", .0.as_str())]
pub struct Interrupted(pub Point);

/// Who is asked at each point whether to go on.
#[derive(Clone, Default)]
pub struct Points(Option<Arc<dyn Fn(Point) -> bool + Send + Sync>>);

impl Points {
    /// `stop` answers true where the pass shall end.
    #[must_use]
    pub fn new(stop: impl Fn(Point) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(stop)))
    }

    /// Goes on, or ends the pass.
    ///
    /// # Errors
    /// `Interrupted`, when so asked.
    pub fn reach(&self, point: Point) -> Result<(), Interrupted> {
        match &self.0 {
            Some(stop) if stop(point) => Err(Interrupted(point)),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Points").field(&self.0.is_some()).finish()
    }
}
