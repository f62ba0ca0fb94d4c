//! What both vendors would have made us pay for is nothing, at the end of every case.
//!
//! Owns the look when a world ends and what a case may be excused for. The emulators count, and know why.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use campaign_sync::sandbox::Emulators;

/// What a case does on purpose, or what its vendors bring about: by the name of the counter.
#[derive(Default)]
pub struct Excused(Mutex<Vec<&'static str>>);

impl Excused {
    pub fn add(&self, counters: &[&'static str]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(counters);
    }

    /// Fails when something was counted that is not excused. Not while a case fails already.
    pub fn look(&self, emulators: &Emulators) {
        if std::thread::panicking() {
            return;
        }
        let excused = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = misuse(emulators);
        found.retain(|name, _| !excused.iter().any(|excused| name.ends_with(excused)));
        assert!(found.is_empty(), "a vendor would make us pay for this: {found:?}");
    }
}

/// Everything that was counted, with the vendor before its name.
pub fn misuse(emulators: &Emulators) -> BTreeMap<String, u64> {
    let of_marketo = emulators.marketo.with(|world| world.police.misuse());
    let of_salesforce = emulators.salesforce.with(|org| serde_json::to_value(org.counters.misuse).unwrap());
    let of_salesforce: BTreeMap<String, u64> = serde_json::from_value(of_salesforce).unwrap();
    let marketo = of_marketo.into_iter().map(|(name, count)| (format!("marketo.{name}"), count));
    let salesforce = of_salesforce.into_iter().map(|(name, count)| (format!("salesforce.{name}"), count));
    marketo.chain(salesforce).filter(|(_, count)| *count > 0).collect()
}
