//! Tables of rows, each played by a person of its own.
//!
//! A line says what both sides held when they agreed, what people do on each side while the mapping is paused, and what has to
//! come of it: what both sides hold, how the member stands, which row decided, what receivers are told. Must not know what
//! a row means: that is what the tables are for.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::running::Running;
use super::storm;
use super::world::{SOON, Side, World, address};
use crate::support::eventually;

/// `rule | who | agreed | what people do: Marketo, Salesforce | in the end: Marketo, Salesforce | stands | told, ...`
///
/// `-` is absent, `a>b` first one and then the other, a reason or a state how the member stands. Who is continued from an
/// earlier table has no `agreed`.
pub struct Line {
    rule: String,
    who: String,
    agreed: Option<String>,
    edits: [Vec<String>; 2],
    outcome: Vec<String>,
}

/// The lines of a table.
pub fn lines(table: &str) -> Vec<Line> {
    table.lines().map(str::trim).filter(|line| !line.is_empty()).map(Line::of).collect()
}

impl Line {
    fn of(line: &str) -> Self {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [rule, who, agreed, edits, end, stands, told] = cells[..] else { panic!("not seven cells: {line}") };
        let (marketo, salesforce) = edits.split_once(' ').unwrap_or_else(|| panic!("not two sides: {line}"));
        let path = |text: &str| text.split('>').map(|status| status.trim().to_owned()).collect();
        Self {
            rule: rule.to_owned(),
            who: who.to_owned(),
            agreed: (!agreed.is_empty()).then(|| agreed.to_owned()),
            edits: [path(marketo), path(salesforce)],
            outcome: vec![rule, end, stands, told].into_iter().map(str::to_owned).collect(),
        }
    }
}

fn held(side: &Side, name: &str) -> String {
    side.get(name).map_or("-".to_owned(), |statuses| statuses.join("+"))
}

/// Everybody whom both sides have before they are mapped, with what they agree on.
pub fn cast(world: &World, lines: &[Line]) {
    for line in lines {
        let who = &line.who;
        let in_side = |n: usize| line.edits[n].iter().any(|status| status != "-");
        let agreed = line.agreed.as_deref().filter(|status| *status != "-");
        if world.people(who) == 0 && (agreed.is_some() || in_side(0)) {
            world.marketo_person(who);
        }
        if world.leads(who) == 0 && (agreed.is_some() || in_side(1)) {
            world.lead(who);
        }
        if let Some(status) = agreed {
            world.set_in_marketo(who, status);
            world.add_in_salesforce(world.lead_named(who), status);
        }
    }
}

/// What people do on both sides; how many edits that is.
fn edit(world: &World, lines: &[Line]) -> i64 {
    let mut edits = 0;
    for line in lines {
        let who = line.who.as_str();
        for status in &line.edits[0] {
            if held(&world.in_marketo(), who) != *status {
                world.set_in_marketo(who, if status == "-" { "Not in Program" } else { status });
                edits += 1;
            }
        }
        for status in &line.edits[1] {
            match (held(&world.in_salesforce(), who).as_str(), status.as_str()) {
                (now, then) if now == then => continue,
                ("-", then) => drop(world.add_in_salesforce(world.lead_named(who), then)),
                (_, "-") => world.remove_in_salesforce(who),
                (_, then) => world.change_in_salesforce(who, then),
            }
            edits += 1;
        }
    }
    edits
}

impl Running {
    /// The people of a table in a world that is mapped with these policies.
    pub async fn cast(
        world: World,
        database: &crate::support::TestDatabase,
        policies: &Value,
        lines: &[Line],
    ) -> Running {
        world.bystanders(8);
        cast(&world, lines);
        let running = Self::mapped(world, database, &json!({ "policies": policies })).await;
        assert_eq!(running.world.writes(), (0, 0), "they agreed before");
        running
    }

