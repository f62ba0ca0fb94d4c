//! Vendors that misbehave: late, wrong, lost and refused answers end with both sides equal, or with a reason.

use std::time::Duration;

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::salesforce::{Cell, Object};
use serde_json::{Value, json};

use crate::support::{Api, eventually, on_both};

use super::running::Running;
use super::world::{SOON, address};

/// An answer in the vendor's place.
fn answer(status: u16, content_type: &str, body: impl ToString) -> Action {
    Action::Answer { status, content_type: content_type.to_owned(), body: body.to_string() }
}

fn html() -> Action {
    answer(503, "text/html", "<html><body><h1>Be right back</h1></body></html>")
}

fn json_answer(body: &Value) -> Action {
    answer(200, "application/json", body)
}

impl Running {
    /// Faults for the next calls of a path, which have to be met.
    pub fn fault(&self, vendor: Vendor, method: &str, path: &str, times: u32, action: Action) {
        let fault = Fault { method: Some(method.to_owned()), times, ..Fault::next(vendor, path, action) };
        self.world.emulators.faults.add(fault);
    }

    /// One change on each side, which has to arrive whatever was prepared, with one event each and nobody made twice.
    async fn arrives_anyway(&self, name: &str) {
        let (from_marketo, from_salesforce) = (format!("{name}InMarketo"), format!("{name}InSalesforce"));
        self.world.marketo_person(&from_marketo);
        self.world.set_in_marketo(&from_marketo, "Registered");
        self.world.add_in_salesforce(self.world.lead(&from_salesforce), "Registered");
        self.both_have(&from_marketo, Some("Registered")).await;
        self.both_have(&from_salesforce, Some("Registered")).await;
        eventually("the faults to be met", SOON, async || {
            self.world.emulators.faults.waiting().is_empty().then_some(())
        })
        .await;
        self.at_rest().await;
        assert_eq!(self.transitions_of(&from_marketo).await, ["- Registered"]);
        assert_eq!(self.transitions_of(&from_salesforce).await, ["- Registered"]);
        for name in [&from_marketo, &from_salesforce] {
            assert_eq!((self.world.leads(name), self.world.people(name)), (1, 1), "{name}");
        }
    }
}

