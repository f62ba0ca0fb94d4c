//! Which calls exist: method, path, body, permission, and the function that answers.
//!
//! Owns the table. A path that is not in it is 610, a known path with another method 605. Must not read the state.

use super::call::Call;
use super::envelope::{Answer, Refusal};
use super::world::World;
use super::{
    activities, bulk, campaigns, lead_writes, leads, member_fields, members, program_life, programs, push,
    smart_campaigns, stats,
};

/// What body a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Json,
    /// JSON, or nothing at all.
    MaybeJson,
    Form,
}

/// One call of the API.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub body: Body,
    /// Permission of the API role; empty when none is needed.
    pub permission: &'static str,
    pub answer: fn(&mut World, &Call) -> Result<Answer, Refusal>,
}

impl Route {
    /// Whether the call changes anything.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.method != "GET"
    }
}

const fn route(
    method: &'static str,
    path: &'static str,
    body: Body,
    permission: &'static str,
    answer: fn(&mut World, &Call) -> Result<Answer, Refusal>,
) -> Route {
    Route { method, path, body, permission, answer }
}

const READ_ASSETS: &str = "Read-Only Assets";
const WRITE_ASSETS: &str = "Read-Write Assets";
const READ_LEADS: &str = "Read-Only Lead";
const WRITE_LEADS: &str = "Read-Write Lead";
const READ_ACTIVITIES: &str = "Read-Only Activity";
const ACTIVATE: &str = "Activate Campaign";
const DEACTIVATE: &str = "Deactivate Campaign";

/// All calls; a fixed path stands before the one with an id that it would match.
pub const ROUTES: [Route; 56] = [
    route("GET", "/rest/asset/v1/programs.json", Body::None, READ_ASSETS, programs::browse),
    route("POST", "/rest/asset/v1/programs.json", Body::Form, WRITE_ASSETS, programs::create),
    route("GET", "/rest/asset/v1/program/byName.json", Body::None, READ_ASSETS, programs::by_name),
    route("GET", "/rest/asset/v1/program/byTag.json", Body::None, READ_ASSETS, program_life::by_tag),
    route("GET", "/rest/asset/v1/program/{id}.json", Body::None, READ_ASSETS, programs::get),
    route("POST", "/rest/asset/v1/program/{id}.json", Body::Form, WRITE_ASSETS, programs::update),
    route("POST", "/rest/asset/v1/program/{id}/delete.json", Body::None, WRITE_ASSETS, programs::delete),
    route("POST", "/rest/asset/v1/program/{id}/clone.json", Body::Form, WRITE_ASSETS, program_life::clone),
    route("POST", "/rest/asset/v1/program/{id}/approve.json", Body::None, WRITE_ASSETS, program_life::approve),
    route("POST", "/rest/asset/v1/program/{id}/unapprove.json", Body::None, WRITE_ASSETS, program_life::unapprove),
    route("GET", "/rest/asset/v1/smartCampaigns.json", Body::None, READ_ASSETS, smart_campaigns::browse),
    route("GET", "/rest/asset/v1/smartCampaign/byName.json", Body::None, READ_ASSETS, smart_campaigns::by_name),
    route("GET", "/rest/asset/v1/smartCampaign/{id}.json", Body::None, READ_ASSETS, smart_campaigns::get),
    route("POST", "/rest/asset/v1/smartCampaign/{id}/activate.json", Body::None, ACTIVATE, smart_campaigns::activate),
    route(
        "POST",
        "/rest/asset/v1/smartCampaign/{id}/deactivate.json",
        Body::None,
        DEACTIVATE,
        smart_campaigns::deactivate,
    ),
    route("GET", "/rest/asset/v1/channels.json", Body::None, READ_ASSETS, programs::channels),
    route("GET", "/rest/asset/v1/channel/byName.json", Body::None, READ_ASSETS, programs::channel_by_name),
    route("GET", "/rest/v1/programs/members/describe.json", Body::None, READ_LEADS, member_fields::describe),
    route("GET", "/rest/v1/program/members/describe.json", Body::None, READ_LEADS, member_fields::describe_fields),
    route("GET", "/rest/v1/programs/members/schema/fields.json", Body::None, READ_LEADS, member_fields::schema),
    route("GET", "/rest/v1/programs/{id}/members.json", Body::None, READ_LEADS, members::query),
    route("POST", "/rest/v1/programs/{id}/members.json", Body::Json, WRITE_LEADS, members::update),
    route("POST", "/rest/v1/programs/{id}/members/status.json", Body::Json, WRITE_LEADS, members::set_status),
    route("POST", "/rest/v1/programs/{id}/members/delete.json", Body::Json, WRITE_LEADS, members::delete),
    route("GET", "/rest/v1/leads/programs/{id}.json", Body::None, READ_LEADS, members::by_program),
    route("POST", "/rest/v1/leads/programs/{id}/status.json", Body::Json, WRITE_LEADS, push::set_status_of_members),
    route("GET", "/rest/v1/leads/{id}/programMembership.json", Body::None, READ_ASSETS, members::by_lead),
    route("GET", "/rest/v1/leads/describe.json", Body::None, READ_LEADS, leads::describe),
    route("GET", "/rest/v1/leads/describe2.json", Body::None, READ_LEADS, leads::describe2),
    route("GET", "/rest/v1/lead/{id}.json", Body::None, READ_LEADS, leads::by_id),
    route("GET", "/rest/v1/leads.json", Body::None, READ_LEADS, leads::by_filter),
    route("POST", "/rest/v1/leads.json", Body::Json, WRITE_LEADS, lead_writes::sync),
    route("DELETE", "/rest/v1/leads.json", Body::Json, WRITE_LEADS, lead_writes::delete),
    route("POST", "/rest/v1/leads/delete.json", Body::Json, WRITE_LEADS, lead_writes::delete),
    route("POST", "/rest/v1/leads/push.json", Body::Json, WRITE_LEADS, push::push),
    route("POST", "/rest/v1/leads/{id}/merge.json", Body::None, WRITE_LEADS, lead_writes::merge),
    route("GET", "/rest/v1/activities/pagingtoken.json", Body::None, READ_ACTIVITIES, activities::paging_token),
    route("GET", "/rest/v1/activities/deletedleads.json", Body::None, READ_ACTIVITIES, activities::deleted_leads),
    route("GET", "/rest/v1/activities/leadchanges.json", Body::None, READ_ACTIVITIES, activities::lead_changes),
    route("GET", "/rest/v1/activities/types.json", Body::None, READ_ACTIVITIES, activities::types),
    route("GET", "/rest/v1/activities.json", Body::None, READ_ACTIVITIES, activities::list),
    route("GET", "/rest/v1/campaigns.json", Body::None, READ_ASSETS, smart_campaigns::list),
    route("GET", "/rest/v1/campaigns/{id}.json", Body::None, READ_ASSETS, smart_campaigns::one),
    route("POST", "/rest/v1/campaigns/{id}/trigger.json", Body::Json, "Execute Campaign", campaigns::trigger),
    route("POST", "/rest/v1/campaigns/{id}/schedule.json", Body::MaybeJson, "Execute Campaign", campaigns::schedule),
    route("GET", "/bulk/v1/program/members/export.json", Body::None, READ_LEADS, bulk::list),
    route("POST", "/bulk/v1/program/members/export/create.json", Body::Json, READ_LEADS, bulk::create),
    route("POST", "/bulk/v1/program/members/export/{key}/enqueue.json", Body::None, READ_LEADS, bulk::enqueue),
    route("GET", "/bulk/v1/program/members/export/{key}/status.json", Body::None, READ_LEADS, bulk::status),
    route("GET", "/bulk/v1/program/members/export/{key}/file.json", Body::None, READ_LEADS, bulk::file),
    route("POST", "/bulk/v1/program/members/export/{key}/cancel.json", Body::None, READ_LEADS, bulk::cancel),
    route("GET", "/rest/v1/stats/usage.json", Body::None, "", stats::usage_today),
    route("GET", "/rest/v1/stats/usage/last7days.json", Body::None, "", stats::usage_week),
    route("GET", "/rest/v1/stats/errors.json", Body::None, "", stats::errors_today),
    route("GET", "/rest/v1/stats/errors/last7days.json", Body::None, "", stats::errors_week),
    route("GET", "/rest/v1/leads/partitions.json", Body::None, READ_LEADS, stats::partitions),
];

