//! What of a program its campaign shows and never leads: the channel as type, the period costs as actual cost.

use campaign_sync::sandbox::marketo::Cost;
use campaign_sync::sandbox::salesforce::{Cell, FieldAccess, Object};
use serde_json::{Value, json};

use crate::support::{Api, TestDatabase, eventually, on_both, patience};

use super::running::Running;
use super::world::{SOON, TOKEN, World};

fn cost(month: i8, cost: i32) -> Cost {
    Cost { start_date: jiff::civil::date(2026, month, 1), cost, note: None }
}

impl World {
    fn set_costs(&self, costs: Vec<Cost>) {
        self.emulators.marketo.with(|world| world.programs.get_mut(&self.program).unwrap().costs = costs);
    }

    pub fn set_options(&self, change: impl FnOnce(&mut campaign_sync::sandbox::salesforce::Options)) {
        self.emulators.salesforce.with(|org| {
            let mut options = org.options.clone();
            change(&mut options);
            org.set_options(options);
        });
    }

    /// Type and actual cost of the campaign.
    fn fields(&self) -> (String, Option<f64>) {
        self.emulators.salesforce.with(|org| {
            let row = org.row(self.campaign).unwrap();
            let cost = if let Cell::Number(cost) = row.get("ActualCost") { Some(*cost) } else { None };
            (row.text_of("Type").to_owned(), cost)
        })
    }

    /// A salesperson enters something.
    fn set_field(&self, name: &str, value: &Value) {
        let fields = json!({ name: value }).as_object().unwrap().clone();
        self.emulators.salesforce.with(|org| {
            let person = org.as_person();
            let fields = fields.into_iter().collect();
            org.update(&person, self.campaign, &fields).unwrap();
        });
    }
}

impl Running {
    /// A service that looks at programs and campaigns every second.
    async fn looking_often(world: World, database: &TestDatabase) -> Self {
        let launch = world.launch(database).set("sync.reconcile_interval", "1s");
        Self::launch(world, launch).await
    }

    async fn shows(&self, campaign_type: &str, cost: Option<f64>) {
        let mut fields = None;
        let wanted = (campaign_type.to_owned(), cost);
        let asked = eventually("type and cost", SOON * 2, async || {
            fields = Some(self.world.fields());
            (fields.as_ref() == Some(&wanted)).then_some(())
        });
        let within = tokio::time::timeout(patience(SOON), asked).await;
        assert!(within.is_ok(), "{fields:?} and not {wanted:?}");
    }

