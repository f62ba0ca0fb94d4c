//! How many rows were looked at: what calls cost, as a number that is the same on every machine.
//!
//! Owns the count. Not part of a subscription: it is neither saved nor compared.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that many may look at and one copy does not share with another.
#[derive(Debug, Default)]
pub struct Visited(AtomicU64);

impl Clone for Visited {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Visited {
    /// So many rows more.
    pub fn add(&self, rows: usize) {
        self.0.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Rows so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
