//! What Marketo is asked, and the lines that rest on it alone: credentials, quota, native sync.
//!
//! Must not know Salesforce.

use std::collections::BTreeMap;

use crate::connector::marketo::Permission;
use crate::connector::{Channel, Program, Vendor};
use crate::domain::ids::ProgramId;
use crate::domain::mapping::Direction;
use crate::store::mappings::Mapping;

use super::questions::{Answer, Gap, Lines, Questions, Stopped};
use super::{Configured, Diagnosis, Item, unique};

pub(super) const CREDENTIALS: &str = "marketo_credentials";
const QUOTA: &str = "marketo_quota";
const NATIVE_SYNC: &str = "native_sync";
/// Part of the day's calls from which on somebody should look, in percent.
const NEARLY_USED: u64 = 80;

/// What Marketo answered.
pub(super) struct Facts {
    stopped: Option<Stopped>,
    used: Answer<u64>,
    /// Permissions that the role lacks.
    lacking: Answer<Vec<Permission>>,
    pub programs: Answer<BTreeMap<ProgramId, Program>>,
    pub channels: Answer<BTreeMap<String, Channel>>,
}

/// Asks everything that the lines rest on.
pub(super) async fn ask(diagnosis: &Diagnosis, mappings: &[Mapping]) -> Facts {
    let marketo = &diagnosis.marketo;
    let lines = Lines { vendor: Vendor::Marketo, credentials: CREDENTIALS, quota: QUOTA };
    let mut questions = Questions::new(lines, diagnosis.store.clock());
    if !diagnosis.configured.marketo {
        let remedy = "set marketo.base_url (Admin > Web Services > REST API > Endpoint, without /rest), marketo.client_id and marketo.client_secret";
        questions.stop(CREDENTIALS, Item::fail(CREDENTIALS, "Marketo is not configured", remedy));
    }
    // The token alone says nothing of the instance, so that no answer of its own is kept.
    let _ = questions.ask(marketo.sign_in_anew()).await;
    let used = questions.ask(marketo.used_today()).await;
    let mut lacking = Ok(Vec::new());
    for permission in Permission::ALL {
        match (questions.ask(marketo.permits(permission)).await, &mut lacking) {
            (Ok(false), Ok(lacking)) => lacking.push(permission),
            (Err(gap), _) => lacking = Err(gap),
            _ => {}
        }
    }
    let ids = unique(mappings, |mapping| mapping.program_id);
    let (programs, channels) = match (&lacking, ids.is_empty()) {
        (Ok(lacking), _) if lacking.contains(&Permission::Assets) => {
            (Err(Gap::After(CREDENTIALS)), Err(Gap::After(CREDENTIALS)))
        }
        (_, true) => (Ok(Vec::new()), Ok(Vec::new())),
        _ => (questions.ask(marketo.programs(&ids)).await, questions.ask(marketo.channels()).await),
    };
    Facts {
        stopped: questions.end(),
        used,
        lacking,
        programs: programs.map(|found| found.into_iter().map(|program| (program.id, program)).collect()),
        channels: channels.map(|found| found.into_iter().map(|channel| (channel.name.clone(), channel)).collect()),
    }
}

pub(super) fn credentials(facts: &Facts) -> Item {
    if let Some(item) = Stopped::of(facts.stopped.as_ref(), CREDENTIALS) {
        return item;
    }
    let lacking = match &facts.lacking {
        Ok(lacking) => lacking,
        // Signed in all the same: what is missing is missing for another reason.
        Err(Gap::After(_)) => return Item::ok(CREDENTIALS, "signed in"),
        Err(Gap::Refused { code, message }) => {
            let remedy = "see what Marketo says; Admin > Users & Roles has the role of the API user";
            return Item::fail(CREDENTIALS, format!("signed in, and refused with {code}: {message}"), remedy);
        }
    };
    if lacking.is_empty() {
        let all: Vec<_> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
        return Item::ok(CREDENTIALS, format!("signed in; the role permits {}", all.join(", ")));
    }
    let names: Vec<_> = lacking.iter().map(|permission| permission.as_str()).collect();
    let names = names.join(", ");
    let found = format!("signed in, and access is denied where the role needs {names}");
    let remedy = format!(
        "in Marketo: Admin > Users & Roles > Roles > the API user's role: tick {names} under Access API; if they are ticked, add this machine's address to Admin > Web Services > IP Restrictions"
    );
    Item::fail(CREDENTIALS, found, remedy)
}

pub(super) fn quota(facts: &Facts, configured: &Configured) -> Item {
    if let Some(item) = Stopped::of(facts.stopped.as_ref(), QUOTA) {
        return item;
    }
    let used = match &facts.used {
        Ok(used) => *used,
        Err(Gap::After(line)) => return Item::after(QUOTA, line),
        Err(Gap::Refused { code, message }) => {
            let remedy = "see Admin > Web Services for the calls of today";
            return Item::warn(QUOTA, format!("the usage is not shown ({code}: {message})"), remedy);
        }
    };
    let allowed = configured.marketo_daily_calls;
    let found =
        format!("{used} calls of all integrations since midnight Central; limits.marketo.daily_calls is {allowed}");
    if used.saturating_mul(100) < allowed.saturating_mul(NEARLY_USED) {
        return Item::ok(QUOTA, found);
    }
    let remedy = "see in Admin > Web Services who calls; raise limits.marketo.daily_calls if the subscription grants more, or buy calls";
    Item::warn(QUOTA, found, remedy)
}

pub(super) fn native_sync(facts: &Facts, mappings: &[Mapping]) -> Item {
    let programs = match &facts.programs {
        Ok(programs) => programs,
        Err(Gap::After(line)) => return Item::after(NATIVE_SYNC, line),
        Err(Gap::Refused { code, message }) => {
            return Item::fail(
                NATIVE_SYNC,
                format!("programs are refused ({code}: {message})"),
                "see what Marketo says",
            );
        }
    };
    if mappings.is_empty() {
        return Item::nothing(NATIVE_SYNC, "no program is mapped yet");
    }
    let native =
        |mapping: &&Mapping| programs.get(&mapping.program_id).is_some_and(|program| program.sfdc_id.is_some());
    let native: Vec<&Mapping> = mappings.iter().filter(native).collect();
    let names = |mappings: &[&Mapping]| {
        let names = mappings.iter().take(5).map(|m| format!("{} ({})", m.program_name, m.program_id));
        let more = mappings.len().saturating_sub(5);
        let list = names.collect::<Vec<_>>().join(", ");
        if more > 0 { format!("{list} and {more} more") } else { list }
    };
    let harmless = |m: &&Mapping| m.options.allow_native_sync || m.policies.direction == Direction::Observe;
    let (allowed, fought): (Vec<&Mapping>, Vec<&Mapping>) = native.into_iter().partition(harmless);
    let remedy =
        "in Marketo: the program > Program Actions > Salesforce Campaign Sync > None; or map it with direction observe";
    match (fought.is_empty(), allowed.is_empty()) {
        (false, _) => {
            let found = format!("Marketo's own campaign sync writes to the same campaigns for: {}", names(&fought));
            Item::fail(NATIVE_SYNC, found, remedy)
        }
        (true, false) => {
            let found = format!("Marketo's own campaign sync is on, as was allowed, for: {}", names(&allowed));
            Item::warn(NATIVE_SYNC, found, remedy)
        }
        (true, true) => Item::ok(NATIVE_SYNC, "Marketo's own campaign sync has none of the mapped programs"),
    }
}