    /// Codes of the warnings of the mapping.
    pub async fn warnings(&self) -> Vec<String> {
        let mapping = self.api.get(&format!("mappings/{}", self.mapping)).await.expect(200).json();
        let warnings = mapping["warnings"].as_array().unwrap().iter();
        warnings.map(|warning| warning["code"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn warns_of(&self, codes: &[&str]) {
        eventually(&format!("warnings {codes:?}"), SOON, async || (self.warnings().await == codes).then_some(())).await;
    }

    /// Marketo says that the program has changed.
    pub async fn program_changed(&self) {
        let hook = Api::new(self.service.url()).with_key(TOKEN);
        let body = json!({"v": 1, "event": "program.changed", "programId": self.world.program});
        let answer = hook.post("/webhooks/marketo", &body).await.expect(200).json();
        assert_eq!(answer, json!({"accepted": true, "events": 1}));
    }
}

on_both! {
    async fn channel_and_costs_are_written_when_mapped_and_when_the_program_changes(database: TestDatabase) {
        let world = World::new().await;
        world.set_field("Type", &json!("Other"));
        world.set_costs(vec![cost(1, 1500), cost(2, 1000)]);
        let running = Running::start(world, &database).await;
        assert_eq!(running.world.fields(), ("Webinar".to_owned(), Some(2500.0)));
        assert!(running.warnings().await.is_empty());

        running.world.set_costs(vec![cost(1, 1500), cost(2, 1000), cost(3, 1)]);
        running.program_changed().await;
        running.shows("Webinar", Some(2501.0)).await;
        // Cleared costs empty the field that they came to.
        running.world.set_costs(Vec::new());
        running.program_changed().await;
        running.shows("Webinar", None).await;
        running.settle().await;

        // Written only when different: a look changes nothing, and Marketo's side is never written to.
        let writes = running.world.writes();
        running.program_changed().await;
        running.settle().await;
        running.reconcile().await;
        assert_eq!(running.world.writes(), writes);
        assert!(running.world.emulators.marketo.with(|m| m.programs[&running.world.program].costs.is_empty()));
        let audit = running.api.get("audit?limit=500").await.expect(200).json();
        let written: Vec<_> = audit["data"].as_array().unwrap().iter().filter(|row| row["action"] == "campaign.fields_written").collect();
        assert_eq!(written.len(), 3, "{audit:#}");
    }

    async fn they_are_put_right_on_a_schedule_and_never_go_back(database: TestDatabase) {
        let world = World::new().await;
        world.set_costs(vec![cost(1, 900)]);
        world.set_options(|options| options.currency_scale = 2);
        let running = Running::looking_often(world, &database).await;
        running.shows("Webinar", Some(900.0)).await;
        running.world.set_field("ActualCost", &json!(899.99));
        running.world.set_field("Type", &json!("Email"));
        running.shows("Webinar", Some(900.0)).await;
        let costs = running.world.emulators.marketo.with(|m| m.programs[&running.world.program].costs.clone());
        assert_eq!(costs, [cost(1, 900)]);
        // Nobody has told the service of this one.
        running.world.set_costs(vec![cost(1, 1200)]);
        running.shows("Webinar", Some(1200.0)).await;
    }

    async fn an_amount_that_a_person_entered_stays_while_the_program_has_no_costs(database: TestDatabase) {
        let world = World::new().await;
        world.set_field("ActualCost", &json!(700));
        let running = Running::start(world, &database).await;
        running.program_changed().await;
        running.settle().await;
        assert_eq!(running.world.fields(), ("Webinar".to_owned(), Some(700.0)));
    }

    async fn a_restricted_picklist_without_the_channel_is_a_warning(database: TestDatabase) {
        let world = World::new().await;
        world.set_field("Type", &json!("Other"));
        world.set_costs(vec![cost(1, 50)]);
        world.emulators.marketo.with(|m| {
            let channel = m.channels.values_mut().find(|channel| channel.name == "Webinar").unwrap();
            channel.name = "Roadshow".to_owned();
        });
        world.set_options(|options| options.restricted_type = true);
        let running = Running::looking_often(world, &database).await;
        // The other field is written all the same, and so are the members.
        assert_eq!(running.world.fields(), ("Other".to_owned(), Some(50.0)));
        assert_eq!(running.warnings().await, ["type-not-in-picklist"]);
        running.world.marketo_person("Warned");
        running.world.set_in_marketo("Warned", "Registered");
        running.both_have("Warned", Some("Registered")).await;
        let refused = |r: &Running| r.world.emulators.salesforce.with(|org| org.counters.errors.len());
        assert_eq!(refused(&running), 0, "a value was sent that the picklist does not have");
        running.world.set_options(|options| options.restricted_type = false);
        running.shows("Roadshow", Some(50.0)).await;
        running.warns_of(&[]).await;
    }

    async fn a_field_that_is_hidden_or_locked_is_a_warning(database: TestDatabase) {
        let world = World::new().await;
        world.set_costs(vec![cost(1, 50)]);
        world.set_options(|options| options.actual_cost = FieldAccess::Hidden);
        let running = Running::looking_often(world, &database).await;
        assert_eq!(running.warnings().await, ["cost-not-writable"]);
        running.world.set_options(|options| options.actual_cost = FieldAccess::ReadOnly);
        running.world.marketo_person("Hidden");
        running.world.set_in_marketo("Hidden", "Registered");
        running.both_have("Hidden", Some("Registered")).await;
        assert_eq!(running.warnings().await, ["cost-not-writable"]);
        assert_eq!(running.world.fields().1, None);
        running.world.set_options(|options| options.actual_cost = FieldAccess::Writable);
        running.shows("Webinar", Some(50.0)).await;
        running.warns_of(&[]).await;
    }

    async fn nothing_is_written_to_a_campaign_that_is_only_observed(database: TestDatabase) {
        let world = World::new().await;
        world.set_field("Type", &json!("Other"));
        world.set_costs(vec![cost(1, 50)]);
        let policies = json!({"policies": {"direction": "observe"}});
        let running = Running::mapped(world, &database, &policies).await;
        assert_eq!(running.world.fields(), ("Other".to_owned(), None));
        assert_eq!(running.world.writes(), (0, 0));
        let path = format!("mappings/{}", running.mapping);
        let answer = running.api.patch(&path, &json!({"policies": {"direction": "both"}})).await.expect(200).json();
        assert!(answer["run_id"].is_string());
        running.shows("Webinar", Some(50.0)).await;
        assert_eq!(running.world.emulators.salesforce.with(|org| org.count(Object::Campaign)), 1);
    }
}
