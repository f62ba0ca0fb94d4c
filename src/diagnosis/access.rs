//! What our Salesforce user may do: campaigns, members, statuses, cost, type, leads, duplicate rules.
//!
//! Owns what is needed of each object and where an administrator grants it. Without the Marketing User licence most of these
//! are closed, and the licence is to blame then.

use crate::connector::salesforce::ObjectDescribe;

use super::questions::{Answer, Gap};
use super::salesforce::{Facts, MARKETING_USER};
use super::{CheckState, Configured, Item, marketo};

/// One thing that has to be permitted, and whether it is.
type Need = (&'static str, fn(&ObjectDescribe) -> bool);

const READ: Need = ("Read", |object| object.queryable);
const CREATE: Need = ("Create", |object| object.createable);
const EDIT: Need = ("Edit", |object| object.updateable);
const DELETE: Need = ("Delete", |object| object.deletable);

/// All lines about access, in the order of the checklist.
pub(super) fn lines(facts: &Facts, marketo: &marketo::Facts, configured: &Configured) -> [Item; 7] {
    let lines = [
        object("campaign_access", "Campaigns", &facts.campaign, &[READ, CREATE, EDIT], facts),
        object("campaign_member_access", "Campaign Members", &facts.member, &[READ, CREATE, EDIT, DELETE], facts),
        statuses(facts),
        actual_cost(facts),
        campaign_type(facts, marketo),
        lead_create(facts, configured),
        duplicate_rules(facts),
    ];
    let shut = facts.no_marketing_user();
    lines.map(|item| match item.state {
        // A line that rests on one of these rests on the licence, too: what is named can be mended.
        CheckState::Fail | CheckState::Warn | CheckState::Skip if shut && item.id.starts_with(['a', 'c', 't']) => {
            Item::after(&item.id, MARKETING_USER)
        }
        _ => item,
    })
}

/// The describe of an object, or the line that stands for it.
fn described<'a>(
    id: &str,
    name: &str,
    answer: &'a Answer<Option<ObjectDescribe>>,
    user: &str,
) -> Result<&'a ObjectDescribe, Item> {
    match answer {
        Ok(Some(object)) => Ok(object),
        Ok(None) => {
            let remedy = format!(
                "in Salesforce: Setup > Users > {user} > Profile (or a permission set) > Object Settings > {name}: tick Read"
            );
            Err(Item::fail(id, format!("{name} are not visible to {user}"), remedy))
        }
        Err(Gap::After(line)) => Err(Item::after(id, line)),
        Err(Gap::Refused { code, message }) => {
            let remedy = "see what Salesforce says; the profile needs API Enabled";
            Err(Item::fail(id, format!("{name} cannot be described ({code}: {message})"), remedy))
        }
    }
}

fn object(id: &str, name: &str, answer: &Answer<Option<ObjectDescribe>>, needs: &[Need], facts: &Facts) -> Item {
    let user = facts.user_name();
    let object = match described(id, name, answer, user) {
        Ok(object) => object,
        Err(item) => return item,
    };
    let names = |needs: Vec<&Need>| needs.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let missing = names(needs.iter().filter(|(_, permits)| !permits(object)).collect());
    if missing.is_empty() {
        return Item::ok(id, format!("{name}: {}", names(needs.iter().collect())));
    }
    let remedy = format!(
        "in Salesforce: Setup > Users > {user} > Profile (or a permission set) > Object Settings > {name}: tick {missing}"
    );
    Item::fail(id, format!("{user} lacks {missing} on {name}"), remedy)
}

fn statuses(facts: &Facts) -> Item {
    let id = "campaign_member_status_access";
    let object = match described(id, "Campaign Member Statuses", &facts.status, facts.user_name()) {
        Ok(object) => object,
        // Nobody grants this object by itself: who sees campaigns and is a Marketing User sees it.
        Err(item) => return item,
    };
    if object.queryable && object.createable {
        return Item::ok(id, "Campaign Member Statuses: Read, Create");
    }
    let found = "member statuses can be read and not created: provision_statuses and create_campaign will be refused";
    let remedy = "in Salesforce: give the user Edit on Campaigns and the Marketing User licence; or create missing statuses by hand (campaign > Advanced Setup)";
    Item::warn(id, found, remedy)
}

fn actual_cost(facts: &Facts) -> Item {
    let id = "actual_cost_writable";
    let campaign = match described(id, "Campaigns", &facts.campaign, facts.user_name()) {
        Ok(campaign) => campaign,
        Err(item) => return because_of_campaigns(item),
    };
    match campaign.field("ActualCost") {
        Some(field) if field.updateable => Item::ok(id, "Campaign.ActualCost may be written"),
        _ if !campaign.updateable => Item::after(id, "campaign_access"),
        found => {
            let found = if found.is_some() { "read-only for" } else { "hidden from" };
            let found = format!("Campaign.ActualCost is {found} {}: period costs are not passed on", facts.user_name());
            let remedy = "in Salesforce: Setup > Object Manager > Campaign > Fields & Relationships > Actual Cost > Set Field-Level Security: visible and not read-only for the user's profile";
            Item::fail(id, found, remedy)
        }
    }
}

