//! The checklist: each line is broken at the vendors or in the configuration, and that line says so and how to mend it.
//!
//! Runs the command as people do, beside the running service. Lines that rest on the broken one are skipped; no other moves.

use std::collections::BTreeMap;

use campaign_sync::sandbox::marketo::Service;
use campaign_sync::sandbox::salesforce::{Cell, DuplicateRule, FieldAccess, Object, Options};
use serde_json::{Value, json};

use super::running::Running;
use super::storm::calm_only;
use super::world::World;
use crate::support::{Launch, TestDatabase, on_both};

/// Lines that rest on being let into Salesforce.
const OF_SALESFORCE: [&str; 9] = [
    "marketing_user",
    "campaign_access",
    "campaign_member_access",
    "campaign_member_status_access",
    "actual_cost_writable",
    "type_writable",
    "lead_create",
    "duplicate_rules",
    "status",
];
const IDS: [&str; 18] = [
    "sync_enabled",
    "marketo_credentials",
    "salesforce_credentials",
    "api_version",
    "marketing_user",
    "campaign_access",
    "campaign_member_access",
    "campaign_member_status_access",
    "actual_cost_writable",
    "type_writable",
    "lead_create",
    "duplicate_rules",
    "marketo_quota",
    "salesforce_quota",
    "native_sync",
    "marketo_webhooks",
    "salesforce_webhooks",
    "clock_skew",
];

/// Exit code and what was printed.
async fn run(launch: Launch) -> (i32, String) {
    let output = tokio::task::spawn_blocking(move || launch.command().output().unwrap()).await.unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn command(world: &World, database: &TestDatabase, args: &[&str]) -> Launch {
    world.configured(Launch::campaign_sync(args)).set("database.url", &database.url)
}

/// A world in which every line is good, and what is looked at in it.
struct Checked<'a> {
    running: Running,
    database: &'a TestDatabase,
    /// Of both vendors, before anything was broken.
    options: Options,
}

impl<'a> Checked<'a> {
    async fn new(database: &'a TestDatabase) -> Self {
        let running = Running::new(database).await;
        let options = running.world.emulators.salesforce.with(|org| org.options.clone());
        Self { running, database, options }
    }

    /// The lines of the command with these settings; the one of the mapping is called `status`.
    async fn lines(&self, settings: &[(&str, &str)]) -> (i32, Vec<(String, Value)>) {
        let launch = command(&self.running.world, self.database, &["check", "--json"]);
        let launch = settings.iter().fold(launch, |launch, (name, value)| launch.set(name, value));
        let (code, text) = run(launch).await;
        let printed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"));
        let named = |item: &Value| {
            let id = item["id"].as_str().unwrap();
            let status = format!("status:{}", self.running.mapping);
            (if id == status { "status".to_owned() } else { id.to_owned() }, item.clone())
        };
        (code, printed["items"].as_array().unwrap().iter().map(named).collect())
    }

    /// One line is in this state and says how to mend it, those that rest on it are skipped, every other is good.
    async fn says(&self, settings: &[(&str, &str)], (line, state): (&str, &str), remedy: &str, skipped: &[&str]) {
        let (code, lines) = self.lines(settings).await;
        let wrong: BTreeMap<&str, &str> = lines
            .iter()
            .map(|(id, item)| (id.as_str(), item["state"].as_str().unwrap()))
            .filter(|(_, s)| *s != "ok")
            .collect();
        let expected = skipped.iter().map(|id| (*id, "skip")).chain([(line, state)]).collect();
        let (_, item) = lines.iter().find(|(id, _)| id == line).unwrap();
        assert_eq!(wrong, expected, "{line}: {item:#}");
        assert_eq!(code, i32::from(state == "fail"), "{line}");
        let said = item["remedy"].as_str().unwrap_or_default();
        assert!(said.contains(remedy), "{line}: {remedy:?} is not in {item:#}");
        for (id, item) in lines.iter().filter(|(id, _)| skipped.contains(&id.as_str())) {
            let named = item["found"].as_str().unwrap().split("because of ").nth(1);
            assert_eq!(named, Some(line), "{id} names what is to be mended: {item:#}");
        }
    }