/// The call that a method and a path name, with what stands in the path for `{id}` or `{key}`.
pub fn find(method: &str, path: &str) -> Result<(&'static Route, String), Refusal> {
    let mut known = false;
    for route in &ROUTES {
        if let Some(key) = path_key(route.path, path) {
            if route.method == method {
                return Ok((route, key.to_owned()));
            }
            known = true;
        }
    }
    Err(if known {
        Refusal::new(605, format!("HTTP Method '{method}' is not supported"))
    } else {
        Refusal::new(610, "Requested resource not found")
    })
}

/// An `{id}` is a number, a `{key}` any text.
fn path_key<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    if let Some((before, after)) = pattern.split_once("{id}") {
        let digits = path.strip_prefix(before)?.strip_suffix(after)?;
        return (digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<i64>().is_ok()).then_some(digits);
    }
    if let Some((before, after)) = pattern.split_once("{key}") {
        let key = path.strip_prefix(before)?.strip_suffix(after)?;
        return (!key.is_empty() && !key.contains('/')).then_some(key);
    }
    (pattern == path).then_some("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods() {
        let check = |method, path, expected: Result<(&str, &str), u16>| {
            let found = find(method, path);
            let found = found.as_ref().map(|(route, key)| (route.path, key.as_str())).map_err(|refusal| refusal.code);
            assert_eq!(found, expected, "{method} {path}");
        };
        check("GET", "/rest/v1/programs/1044/members.json", Ok(("/rest/v1/programs/{id}/members.json", "1044")));
        check("GET", "/rest/v1/leads/programs/7.json", Ok(("/rest/v1/leads/programs/{id}.json", "7")));
        check("GET", "/rest/asset/v1/program/byName.json", Ok(("/rest/asset/v1/program/byName.json", "")));
        let file = "/bulk/v1/program/members/export/{key}/file.json";
        check("GET", "/bulk/v1/program/members/export/b5ca52a9-5ecb/file.json", Ok((file, "b5ca52a9-5ecb")));
        check("GET", "/bulk/v1/program/members/export//file.json", Err(610));
        check("PUT", "/rest/v1/leads.json", Err(605));
        check("DELETE", "/rest/asset/v1/program/7.json", Err(605));
        check("GET", "/rest/v1/programs/x/members.json", Err(610));
        check("GET", "/rest/v1//leads.json", Err(610));
        check("GET", "/v1/leads.json", Err(610));
        check("GET", "/rest/v1/lead/.json", Err(610));
    }
}