on_both! {
    async fn an_error_page_is_not_an_answer(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.fault(Vendor::Salesforce, "GET", "/query", 3, html());
        running.fault(Vendor::Salesforce, "POST", "/composite/sobjects", 2, html());
        running.fault(Vendor::Marketo, "GET", "/rest/v1/leads", 2, html());
        running.fault(Vendor::Marketo, "POST", "/members/status.json", 2, answer(200, "text/html", "<html></html>"));
        running.arrives_anyway("Page").await;
    }

    async fn an_answer_is_lost_after_the_write_was_applied(database: TestDatabase) {
        let running = Running::new(&database).await;
        // The lead, the member, the person, the program member: each arrives, and nobody says so.
        running.fault(Vendor::Salesforce, "POST", "/composite/sobjects", 2, Action::AppliedButLost);
        running.fault(Vendor::Marketo, "POST", "/rest/v1/leads.json", 1, Action::AppliedButLost);
        running.fault(Vendor::Marketo, "POST", "/members/status.json", 1, Action::AppliedButLost);
        running.arrives_anyway("Lost").await;

        running.fault(Vendor::Salesforce, "PATCH", "/composite/sobjects", 1, Action::AppliedButLost);
        running.world.set_in_marketo("LostInMarketo", "Attended");
        running.both_have("LostInMarketo", Some("Attended")).await;
        running.fault(Vendor::Salesforce, "DELETE", "/composite/sobjects", 1, Action::AppliedButLost);
        running.world.set_in_marketo("LostInMarketo", "Not in Program");
        running.both_have("LostInMarketo", None).await;
        running.fault(Vendor::Marketo, "POST", "/members/delete.json", 1, Action::AppliedButLost);
        running.world.remove_in_salesforce("LostInSalesforce");
        running.both_have("LostInSalesforce", None).await;
        running.at_rest().await;
        assert_eq!(
            running.transitions_of("LostInMarketo").await,
            ["- Registered", "Registered Attended", "Attended -"]
        );
        assert_eq!(running.transitions_of("LostInSalesforce").await, ["- Registered", "Registered -"]);
    }

    async fn an_answer_ends_in_the_middle(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.fault(Vendor::Salesforce, "GET", "/query", 2, Action::Truncate { bytes: 40 });
        running.fault(Vendor::Salesforce, "POST", "/composite/sobjects", 2, Action::Truncate { bytes: 10 });
        running.fault(Vendor::Marketo, "POST", "/members/status.json", 1, Action::Drop);
        running.fault(Vendor::Marketo, "GET", "/rest/v1/leads", 1, answer(200, "application/json", ""));
        running.arrives_anyway("Cut").await;
    }

    async fn tokens_run_out(database: TestDatabase) {
        let running = Running::new(&database).await;
        let control = Api::new(&running.world.emulators.control_url);
        // A client learns of it by a call.
        running.world.excused.add(&["dead_tokens"]);
        control.post("/salesforce/tokens/expire", &json!({})).await.expect(200);
        running.world.emulators.marketo.with(|world| world.identity.expire_all(world.now()));
        running.arrives_anyway("Expired").await;
        let code = |code: &str| json_answer(&json!({"requestId": "1", "success": false, "errors": [{"code": code, "message": "Access token invalid"}]}));
        running.fault(Vendor::Marketo, "POST", "/members/status.json", 1, code("601"));
        running.fault(Vendor::Marketo, "GET", "/rest/v1/leads", 1, code("602"));
        running.arrives_anyway("Refused").await;
    }

    async fn marketo_has_enough(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.world.excused.add(&["over_limit_calls"]);
        running.world.emulators.marketo.with(|world| {
            (world.options.rate_limit, world.options.rate_window_seconds) = (Some(2), 1);
        });
        for n in 0..3 {
            running.world.marketo_person(&format!("Paced{n}"));
            running.world.set_in_marketo(&format!("Paced{n}"), "Registered");
            running.world.add_in_salesforce(running.world.lead(&format!("Pushed{n}")), "Registered");
        }
        eventually("the limit to be met", SOON, async || {
            running.world.emulators.marketo.with(|world| world.police.errors_by_code.contains_key(&606)).then_some(())
        })
        .await;
        running.world.emulators.marketo.with(|world| world.options.rate_limit = Some(20));
        running.both_hold("all who came", |side| side.len() == 14).await;
        running.world.emulators.marketo.with(|world| world.options.rate_limit = None);
        running.at_rest().await;
        for n in 0..3 {
            assert_eq!(running.transitions_of(&format!("Paced{n}")).await, ["- Registered"]);
        }
    }

    async fn a_row_is_locked(database: TestDatabase) {
        let running = Running::new(&database).await;
        let locked = json!([{"success": false, "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain exclusive access to this record", "fields": []}]}]);
        running.fault(Vendor::Salesforce, "PATCH", "/composite/sobjects", 3, json_answer(&locked));
        running.world.set_in_marketo("Bystander0", "Attended");
        running.both_have("Bystander0", Some("Attended")).await;
        running.at_rest().await;
        assert_eq!(running.transitions_of("Bystander0").await, ["Registered Attended"]);
    }

    async fn salesforce_has_that_person_already(database: TestDatabase) {
        let running = Running::new(&database).await;
        let lead = running.world.lead("Duplicate");
        running.world.marketo_person("Duplicate");
        // The search does not see the lead yet, as when its index lags behind; the duplicate rule does.
        let nobody = json!({"totalSize": 0, "done": true, "records": []});
        running.fault(Vendor::Salesforce, "GET", "FROM+Lead+WHERE+Email", 1, json_answer(&nobody));
        running.world.set_in_marketo("Duplicate", "Registered");
        running.both_have("Duplicate", Some("Registered")).await;
        running.at_rest().await;
        assert!(running.world.emulators.faults.waiting().is_empty(), "the search was not as expected");
        let refused = running.world.emulators.salesforce.with(|org| org.counters.errors.get("DUPLICATES_DETECTED").copied());
        // Once among others, and once alone: only then Salesforce says whom it found.
        assert_eq!(refused, Some(2));
        assert_eq!((running.world.leads("Duplicate"), running.world.people("Duplicate")), (1, 1));
        assert_eq!(running.world.lead_named("Duplicate"), lead);
        assert_eq!(running.events_of("Duplicate").await, ["- Registered marketo write"]);
    }

    async fn a_status_is_taken_away_behind_our_back(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.world.marketo_person("Stranded");
        running.world.emulators.salesforce.with(|org| {
            let of_campaign = org.find(Object::CampaignMemberStatus, "CampaignId", &Cell::Id(running.world.campaign));
            let attended = of_campaign.filter(|row| row.text_of("Label") == "Attended").map(|row| row.id).next();
            org.rename_status(attended.unwrap(), "Was there").unwrap();
        });
        running.world.set_in_marketo("Stranded", "Attended");
        let parked = ("parked".to_owned(), "incompatible_status".to_owned());
        eventually("the member to be parked", Duration::from_secs(30), async || {
            let members = running.members().await;
            let there = members["data"].as_array().unwrap().iter().any(|m| m["person"]["email"] == address("Stranded"));
            (there && running.state_of(&address("Stranded")).await == parked).then_some(())
        })
        .await;
        running.settle().await;
        assert_eq!(running.world.in_salesforce().get("Stranded"), None);
        let coerced = running.world.emulators.salesforce.with(|org| org.counters.misuse.coerced_statuses);
        assert_eq!(coerced, 0, "a status that is not there was sent");
        assert!(running.events_of("Stranded").await.is_empty());
    }
}
