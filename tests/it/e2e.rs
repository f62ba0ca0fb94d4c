//! The service as it is run, against both vendors as they answer over HTTP.
//!
//! Each case acts as people do on either side and compares what both sides hold in the end, and what receivers of trigger
//! events are told. `world` sets up and compares; the other files are the cases. No case knows which database it got.

mod accounts;
mod bad_input;
mod board;
mod check;
mod comparison;
mod deliver;
mod deliver_bad;
mod documents;
mod erase;
mod filter;
mod first_sync;
mod flow_actions;
mod grafana;
mod hanging;
mod identity;
mod init;
mod keys;
mod kill;
mod kill_deliver;
mod lifecycle;
mod limits;
mod live;
mod lost_creation;
mod mapping_life;
mod matching;
mod merge_people;
mod merge_rows;
mod new_campaign;
mod one_way_fields;
mod outages;
mod overtaken;
mod plan;
mod poison;
mod poisoned_vendors;
mod police;
mod polling;
mod replicas;
mod resolve;
mod rows;
mod running;
mod scans;
mod second_records;
mod silent;
mod statuses_later;
mod storm;
mod stream;
mod subscriber;
mod switch;
#[cfg(feature = "otlp")]
mod traces;
mod unattended;
mod undo;
mod unreadable;
mod upgrades;
mod vendors;
mod webhooks;
mod weeks;
mod world;
