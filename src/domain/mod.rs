//! What "in sync" means, as pure functions over plain data.
//!
//! Owns the decisions: the merge, status translation, who is who, trigger events, retry times. Must not know any
//! database, vendor wire format, HTTP or async; time comes in as an argument.

pub mod clock;
pub mod hint;
pub mod ids;