fn campaign_type(facts: &Facts, marketo: &marketo::Facts) -> Item {
    let id = "type_writable";
    let campaign = match described(id, "Campaigns", &facts.campaign, facts.user_name()) {
        Ok(campaign) => campaign,
        Err(item) => return because_of_campaigns(item),
    };
    let field = match campaign.field("Type") {
        Some(field) if field.updateable => field,
        _ if !campaign.updateable => return Item::after(id, "campaign_access"),
        found => {
            let found = if found.is_some() { "read-only for" } else { "hidden from" };
            let found = format!("Campaign.Type is {found} {}: channels are not passed on", facts.user_name());
            let remedy = "in Salesforce: Setup > Object Manager > Campaign > Fields & Relationships > Type > Set Field-Level Security: visible and not read-only for the user's profile";
            return Item::fail(id, found, remedy);
        }
    };
    if !field.restricted_picklist {
        return Item::ok(id, "Campaign.Type may be written");
    }
    let values: Vec<_> = field.picklist_values.iter().filter(|v| v.active).map(|v| v.value.as_str()).collect();
    let mut refused: Vec<&str> =
        marketo.programs.iter().flat_map(|programs| programs.values()).map(|p| p.channel.as_str()).collect();
    refused.retain(|channel| !values.contains(channel));
    refused.sort_unstable();
    refused.dedup();
    if refused.is_empty() {
        return Item::ok(id, "Campaign.Type may be written; its picklist is restricted and has the mapped channels");
    }
    let refused = refused.join(", ");
    let found = format!(
        "Campaign.Type takes only values of its picklist, which lacks the channels of mapped programs: {refused}"
    );
    let remedy = format!(
        "in Salesforce: Setup > Object Manager > Campaign > Fields & Relationships > Type: add {refused}, or untick Restrict picklist to the values defined in the value set"
    );
    Item::warn(id, found, remedy)
}

/// A field of an object that is closed as a whole.
fn because_of_campaigns(item: Item) -> Item {
    if item.state == CheckState::Skip { item } else { Item::after(&item.id, "campaign_access") }
}

fn lead_create(facts: &Facts, configured: &Configured) -> Item {
    let id = "lead_create";
    let user = facts.user_name();
    let lead = match described(id, "Leads", &facts.lead, user) {
        Ok(lead) => lead,
        Err(item) => return item,
    };
    let settings =
        format!("in Salesforce: Setup > Users > {user} > Profile (or a permission set) > Object Settings > Leads");
    let closed = |name: &&str| !lead.field(name).is_some_and(|field| field.createable);
    let closed: Vec<&str> = ["LastName", "FirstName", "Company", "Email"].into_iter().filter(closed).collect();
    let (found, remedy) = if !(lead.queryable && lead.createable) {
        (
            format!("{user} may not create leads"),
            format!("{settings}: tick Read, Create and Edit; or set create_leads to false"),
        )
    } else if !closed.is_empty() {
        let closed = closed.join(", ");
        (
            format!("{user} may not fill {closed} of a lead"),
            format!("{settings} > Field Permissions: Edit for {closed}"),
        )
    } else if let Some(wrong) = external_id_problem(lead, &configured.external_id_field) {
        wrong
    } else {
        let more: Vec<_> = lead.required().filter(|name| !["LastName", "Company"].contains(name)).collect();
        if more.is_empty() {
            let created =
                if configured.create_leads { "" } else { "; by default none are (sync.defaults.create_leads)" };
            return Item::ok(id, format!("leads may be created{created}"));
        }
        let more = more.join(", ");
        (
            format!("a lead also needs {more}, which this service does not fill: every new lead would be refused"),
            format!(
                "in Salesforce: Setup > Object Manager > Lead > Fields & Relationships > {more}: untick Required, or give a default value"
            ),
        )
    };
    Item::fail(id, found, remedy)
}

fn external_id_problem(lead: &ObjectDescribe, name: &str) -> Option<(String, String)> {
    if name.is_empty() {
        return None;
    }
    let good = lead.field(name).is_some_and(|field| field.external_id && field.unique && field.createable);
    let found =
        format!("{name} (salesforce.person_external_id_field) is not a unique external id field that may be written");
    let remedy = format!(
        "in Salesforce: Setup > Object Manager > Lead > Fields & Relationships > {name}: tick Unique and External ID, and let the user edit it; or leave the setting empty"
    );
    (!good).then_some((found, remedy))
}

fn duplicate_rules(facts: &Facts) -> Item {
    let id = "duplicate_rules";
    let rules = match &facts.rules {
        Ok(rules) => rules,
        Err(Gap::After(line)) => return Item::after(id, line),
        Err(Gap::Refused { code, message }) => {
            let remedy = "look yourself: Setup > Duplicate Rules; or give the user View Setup and Configuration";
            return Item::warn(id, format!("duplicate rules are not shown ({code}: {message})"), remedy);
        }
    };
    let names: Vec<&str> = rules.iter().filter(|rule| rule.object == "Lead").map(|rule| rule.name.as_str()).collect();
    if names.is_empty() {
        let found = "no duplicate rule for leads is active: Salesforce takes a second lead of one person from anybody";
        let remedy = "in Salesforce: Setup > Duplicate Rules > Standard Lead Duplicate Rule > Activate; what it finds is used in place of a new lead";
        return Item::warn(id, found, remedy);
    }
    Item::ok(id, format!("active for leads: {}; what they find is used in place of a new lead", names.join(", ")))
}