    /// Plays a table: nothing is applied while people are at it, so that each member is decided with all of it in view.
    /// Compared only after two reconciliations, the second of which wrote nothing.
    pub async fn play(&self, lines: &[Line]) {
        self.api.post(&format!("mappings/{}/pause", self.mapping), &json!({})).await.expect(200);
        let mut ids = self.ids().await;
        let (heard, told) = (self.received().await, self.all_events().await.len());
        let edits = edit(&self.world, lines);
        // Where webhooks are lost and doubled they cannot be counted; what was made of both sides is in view all the same.
        let counted = async || storm::seed().is_some() || self.received().await == heard + edits;
        eventually("the edits to be received", SOON, async || counted().await.then_some(())).await;
        self.api.post(&format!("mappings/{}/resume", self.mapping), &json!({})).await.expect(200);
        self.runs_end().await;
        self.settle().await;
        self.reconcile().await;
        let writes = self.world.writes();
        self.reconcile().await;
        assert_eq!(self.world.writes(), writes, "written though nothing changed");
        let there = self.ids().await;
        ids.extend(there.clone());
        let events = self.all_events().await.split_off(told);
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        let outcomes = lines.iter().map(|line| self.outcome(line, ids.get(&address(&line.who)), &events));
        for (line, mut outcome) in lines.iter().zip(join_all(outcomes).await) {
            if !there.contains_key(&address(&line.who)) {
                outcome[2] = "closed".to_owned();
            }
            expected.push(format!("{}: {}", line.who, line.outcome.join(" | ")));
            found.push(format!("{}: {}", line.who, outcome.join(" | ")));
        }
        assert_eq!(found, expected, "\n{}\n", found.join("\n"));
        self.ledger_balances().await;
    }

    /// Ids of the members, by address.
    async fn ids(&self) -> BTreeMap<String, String> {
        let members = self.members().await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        members["data"].as_array().unwrap().iter().map(|m| (text(&m["person"]["email"]), text(&m["id"]))).collect()
    }

    /// What came of a line, in its own words. Whoever was never recorded as a member was decided by row 1, or not at all.
    async fn outcome(&self, line: &Line, id: Option<&String>, events: &[Value]) -> Vec<String> {
        let (mut rule, mut stands) = ("1".to_owned(), String::new());
        if let Some(id) = id {
            let rules = self.rules_of(id).await;
            rule = if rules.contains(&line.rule) { line.rule.clone() } else { rules.join(" ") };
            let member = self.api.get(&format!("members/{id}")).await.expect(200).json();
            stands = member["reason"].as_str().or(member["sync_state"].as_str()).unwrap().to_owned();
        }
        let end = [self.world.in_marketo(), self.world.in_salesforce()].map(|side| held(&side, &line.who)).join(" ");
        let told = events.iter().map(|event| &event["data"]).filter(|data| {
            let person = data["person"]["salesforce_id"].as_str().unwrap_or_default();
            self.world.name_of(person) == line.who
        });
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let told: Vec<_> =
            told.map(|data| ["old_status", "new_status", "origin"].map(|name| word(&data[name])).join(" ")).collect();
        vec![rule, end, stands, told.join(", ")]
    }

    /// The rows that have decided a member, the last one at the end.
    pub async fn rules_of(&self, id: &str) -> Vec<String> {
        let history = self.api.get(&format!("members/{id}/history?limit=500")).await.expect(200).json();
        let now = self.api.get(&format!("members/{id}/explain")).await.expect(200).json();
        let decided = history["data"].as_array().unwrap().iter().map(|entry| entry["detail"]["rule"].clone());
        decided.chain([now["rule"].clone()]).filter_map(|rule| rule.as_str().map(str::to_owned)).collect()
    }

    /// What was received is all accounted for.
    pub async fn ledger_balances(&self) {
        let ledger = self.api.get("stats").await.expect(200).json()["ledger"].clone();
        let counts = ledger.as_object().unwrap().iter().filter(|(name, _)| *name != "received");
        let sum: i64 = counts.map(|(_, n)| n.as_i64().unwrap()).sum();
        assert_eq!(ledger["received"], sum, "{ledger}");
    }
}
