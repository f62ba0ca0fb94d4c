//! Who is at the door, and how often they may knock: addresses behind proxies, certificates, limits by key and by address.
//!
//! Owns the address that a request is counted under, and the counting. Pure: the time is handed in, and nothing waits. Must not
//! know what is behind the door, nor what carries a request.

mod attempts;
mod certificate;
mod pace;
mod proxies;

pub use attempts::Attempts;
pub use certificate::{Fingerprint, fingerprint, presented};
pub use pace::{Pace, Paces};
pub use proxies::{Client, Proxies};
