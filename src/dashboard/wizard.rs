//! Mapping a program to a campaign, step by step; and changing the map and the policies of one.
//!
//! A step is an address: program and campaign stand in it, so that each step can be linked to, and gone back to.

use askama::Template;
use axum::extract::Path;
use axum::http::{Method, header};
use serde_json::{Value, json};

use super::listing::Asked;
use super::mapping_form::{MappingForm, Translations, known_statuses, policies};
use super::view::{View, encoded};
use super::visitor::{Fields, Flash, Submitted, Visitor};
use super::{Frame, Page, Trouble};

#[derive(Template)]
#[template(path = "wizard_choose.html")]
struct Choose {
    frame: Frame,
    /// 1: the program, 2: the campaign.
    step: u8,
    /// Whether it can be searched by name; else an id is asked for.
    searches: bool,
    q: String,
    found: Option<View>,
    /// What the vendor said instead of a list.
    problem: Option<View>,
    program: View,
}

#[derive(Template)]
#[template(path = "wizard_match.html")]
struct Match {
    frame: Frame,
    program: View,
    campaign: View,
    campaign_id: String,
    create: bool,
    name: String,
    form: MappingForm,
    /// Of the proposed pairs.
    warnings: Vec<View>,
    plan: Option<View>,
    /// The first rows of the plan.
    rows: View,
    problem: Option<View>,
    can_plan: bool,
    /// Of a mapping that is changed; none of a new one.
    mapping: Option<View>,
    /// Its version as it is shown: whoever saves has seen this one.
    version: String,
}

/// Who is to be mapped, as the address says.
struct Pair {
    program_id: String,
    campaign_id: String,
    create: bool,
}

impl Pair {
    fn of(fields: &Fields) -> Self {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect();
        Self {
            program_id: digits(fields.get("program")),
            campaign_id: fields.get("campaign").chars().filter(char::is_ascii_alphanumeric).collect(),
            create: fields.get("create") == "1",
        }
    }
}

pub(super) async fn show(visitor: Visitor, asked: Asked) -> Page {
    let pair = Pair::of(&asked.0);
    if pair.program_id.is_empty() {
        return choose(&visitor, 1, &asked, &pair).await;
    }
    if pair.campaign_id.is_empty() && !pair.create {
        return choose(&visitor, 2, &asked, &pair).await;
    }
    matching(&visitor, &pair, None).await
}

async fn program(visitor: &Visitor, id: &str) -> View {
    let read = match visitor.offers("GET /programs/{id}") {
        true => visitor.maybe(&format!("/programs/{id}")).await,
        false => visitor.dashboard.api.view(Value::Null),
    };
    if read.has("name") { read } else { visitor.dashboard.api.view(json!({"id": id, "name": format!("Program {id}")})) }
}

async fn choose(visitor: &Visitor, step: u8, asked: &Asked, pair: &Pair) -> Page {
    let q = asked.get("q");
    let (operation, list) = if step == 1 { ("GET /programs", "/programs") } else { ("GET /campaigns", "/campaigns") };
    let searches = visitor.offers(operation);
    let program =
        if step == 2 { program(visitor, &pair.program_id).await } else { visitor.dashboard.api.view(Value::Null) };
    // The campaign is probably called as the program is.
    let q = if step == 2 && q.is_empty() && !visitor.here.contains("q=") && program.has("id") {
        program.text("name")
    } else {
        q.to_owned()
    };
    let (mut found, mut problem) = (None, None);
    if searches {
        let answer = visitor
            .ask(Method::GET, &format!("{list}?limit=25&q={}&{}", encoded(&q), asked.query(&["cursor"])), None)
            .await;
        match answer.status.is_success() {
            true => found = Some(answer.body),
            false => problem = Some(answer.body),
        }
    }
    let frame = visitor.frame("New mapping", "mappings");
    visitor.page(&Choose { frame, step, searches, q, found, problem, program })
}

/// What both sides have; an error of a vendor is shown where the statuses would be.
async fn matched(visitor: &Visitor, pair: &Pair) -> (View, Option<View>) {
    let nothing = || visitor.dashboard.api.view(json!({}));
    if pair.create {
        // The campaign gets the statuses of the program, so that there is nothing to translate.
        return (nothing(), None);
    }
    let path = format!("/programs/{}/status-match?campaign_id={}", pair.program_id, pair.campaign_id);
    let answer = visitor.ask(Method::GET, &path, None).await;
    if answer.status.is_success() { (answer.body, None) } else { (nothing(), Some(answer.body)) }
}

/// What became of the form before it is shown again.
struct Outcome<'a> {
    fields: &'a Fields,
    plan: Option<View>,
    problem: Option<View>,
}

async fn matching(visitor: &Visitor, pair: &Pair, outcome: Option<Outcome<'_>>) -> Page {
    let (matched, unread) = matched(visitor, pair).await;
    let program = program(visitor, &pair.program_id).await;
    let mut matched = matched;
    if pair.create {
        let statuses = program.value("statuses").clone();
        matched = visitor.dashboard.api.view(json!({"program_statuses": statuses}));
    }
    let campaign = match pair.create || !visitor.offers("GET /campaigns/{id}") {
        true => visitor.dashboard.api.view(Value::Null),
        false => visitor.maybe(&format!("/campaigns/{}", pair.campaign_id)).await,
    };
    let (translations, current) = match &outcome {
        Some(outcome) => (Translations::entered(outcome.fields), visitor.dashboard.api.view(entered(outcome.fields))),
        None => (Translations::proposed(&matched), visitor.dashboard.api.view(json!({"policies": {"gate": null}}))),
    };
    let name = outcome.as_ref().map_or_else(|| program.text("name"), |outcome| outcome.fields.get("name").to_owned());
    let (plan, problem) = outcome.map_or((None, None), |outcome| (outcome.plan, outcome.problem));
    let rows = match &plan {
        Some(plan) if plan.has("id") => visitor.maybe(&format!("/plans/{}/rows?limit=10", plan.text("id"))).await,
        _ => visitor.dashboard.api.view(Value::Null),
    };
    let page = Match {
        frame: visitor.frame("New mapping", "mappings"),
        form: MappingForm::new(&matched, &translations, &current),
        warnings: matched.each("warnings"),
        campaign_id: pair.campaign_id.clone(),
        create: pair.create,
        can_plan: visitor.offers("POST /mappings/{id}/plan"),
        problem: problem.or(unread),
        mapping: None,
        version: String::new(),
        plan,
        rows,
        name,
        program,
        campaign,
    };
    visitor.page(&page)
}

