//! What "in sync" means, as pure functions over plain data.
//!
//! Owns the decisions: the merge, status translation, who is who, trigger events and who wants them, retry times, the error catalogue. Must not know any
//! database, vendor wire format, HTTP or async; time comes in as an argument.

pub mod address;
pub mod budget;
pub mod catalogue;
pub mod clock;
pub mod closed_list;
pub mod delivery;
pub mod flow_action;
pub mod hint;
pub mod ids;
pub mod letters;
pub mod mapping;
pub mod matching;
pub mod merge;
pub mod notice;
pub mod one_way;
pub mod own_writes;
pub mod person;
pub mod provenance;
pub mod provision;
pub mod redaction;
pub mod rendered;
pub mod retry;
pub mod status;
pub mod subscription;
pub mod trigger;
pub mod warning;
