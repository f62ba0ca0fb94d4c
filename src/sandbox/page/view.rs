//! The page as HTML.
//!
//! Owns its looks and how much it shows: a hundred rows of anything, with the number of all. Everything that comes from a world is
//! escaped here.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::acts::FORMS;
use super::forms::{Field, Form, Kind, World};
use super::{Look, Page};
use crate::sandbox::salesforce::{Id, Object};

const MOST_ROWS: usize = 100;

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>Emulated Marketo and Salesforce</title><style>
:root{color-scheme:light dark;font:15px/1.45 system-ui,sans-serif}
body{margin:0 auto;max-width:110rem;padding:1rem}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(34rem,100%),1fr));gap:2rem}
div.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.25rem 0 1rem}
th,td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #8885;white-space:nowrap}
code{font-size:.9em}
details{border:1px solid #8885;border-radius:.4rem;margin:.35rem 0;padding:.3rem .7rem}
summary{cursor:pointer}
form{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:end;margin:.5rem 0}
label{display:grid;font-size:.85em}
input,select,textarea,button{font:inherit;padding:.2rem .4rem}
p.said{border:1px solid;border-radius:.4rem;padding:.5rem .8rem;overflow-wrap:anywhere}
</style></head><body><h1>Emulated Marketo and Salesforce</h1>";

/// All of it.
pub fn page(page: &Page, look: &Look) -> String {
    let mut out = HEAD.to_owned();
    if !look.done.is_empty() {
        let (done, answer) = (escape(&look.done), escape(&look.answer));
        _ = write!(out, "<p class=\"said\" role=\"status\"><strong>{done}</strong> <code>{answer}</code></p>");
    }
    clock_and_faults(page, look, &mut out);
    out.push_str("<main><section><h2>Salesforce</h2>");
    salesforce(page, look, &mut out);
    forms(World::Salesforce, look, &mut out);
    out.push_str("</section><section><h2>Marketo</h2>");
    marketo(page, look, &mut out);
    forms(World::Marketo, look, &mut out);
    out.push_str("</section></main></body></html>");
    out
}

fn clock_and_faults(page: &Page, look: &Look, out: &mut String) {
    let waiting = json!(page.faults.waiting());
    let ahead = page.clock.offset_seconds();
    _ = write!(out, "<p>It is {} there, {ahead} s ahead of this machine.</p>", page.clock.now());
    if waiting != json!([]) {
        _ = write!(out, "<p>Faults that wait for a call: <code>{}</code></p>", escape(&waiting.to_string()));
    }
    forms(World::Both, look, out);
}

fn salesforce(page: &Page, look: &Look, out: &mut String) {
    page.salesforce.with(|org| {
        let text = |id: Id, name: &str| org.row(id).map_or(Value::Null, |row| org.read(row, name).to_json());
        let rows = |object: Object, names: &[&str]| {
            let live = org.rows(object).filter(|row| !row.deleted);
            live.take(MOST_ROWS)
                .map(|row| names.iter().map(|name| text(row.id, name)).collect())
                .collect::<Vec<Vec<Value>>>()
        };
        let columns = ["Id", "Name", "Type", "ActualCost", "NumberOfLeads", "NumberOfContacts", "NumberOfResponses"];
        table(
            out,
            "Campaigns",
            org.count(Object::Campaign),
            &columns,
            rows(Object::Campaign, &columns),
            Some("campaign"),
        );
        if let Some(campaign) = Id::parse(&look.campaign) {
            let members = org.members(campaign);
            let shown = members.iter().take(MOST_ROWS);
            let shown = shown.map(|m| {
                vec![json!(m.id), json!(m.email), json!(m.status), json!(m.responded), json!(m.lead), json!(m.contact)]
            });
            let name = format!("Members of {}", text(campaign, "Name").as_str().unwrap_or_default());
            table(
                out,
                &name,
                members.len(),
                &["Id", "Email", "Status", "HasResponded", "LeadId", "ContactId"],
                shown.collect(),
                None,
            );
            let statuses = org
                .statuses(campaign)
                .into_iter()
                .map(|row| ["Id", "Label", "HasResponded", "IsDefault"].map(|name| text(row.id, name)).to_vec());
            let statuses: Vec<_> = statuses.collect();
            table(out, "Its statuses", statuses.len(), &["Id", "Label", "HasResponded", "IsDefault"], statuses, None);
        }
        for object in [Object::Lead, Object::Contact] {
            let columns: &[&str] = match object {
                Object::Lead => &["Id", "Name", "Email", "Company", "IsConverted"],
                _ => &["Id", "Name", "Email", "AccountId"],
            };
            table(out, object.plural(), org.count(object), columns, rows(object, columns), None);
        }
        counts(out, &json!(org.counters));
    });
}

fn marketo(page: &Page, look: &Look, out: &mut String) {
    page.marketo.with(|world| {
        let cell = |row: &Value, name: &str| row.get(name).cloned().unwrap_or_default();
        let listed = |rows: Vec<Value>, names: &[&str]| {
            rows.iter().map(|row| names.iter().map(|name| cell(row, name)).collect()).collect()
        };
        let programs: Vec<Value> = world.programs.values().take(MOST_ROWS).map(|program| json!(program)).collect();
        let names = ["id", "name", "channel", "costs"];
        table(out, "Programs", world.programs.len(), &names, listed(programs, &names), Some("program"));
        if let Some(id) = look.program {
            let members: Vec<Value> =
                world.memberships.of_program(id, 0).take(MOST_ROWS).map(|member| json!(member)).collect();
            let names: Vec<String> =
                members.first().and_then(Value::as_object).map(|m| m.keys().cloned().collect()).unwrap_or_default();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            table(out, &format!("Members of {id}"), world.memberships.count(id), &names, listed(members, &names), None);
        }
        let channels: Vec<Value> = world.channels.values().map(|channel| json!(channel)).collect();
        let names = ["id", "name", "statuses"];
        table(out, "Channels", channels.len(), &names, listed(channels, &names), None);
        let people: Vec<Vec<Value>> = world.people.iter().take(MOST_ROWS).map(|person| vec![json!(person)]).collect();
        table(out, "People", world.people.iter().count(), &["person"], people, None);
        counts(out, &json!(world.police));
    });
}

fn counts(out: &mut String, counters: &Value) {
    let shown = serde_json::to_string_pretty(counters).unwrap_or_default();
    _ = write!(out, "<details><summary>What clients did</summary><pre>{}</pre></details>", escape(&shown));
}

/// A table; the first column leads to what is in it when `link` names the parameter.
fn table(out: &mut String, title: &str, all: usize, columns: &[&str], rows: Vec<Vec<Value>>, link: Option<&str>) {
    _ = write!(
        out,
        "<h3>{} ({all})</h3><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><tr>",
        escape(title)
    );
    columns.iter().for_each(|column| _ = write!(out, "<th>{}</th>", escape(column)));
    out.push_str("</tr>");
    for row in rows {
        out.push_str("<tr>");
        for (n, value) in row.iter().enumerate() {
            let text = escape(&plain(value));
            _ = match link.filter(|_| n == 0) {
                Some(link) => write!(out, "<td><a href=\"/?{link}={text}\">{text}</a></td>"),
                None => write!(out, "<td>{text}</td>"),
            };
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn forms(world: World, look: &Look, out: &mut String) {
    FORMS.iter().filter(|form| form.world == world).for_each(|form| one_form(form, look, out));
}

fn one_form(form: &Form, look: &Look, out: &mut String) {
    let title = escape(form.title);
    let program = look.program.map_or_else(String::new, |program| program.to_string());
    _ = write!(
        out,
        "<details><summary>{title}</summary><form method=\"post\" action=\"/act\"><input type=\"hidden\" name=\"form\" value=\"{title}\">\
         <input type=\"hidden\" name=\"campaign\" value=\"{}\"><input type=\"hidden\" name=\"program\" value=\"{program}\">",
        escape(&look.campaign)
    );
    form.fields.iter().for_each(|field| one_field(field, out));
    let (method, path) = (form.method, escape(form.path));
    _ = write!(out, "<button>{title}</button> <code>{method} {path}</code></form></details>");
}

fn one_field((name, label, kind): &Field, out: &mut String) {
    _ = write!(out, "<label>{}", escape(label));
    _ = match kind {
        Kind::Choice(choices) => {
            let options: String = choices.iter().map(|choice| format!("<option>{choice}</option>")).collect();
            write!(out, "<select name=\"{name}\">{options}</select>")
        }
        Kind::Body => write!(out, "<textarea name=\"{name}\" rows=\"3\" cols=\"50\">{{}}</textarea>"),
        Kind::Number => write!(out, "<input name=\"{name}\" inputmode=\"decimal\" autocomplete=\"off\">"),
        Kind::Text | Kind::List => write!(out, "<input name=\"{name}\" autocomplete=\"off\">"),
    };
    out.push_str("</label>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