    /// With the organisation behaving otherwise.
    async fn org(&self, change: impl FnOnce(&mut Options), line: (&str, &str), remedy: &str, skipped: &[&str]) {
        let mut options = self.options.clone();
        change(&mut options);
        self.running.world.emulators.salesforce.with(|org| org.set_options(options));
        self.says(&[], line, remedy, skipped).await;
        self.running.world.emulators.salesforce.with(|org| org.set_options(self.options.clone()));
    }

    /// With the role of Marketo's API user permitting only these.
    async fn role(&self, permissions: &[&str], remedy: &str, skipped: &[&str]) {
        let emulators = &self.running.world.emulators;
        let full = Service::new(&emulators.marketo_client_id, &emulators.marketo_client_secret, "apis@acme.example");
        let permissions = permissions.iter().map(ToString::to_string).collect();
        emulators.marketo.with(|world| world.identity.add(Service { permissions, ..full.clone() }));
        self.says(&[], ("marketo_credentials", "fail"), remedy, skipped).await;
        emulators.marketo.with(|world| world.identity.add(full));
    }

    /// Reads that each vendor was sent.
    fn calls(&self) -> (u64, u64) {
        let emulators = &self.running.world.emulators;
        (emulators.marketo.with(|world| world.police.reads), emulators.salesforce.with(|org| org.counters.reads))
    }

    fn campaign_status(&self, label: &str, fields: &Value) {
        let campaign = self.running.world.campaign;
        self.running.world.emulators.salesforce.with(|org| {
            let of_campaign = org.find(Object::CampaignMemberStatus, "CampaignId", &Cell::Id(campaign));
            let id = of_campaign.into_iter().find(|row| row.text_of("Label") == label).unwrap().id;
            org.update(&org.as_person(), id, fields.as_object().unwrap()).unwrap();
        });
    }
}

