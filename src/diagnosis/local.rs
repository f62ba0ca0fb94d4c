//! The lines that no vendor has to be asked for: the switch, when webhooks were last seen, and the clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Diagnosis, Item, marketo, salesforce};
use crate::store::silence::SILENCE;

const CLOCK_SKEW: &str = "clock_skew";
/// From here on "created since" and "newer than" of the two clocks begin to disagree.
const SKEW_TO_LOOK_AT: Duration = Duration::from_secs(5);
/// From here on assertions and signatures, which last minutes, come near their end.
const SKEW_TO_MEND: Duration = Duration::from_secs(60);

pub(super) fn sync_enabled(enabled: bool) -> Item {
    if enabled {
        return Item::ok("sync_enabled", "campaign sync is on");
    }
    let found = "campaign sync is off: webhooks are stored, and nothing is read or written at the vendors";
    Item::fail("sync_enabled", found, "switch it on: PUT /api/v1/settings/campaign-sync with {\"enabled\":true}")
}

pub(super) fn marketo_webhooks(diagnosis: &Diagnosis, heard: &BTreeMap<String, i64>) -> Item {
    let address = diagnosis.configured.address("/webhooks/marketo");
    let remedy = format!(
        "in Marketo: Admin > Webhooks: POST to {address} with the header Authorization: Bearer <one of webhooks.marketo_tokens>; call it in an active trigger campaign of the program, on Program Status is Changed (Marketo switches idle ones off)"
    );
    let missing = "webhooks.marketo_tokens is empty: every webhook of Marketo is answered 401";
    let setting =
        "set webhooks.marketo_tokens to a long random text, and put the same into the header of the webhook in Marketo";
    webhooks(diagnosis, "marketo", heard, (diagnosis.configured.marketo_token, missing, setting), remedy)
}

pub(super) fn salesforce_webhooks(diagnosis: &Diagnosis, heard: &BTreeMap<String, i64>) -> Item {
    let json = diagnosis.configured.address("/webhooks/salesforce");
    let remedy = format!(
        "in Salesforce: post signed JSON to {json} from a trigger on CampaignMember (Setup > Apex Jobs shows failed callouts), or send outbound messages to {json}/outbound-message/<one of webhooks.salesforce_path_tokens> (Setup > Outbound Messages shows those that wait)"
    );
    let missing = "webhooks.salesforce_secrets and webhooks.salesforce_path_tokens are empty: every webhook of Salesforce is answered 401";
    let setting = "set webhooks.salesforce_secrets (signed JSON) or webhooks.salesforce_path_tokens (outbound messages), and the same in Salesforce";
    webhooks(diagnosis, "salesforce", heard, (diagnosis.configured.salesforce_secret, missing, setting), remedy)
}

fn webhooks(
    diagnosis: &Diagnosis,
    source: &str,
    heard: &BTreeMap<String, i64>,
    (admitted, missing, setting): (bool, &str, &str),
    remedy: String,
) -> Item {
    let id = format!("{source}_webhooks");
    if !admitted {
        return Item::fail(&id, missing, setting);
    }
    let age = heard.get(source).map(|at| Duration::from_millis(u64::try_from(diagnosis.store.now() - at).unwrap_or(0)));
    last_seen(&id, age, remedy)
}

fn last_seen(id: &str, age: Option<Duration>, remedy: String) -> Item {
    match age {
        None => Item::warn(
            id,
            "none was received yet: changes are found by polling and comparing only, minutes late",
            remedy,
        ),
        Some(age) if age > SILENCE => {
            Item::warn(id, format!("the last one came {} ago: changes are found by polling", spoken(age)), remedy)
        }
        Some(age) => Item::ok(id, format!("the last one came {} ago", spoken(age))),
    }
}

pub(super) fn clock_skew(diagnosis: &Diagnosis) -> Item {
    let clocks =
        [("Marketo", diagnosis.marketo.usage().clock_ahead), ("Salesforce", diagnosis.salesforce.usage().clock_ahead)];
    let known: Vec<(&str, i64)> = clocks.into_iter().filter_map(|(name, ahead)| Some((name, ahead?))).collect();
    let Some(worst) = known.iter().map(|(_, ahead)| Duration::from_millis(ahead.unsigned_abs())).max() else {
        return Item::after(CLOCK_SKEW, &format!("{} and {}", marketo::CREDENTIALS, salesforce::CREDENTIALS));
    };
    let told = known.iter().map(|(name, ahead)| match ahead {
        0 => format!("{name}'s clock agrees with ours"),
        1.. => format!("{name}'s clock is {} ahead of ours", spoken(Duration::from_millis(ahead.unsigned_abs()))),
        _ => format!("{name}'s clock is {} behind ours", spoken(Duration::from_millis(ahead.unsigned_abs()))),
    });
    let found = told.collect::<Vec<_>>().join(", ");
    let remedy = "set the clock of this machine from the network (timedatectl set-ntp true); signatures and logins are refused when it is off by minutes";
    let limit = SKEW_TO_MEND.min(diagnosis.configured.tolerance);
    if worst >= limit {
        Item::fail(CLOCK_SKEW, found, remedy)
    } else if worst >= SKEW_TO_LOOK_AT.min(limit) {
        Item::warn(CLOCK_SKEW, found, remedy)
    } else {
        Item::ok(CLOCK_SKEW, found)
    }
}

/// A span as one says it.
fn spoken(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::CheckState;

    #[test]
    fn a_day_of_silence_is_worth_a_look() {
        let hours = |n: u64| Some(Duration::from_secs(n * 3600));
        for (age, state, found) in [
            (
                None,
                CheckState::Warn,
                "none was received yet: changes are found by polling and comparing only, minutes late",
            ),
            (hours(0), CheckState::Ok, "the last one came 0 s ago"),
            (hours(24), CheckState::Ok, "the last one came 24 h ago"),
            (hours(73), CheckState::Warn, "the last one came 3 days ago: changes are found by polling"),
        ] {
            let item = last_seen("marketo_webhooks", age, "look".to_owned());
            assert_eq!((item.state, item.found.as_str()), (state, found));
            assert_eq!(item.remedy.is_some(), state == CheckState::Warn);
        }
    }
}