/// The entered policies and options in the form of a mapping.
fn entered(fields: &Fields) -> Value {
    let on = |name: &str| fields.get(name) == "on";
    json!({
        "policies": policies(fields), "provision_statuses": on("provision_statuses"), "paused": on("paused"),
        "allow_native_sync": on("allow_native_sync"), "allow_program_type": on("allow_program_type"),
    })
}

pub(super) async fn submit(Submitted { visitor, fields }: Submitted) -> Page {
    let pair = Pair::of(&fields);
    let known = visitor.dashboard.api.view(known_statuses(&fields));
    let mut body = entered(&fields);
    body["program_id"] = json!(pair.program_id.parse::<i64>().unwrap_or(0));
    match pair.create {
        true if fields.get("name").is_empty() => body["create_campaign"] = json!({}),
        true => body["create_campaign"] = json!({"name": fields.get("name")}),
        false => {
            body["campaign_id"] = json!(pair.campaign_id);
            if let Some(rows) = Translations::entered(&fields).rows(&known) {
                body["status_map"] = json!(rows);
            }
        }
    }
    let planning = fields.get("action") == "plan";
    let path = if planning { "/mappings?dry_run=true" } else { "/mappings" };
    let answer = visitor.ask(Method::POST, path, Some(&body)).await;
    if !answer.status.is_success() {
        let outcome = Outcome { fields: &fields, plan: None, problem: Some(answer.body) };
        return matching(&visitor, &pair, Some(outcome)).await;
    }
    if planning {
        let outcome = Outcome { fields: &fields, plan: Some(answer.body.at("plan")), problem: None };
        return matching(&visitor, &pair, Some(outcome)).await;
    }
    let done =
        Flash::good("Mapped. The first sync has started; nobody is told \"added\" about people who were there before.");
    visitor.back(&format!("/mappings/{}", answer.body.text("id")), &done)
}

fn pair_of(mapping: &View) -> Pair {
    Pair { program_id: mapping.text("program_id"), campaign_id: mapping.text("campaign_id"), create: false }
}

pub(super) async fn edit(visitor: Visitor, Path(id): Path<String>) -> Page {
    let (mapping, version) = versioned(&visitor, &id).await?;
    changing(&visitor, mapping, version, None).await
}

/// A mapping and its version.
async fn versioned(visitor: &Visitor, id: &str) -> Result<(View, String), Box<Trouble>> {
    let answer = visitor.ask(Method::GET, &format!("/mappings/{id}"), None).await;
    let version = answer.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
    Ok((visitor.got(answer)?, version))
}

async fn changing(visitor: &Visitor, mapping: View, version: String, outcome: Option<Outcome<'_>>) -> Page {
    let pair = pair_of(&mapping);
    let (matched, unread) = matched(visitor, &pair).await;
    let (translations, current) = match &outcome {
        Some(outcome) => (Translations::entered(outcome.fields), visitor.dashboard.api.view(entered(outcome.fields))),
        None => (Translations::current(&mapping), mapping.clone()),
    };
    let problem = outcome.and_then(|outcome| outcome.problem).or(unread);
    let page = Match {
        frame: visitor.frame("Change mapping", "mappings"),
        form: MappingForm::new(&matched, &translations, &current),
        warnings: matched.each("warnings"),
        program: visitor.dashboard.api.view(json!({"id": pair.program_id, "name": mapping.text("program_name")})),
        campaign: visitor.dashboard.api.view(json!({"id": pair.campaign_id, "name": mapping.text("campaign_name")})),
        campaign_id: pair.campaign_id,
        create: false,
        name: String::new(),
        plan: None,
        rows: visitor.dashboard.api.view(Value::Null),
        problem,
        can_plan: false,
        mapping: Some(mapping),
        version,
    };
    visitor.page(&page)
}

pub(super) async fn submit_edit(Path(id): Path<String>, Submitted { visitor, fields }: Submitted) -> Page {
    let path = format!("/mappings/{id}");
    let (mapping, version) = versioned(&visitor, &id).await?;
    let known = visitor.dashboard.api.view(known_statuses(&fields));
    let mut body = json!({"policies": policies(&fields)});
    // Where the statuses could not be read they were not shown, so nothing was entered about them.
    if !fields.all("program_status").is_empty() {
        body["status_map"] = json!(Translations::entered(&fields).rows(&known));
    }
    let answer = visitor.change(&path, &body, fields.get("version")).await;
    if !answer.status.is_success() {
        let outcome = Outcome { fields: &fields, plan: None, problem: Some(answer.body) };
        // Shown with the version that there is now: whoever saves again after being told overwrites it knowingly.
        return changing(&visitor, mapping, version, Some(outcome)).await;
    }
    let done = match answer.body.has("run_id") {
        true => "Saved. Everybody is decided anew.",
        false => "Saved. Nothing was different.",
    };
    visitor.back(&path, &Flash::good(done))
}
