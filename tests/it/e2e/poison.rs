//! One record that spoils every call it is in: it alone stands still, with the vendor's words, and the others go on.
//!
//! Everybody of a company moves at once, and what one of them does to the calls is a fault that looks into path or body.

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use serde_json::{Value, json};

use crate::support::{TestDatabase, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{SOON, World, address};

/// People who move together.
const COMPANY: usize = 12;
/// The one of them who spoils it.
const POISON: usize = 7;

fn name(company: &str, n: usize) -> String {
    format!("{company}{n}")
}

fn names(company: &str) -> Vec<String> {
    (0..COMPANY).map(|n| name(company, n)).collect()
}

/// A company that both sides have as invited.
fn invite(world: &World, company: &str) {
    for name in names(company) {
        world.marketo_person(&name);
        world.add_in_salesforce(world.lead(&name), "Invited");
        world.set_in_marketo(&name, "Invited");
    }
}

fn answer(status: u16, body: impl ToString) -> Action {
    Action::Answer { status, content_type: "application/json".to_owned(), body: body.to_string() }
}

fn of_salesforce(code: &str) -> Action {
    answer(400, json!([{"errorCode": code, "message": "no"}]))
}

fn of_marketo(code: &str) -> Action {
    answer(200, json!({"requestId": "1#1", "success": false, "errors": [{"code": code, "message": "no"}]}))
}

fn page() -> Action {
    Action::Answer { status: 500, content_type: "text/html".to_owned(), body: "<h1>Oops</h1>".to_owned() }
}

/// Where somebody is met: in the body of a write, or in the path of a read.
#[derive(Clone, Copy)]
enum In {
    Body,
    Path,
}

impl Running {
    /// Every call that somebody is in ends like this, for good.
    fn spoil(&self, vendor: Vendor, (method, path): (&str, &str), place: In, id: &str, action: Action) {
        let (path, body) = match place {
            In::Body => (path.to_owned(), Some(id.to_owned())),
            In::Path => (id.to_owned(), None),
        };
        self.world.emulators.faults.add(Fault {
            method: Some(method.to_owned()),
            body_contains: body,
            times: u32::MAX,
            ..Fault::next(vendor, &path, action)
        });
    }

    /// What people do is heard while nothing is worked off, so that all of it becomes one batch.
    pub async fn at_once(&self, count: usize, act: impl Fn()) {
        self.api.post(&format!("mappings/{}/pause", self.mapping), &json!({})).await.expect(200);
        let heard = self.received().await;
        act();
        eventually("all to be received", SOON, async || {
            (self.received().await >= heard + i64::try_from(count).unwrap()).then_some(())
        })
        .await;
        self.api.post(&format!("mappings/{}/resume", self.mapping), &json!({})).await.expect(200);
    }

    /// Everybody but the one has this status on both sides.
    async fn the_others_have(&self, company: &str, status: &str) {
        let wanted = vec![status.to_owned()];
        eventually(&format!("the others of {company} to be {status}"), SOON, async || {
            let sides = [self.world.in_marketo(), self.world.in_salesforce()];
            let others = (0..COMPANY).filter(|n| *n != POISON).map(|n| name(company, n));
            others.clone().all(|name| sides.iter().all(|side| side.get(&name) == Some(&wanted))).then_some(())
        })
        .await;
    }

    /// The vendor's words to the one who is left, once it stands as it has to.
    async fn one_is_left(&self, company: &str, state: &str, reason: &str) -> Value {
        let one = name(company, POISON);
        self.has_state(&one, state, reason).await;
        self.settle().await;
        let left = self.outbox_left().await;
        let left = left.as_array().unwrap();
        assert_eq!(left.len(), 1, "{left:#?}");
        assert_eq!(left[0]["reason"], reason, "{left:#?}");
        left[0]["error"].clone()
    }

    /// The cause is gone, and somebody says: again.
    async fn mended(&self, company: &str, status: &str) {
        self.world.emulators.faults.clear();
        for change in self.outbox_left().await.as_array().unwrap() {
            self.api.post(&format!("changes/{}/retry", change["id"].as_str().unwrap()), &json!({})).await.expect(200);
        }
        self.both_have(&name(company, POISON), Some(status)).await;
        self.at_rest().await;
        for name in names(company) {
            assert_eq!((self.world.leads(&name), self.world.people(&name)), (1, 1), "{name}");
        }
    }
}

async fn started(database: &TestDatabase, companies: &[&str]) -> Running {
    let world = World::new().await;
    world.bystanders(4);
    companies.iter().for_each(|company| invite(&world, company));
    let launch = world.launch(database).set("sync.max_attempts", "4");
    Running::launch(world, launch).await
}

on_both! {
    async fn a_record_for_which_a_whole_write_is_refused_is_parked_alone(database: TestDatabase) {
        calm_only!("one fault at a time");
        let running = started(&database, &["Patched", "Large", "Marked"]).await;
        let move_in_marketo = async |company: &str| {
            running.at_once(COMPANY, || names(company).iter().for_each(|n| running.world.set_in_marketo(n, "Attended"))).await;
        };
        let collections = ("PATCH", "/composite/sobjects");

        let (id, _) = running.world.member_named(&name("Patched", POISON));
        running.spoil(Vendor::Salesforce, collections, In::Body, &id, of_salesforce("MALFORMED_ID"));
        move_in_marketo("Patched").await;
        running.the_others_have("Patched", "Attended").await;
        let error = running.one_is_left("Patched", "parked", "vendor_rejected").await;
        assert_eq!((&error["vendor"], &error["code"]), (&json!("salesforce"), &json!("MALFORMED_ID")));
        running.mended("Patched", "Attended").await;

        // Not even the vendor's own words.
        let (id, _) = running.world.member_named(&name("Large", POISON));
        running.spoil(Vendor::Salesforce, collections, In::Body, &id, answer(413, "too large"));
        move_in_marketo("Large").await;
        running.the_others_have("Large", "Attended").await;
        let error = running.one_is_left("Large", "parked", "vendor_rejected").await;
        assert!(error["message"].as_str().unwrap().contains("413"), "{error:#}");
        running.mended("Large", "Attended").await;

        let id = running.world.marketo_id(&name("Marked", POISON)).unwrap();
        let statuses = ("POST", "/members/status.json");
        running.spoil(Vendor::Marketo, statuses, In::Body, &format!("\"leadId\":{id}"), of_marketo("1003"));
        running.at_once(COMPANY, || {
            names("Marked").iter().for_each(|n| running.world.change_in_salesforce(n, "Attended"));
        })
        .await;
        running.the_others_have("Marked", "Attended").await;
        let error = running.one_is_left("Marked", "parked", "vendor_rejected").await;
        assert_eq!((&error["vendor"], &error["code"]), (&json!("marketo"), &json!("1003")));
        running.mended("Marked", "Attended").await;
    }

    async fn a_record_for_which_a_whole_write_never_ends_well_fails_alone(database: TestDatabase) {
        calm_only!("one fault at a time");
        let running = started(&database, &["Paged", "Dropped"]).await;
        for (company, action) in [("Paged", page()), ("Dropped", Action::Drop)] {
            let (id, _) = running.world.member_named(&name(company, POISON));
            running.spoil(Vendor::Salesforce, ("PATCH", "/composite/sobjects"), In::Body, &id, action);
            running.at_once(COMPANY, || {
                names(company).iter().for_each(|n| running.world.set_in_marketo(n, "Attended"));
            })
            .await;
            running.the_others_have(company, "Attended").await;
            let error = running.one_is_left(company, "failed", "attempts_exhausted").await;
            assert_eq!((&error["vendor"], &error["code"]), (&json!("salesforce"), &json!("unavailable")));
            running.mended(company, "Attended").await;
        }
    }

    async fn a_record_that_cannot_be_read_keeps_nobody_from_being_read(database: TestDatabase) {
        calm_only!("one fault at a time");
        let running = started(&database, &["Refused", "Garbled", "Compared"]).await;
        for (company, action, state, reason) in [
            ("Refused", of_marketo("1003"), "parked", "vendor_rejected"),
            ("Garbled", page(), "failed", "attempts_exhausted"),
        ] {
            let id = running.world.marketo_id(&name(company, POISON)).unwrap();
            running.spoil(Vendor::Marketo, ("GET", ""), In::Path, &id.to_string(), action);
            running.at_once(COMPANY, || {
                names(company).iter().for_each(|n| running.world.set_in_marketo(n, "Attended"));
            })
            .await;
            running.the_others_have(company, "Attended").await;
            let error = running.one_is_left(company, state, reason).await;
            assert_eq!(error["vendor"], "marketo", "{error:#}");
            running.mended(company, "Attended").await;
        }

        // A comparison finds all of them, and goes on without the one.
        running.deaf();
        let id = running.world.marketo_id(&name("Compared", POISON)).unwrap();
        running.spoil(Vendor::Marketo, ("GET", ""), In::Path, &id.to_string(), of_marketo("1003"));
        names("Compared").iter().for_each(|n| running.world.set_in_marketo(n, "Attended"));
        let run = running.begin_run().await;
        let run = running.completes(&run).await;
        assert_eq!(run["counts"]["set_apart"], 1, "{run:#}");
        running.the_others_have("Compared", "Attended").await;
        running.has_state(&name("Compared", POISON), "parked", "vendor_rejected").await;
        running.world.emulators.faults.clear();
        running.world.set_in_marketo(&name("Compared", POISON), "Registered");
        running.reconcile().await;
    }

    async fn a_person_who_cannot_be_created_keeps_nobody_from_being_created(database: TestDatabase) {
        calm_only!("one fault at a time");
        let running = started(&database, &[]).await;
        for (company, action, state, reason) in [
            ("Barred", of_salesforce("JSON_PARSER_ERROR"), "parked", "vendor_rejected"),
            ("Broken", page(), "failed", "attempts_exhausted"),
        ] {
            names(company).iter().for_each(|name| _ = running.world.marketo_person(name));
            let email = address(&name(company, POISON));
            running.spoil(Vendor::Salesforce, ("POST", "/composite/sobjects"), In::Body, &email, action);
            running.at_once(COMPANY, || {
                names(company).iter().for_each(|n| running.world.set_in_marketo(n, "Invited"));
            })
            .await;
            running.the_others_have(company, "Invited").await;
            running.one_is_left(company, state, reason).await;
            assert_eq!(running.world.leads(&name(company, POISON)), 0);
            running.mended(company, "Invited").await;
        }
    }

    async fn a_name_that_no_database_keeps_keeps_nobody_from_being_recorded(database: TestDatabase) {
        let running = started(&database, &[]).await;
        names("Plain").iter().for_each(|name| _ = running.world.marketo_person(name));
        running.world.marketo_person_with("Nu\0l", "nul@people.example");
        running.at_once(COMPANY + 1, || {
            names("Plain").iter().for_each(|n| running.world.set_in_marketo(n, "Invited"));
            running.world.set_in_marketo("Nu\0l", "Invited");
        })
        .await;
        eventually("everybody to be there", SOON, async || {
            let side = running.world.in_salesforce();
            let all = names("Plain").iter().all(|name| side.contains_key(name)) && side.contains_key("Nu\u{fffd}l");
            all.then_some(())
        })
        .await;
        running.settle().await;
        assert_eq!(running.world.leads("Nu\u{fffd}l"), 1);
    }
}
