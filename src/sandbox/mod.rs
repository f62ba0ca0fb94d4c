//! The vendors emulated, for the demo, for development without accounts and for the tests.
//!
//! Must not use anything of the rest of the crate: were it to share wire types with the connectors, a misread field would
//! be misread on both ends and every test would be green.

pub mod salesforce;