on_both! {
    async fn before_anything_was_received_only_the_webhooks_are_looked_at(database: TestDatabase) {
        calm_only!("looks once");
        let checked = Checked::new(&database).await;
        let (code, lines) = checked.lines(&[]).await;
        let ids: Vec<&str> = lines.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, [&IDS[..], &["status"]].concat());
        for (id, item) in &lines {
            let expected = if id.ends_with("_webhooks") { "warn" } else { "ok" };
            assert_eq!(item["state"], expected, "{item:#}");
            assert_eq!(item["remedy"].is_null(), expected == "ok", "{item:#}");
        }
        assert_eq!(code, 0, "a warning is no failure");
        assert!(lines[15].1["remedy"].as_str().unwrap().contains("/webhooks/marketo"), "{lines:#?}");
        // The API answers the same, and a line of text says it too.
        let shown = checked.running.api.get("diagnostics").await.expect(200).json();
        let states = |items: Vec<&Value>| items.iter().map(|i| (i["id"].clone(), i["state"].clone())).collect::<Vec<_>>();
        assert_eq!(states(shown["items"].as_array().unwrap().iter().collect()), states(lines.iter().map(|(_, i)| i).collect()));
        // Many who look cost as much as one.
        let (marketo, salesforce) = checked.calls();
        let all = futures_util::future::join_all((0..20).map(|_| checked.running.api.get("diagnostics"))).await;
        assert!(all.into_iter().all(|answer| answer.expect(200).json()["items"].as_array().unwrap().len() == lines.len()));
        let (marketo_now, salesforce_now) = checked.calls();
        assert!(marketo_now - marketo <= 6 && salesforce_now - salesforce <= 10, "{marketo_now} {salesforce_now}");
        let (code, text) = run(command(&checked.running.world, &database, &["check"])).await;
        assert_eq!(code, 0);
        assert_eq!(text.lines().count(), lines.len());
        assert!(text.starts_with("ok    sync_enabled                   campaign sync is on\n"), "{text}");
        assert!(text.contains("\nwarn  marketo_webhooks               none was received yet"), "{text}");
    }

    async fn what_cannot_be_run_at_all_is_a_matter_of_configuration(database: TestDatabase) {
        let world = World::new().await;
        let check = || command(&world, &database, &["check"]);
        assert_eq!(run(check().set("salesforce.api_versoin", "60.0")).await.0, 2);
        assert_eq!(run(check().set("database.url", &format!("{}/nowhere", database.url))).await.0, 2);
        assert_eq!(run(check().set("salesforce.client_secret", "")).await.0, 2);
        // Without vendors it can be run, and says what to set.
        let (code, text) = run(Launch::campaign_sync(&["check"]).set("database.url", &database.url)).await;
        assert_eq!(code, 1);
        assert!(text.contains("fail  marketo_credentials            Marketo is not configured  set marketo.base_url"), "{text}");
        assert!(text.contains("fail  salesforce_credentials         Salesforce is not configured  set salesforce.login_url"), "{text}");
        assert!(text.contains("skip  campaign_access                cannot be told because of salesforce_credentials"), "{text}");
    }

    async fn each_broken_line_says_so_and_how_to_mend_it(database: TestDatabase) {
        calm_only!("looks once");
        let checked = Checked::new(&database).await;
        let (running, world) = (&checked.running, &checked.running.world);
        let emulators = &world.emulators;
        // The calls of a day are used up on purpose.
        world.excused.add(&["over_limit_calls", "calls_over_limit"]);
        running.world.marketo_person("Caller");
        world.set_in_marketo("Caller", "Registered");
        running.both_have("Caller", Some("Registered")).await;
        world.change_in_salesforce("Caller", "Attended");
        running.both_have("Caller", Some("Attended")).await;
        running.settle().await;
        let (code, lines) = checked.lines(&[]).await;
        assert!(lines.iter().all(|(_, item)| item["state"] == "ok") && code == 0, "{lines:#?}");
        let writes = world.writes();

        let switch = async |enabled: bool| {
            running.api.put("settings/campaign-sync", &json!({"enabled": enabled})).await.expect(200);
        };
        switch(false).await;
        checked.says(&[], ("sync_enabled", "fail"), "/settings/campaign-sync", &[]).await;
        switch(true).await;

        let of_marketo = ["marketo_quota", "native_sync", "status"];
        let line = ("marketo_credentials", "fail");
        checked.says(&[("marketo.client_secret", "wrong")], line, "LaunchPoint", &of_marketo).await;
        checked.says(&[("marketo.base_url", "http://127.0.0.1:9")], line, "marketo.base_url", &of_marketo).await;
        checked.role(&["Read-Only Assets", "Read-Only Lead"], "Read-Only Activity", &[]).await;
        checked.role(&["Read-Only Activity", "Read-Write Lead", "Read-Only Lead"], "Read-Only Assets", &["native_sync", "status"]).await;

        let all_but_version = [&OF_SALESFORCE[..], &["salesforce_quota"]].concat();
        let all = [&all_but_version[..], &["api_version"]].concat();
        let line = ("salesforce_credentials", "fail");
        checked.says(&[("salesforce.client_secret", "wrong")], line, "salesforce.client_secret", &all).await;
        checked.says(&[("salesforce.organization_id", "00D5w000004qGTOEA2")], line, "External Client App", &all).await;
        checked.says(&[("salesforce.login_url", "http://127.0.0.1:9")], line, "salesforce.login_url", &all).await;
        let version = |version: &'static str| [("salesforce.api_version", version)];
        checked.says(&version("29.0"), ("api_version", "fail"), "67.0", &all_but_version).await;
        checked.says(&version("50.0"), ("api_version", "warn"), "52.0", &[]).await;

        let fields = ["actual_cost_writable", "type_writable"];
        let named = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let shut = [&fields[..], &["campaign_access", "campaign_member_status_access", "status"]].concat();
        checked.org(|o| o.marketing_user = false, ("marketing_user", "fail"), "tick Marketing User", &shut).await;
        let fail = |line| (line, "fail");
        let access = "campaign_access";
        checked.org(|o| o.read_only_objects = named(&["Campaign"]), fail(access), "tick Create, Edit", &fields).await;
        let hidden = [&fields[..], &["status"]].concat();
        checked.org(|o| o.hidden_objects = named(&["Campaign"]), fail(access), "tick Read", &hidden).await;
        let access = "campaign_member_access";
        checked.org(|o| o.read_only_objects = named(&["CampaignMember"]), fail(access), "Create, Edit, Delete", &[]).await;
        checked.org(|o| o.hidden_objects = named(&["CampaignMember"]), fail(access), "tick Read", &[]).await;
        let access = "campaign_member_status_access";
        checked.org(|o| o.hidden_objects = named(&["CampaignMemberStatus"]), fail(access), "tick Read", &["status"]).await;
        checked.org(|o| o.read_only_objects = named(&["CampaignMemberStatus"]), (access, "warn"), "by hand", &[]).await;
        for hidden in [FieldAccess::Hidden, FieldAccess::ReadOnly] {
            checked.org(|o| o.actual_cost = hidden, fail("actual_cost_writable"), "Actual Cost > Set Field-Level", &[]).await;
        }
        checked.org(|o| o.read_only_fields = named(&["Campaign.Type"]), fail("type_writable"), "Set Field-Level", &[]).await;
        let call_channel = |name: &str| {
            emulators.marketo.with(|m| m.channels.values_mut().for_each(|channel| channel.name = name.to_owned()));
        };
        call_channel("Roadshow");
        checked.org(|o| o.restricted_type = true, ("type_writable", "warn"), "add Roadshow", &[]).await;
        call_channel("Webinar");
        checked.org(|o| o.read_only_objects = named(&["Lead"]), fail("lead_create"), "tick Read, Create", &[]).await;
        checked.org(|o| o.hidden_objects = named(&["Lead"]), fail("lead_create"), "tick Read", &[]).await;
        checked.org(|o| o.read_only_fields = named(&["Lead.Email"]), fail("lead_create"), "Edit for Email", &[]).await;
        checked.org(|o| o.required_lead_field = "Region__c".into(), fail("lead_create"), "Region__c", &[]).await;
        let external = [("salesforce.person_external_id_field", "Nobody__c")];
        checked.says(&external, fail("lead_create"), "External ID", &[]).await;
        let rules = ("duplicate_rules", "warn");
        checked.org(|o| o.duplicate_rule = DuplicateRule::Off, rules, "Activate", &[]).await;
        checked.org(|o| o.hidden_objects = named(&["DuplicateRule"]), rules, "View Setup", &[]).await;

        let marketo_used = |used: u64| emulators.marketo.with(|m| m.limits.set_used_today(m.now(), used));
        marketo_used(45_000);
        checked.says(&[], ("marketo_quota", "warn"), "daily_calls", &[]).await;
        marketo_used(50_000);
        checked.says(&[], fail("marketo_quota"), "mends itself", &["native_sync", "status"]).await;
        marketo_used(100);
        let salesforce_used = |used: u64| emulators.salesforce.with(|org| org.counters.used = used);
        salesforce_used(90_000);
        checked.says(&[], ("salesforce_quota", "warn"), "daily_share", &[]).await;
        salesforce_used(100_000);
        checked.says(&[], fail("salesforce_quota"), "mends itself", &OF_SALESFORCE).await;
        salesforce_used(100);

        let native = |campaign: Option<&str>| {
            emulators.marketo.with(|m| m.programs.values_mut().for_each(|p| p.sfdc_id = campaign.map(str::to_owned)));
        };
        native(Some("7014S00000097Hc"));
        checked.says(&[], fail("native_sync"), "Salesforce Campaign Sync", &[]).await;
        native(None);

        checked.says(&[("webhooks.marketo_tokens", "")], fail("marketo_webhooks"), "webhooks.marketo_tokens", &[]).await;
        checked.says(&[("webhooks.salesforce_secrets", "")], fail("salesforce_webhooks"), "salesforce_path_tokens", &[]).await;

        checked.campaign_status("Registered", &json!({"HasResponded": true}));
        checked.says(&[], ("status", "warn"), "Responded", &[]).await;
        checked.campaign_status("Registered", &json!({"HasResponded": false}));
        let rename = |from: &str, to: &str| {
            emulators.marketo.with(|m| {
                let channel = *m.channels.keys().next().unwrap();
                m.rename_status(channel, from, to).unwrap();
            });
        };
        rename("Registered", "Signed up");
        checked.says(&[], fail("status"), "give the mapping", &[]).await;
        rename("Signed up", "Registered");

        // What is moved forward or removed cannot be taken back, so these come last.
        emulators.clock.advance(20);
        checked.says(&[], ("clock_skew", "warn"), "timedatectl", &[]).await;
        emulators.clock.advance(100);
        checked.says(&[], fail("clock_skew"), "timedatectl", &[]).await;
        emulators.marketo.with(|m| m.delete_program(world.program));
        let (_, lines) = checked.lines(&[]).await;
        let (_, status) = lines.iter().find(|(id, _)| id == "status").unwrap();
        assert_eq!(status["state"], "fail", "{status:#}");
        assert!(status["found"].as_str().unwrap().contains("is not there"), "{status:#}");
        assert_eq!(world.writes(), writes, "looking changes nothing");
    }
}
