//! Accounts that are campaign members: nobody is behind them, so that they stay as they are, and are shown with the reason.

use std::collections::BTreeSet;

use campaign_sync::sandbox::salesforce::{Id, Object, Webhooks};
use serde_json::{Value, json};

use crate::support::{eventually, on_both};

use super::comparison::reconcile;
use super::running::Running;
use super::webhooks::deliver;
use super::world::{SOON, World};

/// An organisation in which accounts can be members, and eight people who agree.
async fn world_with_accounts() -> World {
    let world = World::new().await;
    world.set_options(|options| options.accounts_as_members = true);
    world.bystanders(8);
    world
}

impl World {
    fn account(&self, name: &str) -> Id {
        self.emulators.salesforce.with(|org| org.add_account(name).unwrap())
    }

    /// Leads, contacts, and people in Marketo.
    fn heads(&self) -> (usize, usize, usize) {
        let (leads, contacts) =
            self.emulators.salesforce.with(|org| (org.count(Object::Lead), org.count(Object::Contact)));
        (leads, contacts, self.emulators.marketo.with(|world| world.people.iter().count()))
    }
}

impl Running {
    /// Members that are accounts, as a user asks for them.
    async fn accounts(&self) -> Vec<Value> {
        let path = format!("mappings/{}/members?reason=unsupported_account", self.mapping);
        self.api.get(&path).await.expect(200).json()["data"].as_array().unwrap().clone()
    }

    async fn bridge(&self) -> Value {
        self.api.get(&format!("mappings/{}", self.mapping)).await.expect(200).json()["bridge"].clone()
    }

    /// What is told of one record of Salesforce.
    async fn told_of_account(&self, record: &Id) -> Vec<String> {
        let events = self.all_events().await;
        let of_record = events.iter().filter(|event| event["data"]["person"]["salesforce_id"] == json!(record));
        of_record
            .map(|event| {
                let data = &event["data"];
                assert_eq!(data["person"]["salesforce_type"], "Account", "{event:#}");
                let text = |name: &str| data[name].as_str().unwrap_or("-").to_owned();
                ["old_status", "new_status", "origin", "detected_by"].map(text).join(" ")
            })
            .collect()
    }
}

on_both! {
    async fn accounts_as_members_stay_as_they_are_and_are_shown(database: TestDatabase) {
        let world = world_with_accounts().await;
        let account = world.account("Globex");
        let row = world.add_in_salesforce(account, "Registered");
        let heads = world.heads();
        let running = Running::start(world, &database).await;
        let world = &running.world;
        let shown = running.accounts().await;
        assert_eq!(shown.len(), 1, "{shown:#?}");
        let member = &shown[0];
        assert_eq!(member["person"], json!({"marketo_id": null, "salesforce_id": account, "salesforce_type": "Account", "email": null}));
        for (field, value) in [
            ("marketo_status", Value::Null), ("salesforce_status", json!("Registered")), ("base", Value::Null),
            ("campaign_member_id", json!(row)), ("sync_state", json!("parked")),
        ] {
            assert_eq!(member[field], value, "{field}");
        }
        assert_eq!(running.bridge().await, json!({
            "marketo_members": 8, "salesforce_members": 9, "in_sync": 8,
            "only_marketo": {}, "only_salesforce": {"unsupported_account": 1}, "different": {},
        }));
        let id = member["id"].as_str().unwrap();
        let explained = running.api.get(&format!("members/{id}/explain")).await.expect(200).json();
        assert_eq!((&explained["rule"], &explained["next"]), (&json!("3"), &Value::Null));
        assert_eq!(explained["to_change"], "use a lead or contact; accounts are not synced");
        for winner in ["marketo", "salesforce"] {
            let refused = running.api.post(&format!("members/{id}/resolve"), &json!({"winner": winner})).await.expect(409).json();
            assert_eq!(refused["code"], "nothing-to-resolve");
        }
        assert!(running.all_events().await.is_empty(), "it was there before");

        // As it is edited, and another one comes: told of and left, also with a status that the program does not have.
        world.emulators.salesforce.with(|org| org.add_status(world.campaign, "Sponsor", false).unwrap());
        let other = world.account("Initech");
        let joined = world.add_in_salesforce(other, "Invited");
        world.emulators.salesforce.with(|org| org.set_member_status(row, "Sponsor").unwrap());
        eventually("both accounts", SOON, async || (running.accounts().await.len() == 2 && running.told_of_account(&account).await.len() == 1).then_some(())).await;
        running.settle().await;
        assert_eq!(running.told_of_account(&account).await, ["Registered Sponsor salesforce webhook"]);
        assert_eq!(running.told_of_account(&other).await, ["- Invited salesforce webhook"]);
        let held = running.api.get("changes?state=parked").await.expect(200).json();
        let held = held["data"].as_array().unwrap();
        assert!(held.iter().all(|change| change["reason"] == "unsupported_account"), "{held:#?}");
        let about: BTreeSet<_> = held.iter().map(|change| change["subject"].as_str().unwrap()).collect();
        let [one, two] = [row, joined].map(|member| format!("member:{member}"));
        assert!(about.is_superset(&[one.as_str(), two.as_str()].into()), "{about:?}");
        running.ledger_balances().await;

        // Compared, planned, decided by other policies: nothing is done about them.
        running.comes_to_rest().await;
        let plan = running.api.post(&format!("mappings/{}/plan", running.mapping), &Value::Null).await.expect(201).json();
        let path = format!("plans/{}", plan["id"].as_str().unwrap());
        let plan = eventually("the plan", SOON, async || {
            Some(running.api.get(&path).await.expect(200).json()).filter(|plan| plan["state"] == "ready")
        }).await;
        let nothing: i64 = ["add_to_salesforce", "add_to_marketo", "remove_from_salesforce", "remove_from_marketo", "change_in_salesforce", "change_in_marketo", "people_to_create"]
            .iter().map(|what| plan["counts"][what].as_i64().unwrap()).sum();
        assert_eq!((nothing, &plan["counts"]["held"]), (0, &json!(2)), "{plan:#}");
        let sponsor = world.status_id("Sponsor");
        world.emulators.salesforce.with(|org| {
            org.set_member_status(row, "Registered").unwrap();
            org.atomically(|org| org.delete(&org.as_person(), sponsor)).unwrap();
        });
        for policies in [json!({"direction": "marketo_to_salesforce"}), json!({"direction": "observe"}), json!({"direction": "both", "gate": ["Attended"]})] {
            running.api.patch(&format!("mappings/{}", running.mapping), &json!({"policies": policies})).await.expect(200);
            running.runs_end().await;
            running.settle().await;
            assert_eq!(running.accounts().await.len(), 2, "{policies}");
        }

        // Taken out by hand, it is gone here too.
        world.emulators.salesforce.with(|org| org.delete_member(joined).unwrap());
        eventually("one account", SOON, async || (running.accounts().await.len() == 1).then_some(())).await;
        assert_eq!(running.told_of_account(&other).await, ["- Invited salesforce webhook", "Invited - salesforce webhook"]);
        // Who is in no campaign is a person; what is in one may be an account.
        let listed = async |member: bool| {
            let rows = running.api.get(&format!("campaign-members?member={member}&limit=500")).await.expect(200).json();
            let is_account = |row: &&Value| row["person"]["salesforce_type"] == "Account";
            rows["data"].as_array().unwrap().iter().filter(is_account).count()
        };
        assert_eq!((listed(true).await, listed(false).await), (1, 0));
        running.comes_to_rest().await;
        assert_eq!((world.writes(), world.heads()), ((0, 0), heads));
        assert_eq!(world.emulators.salesforce.with(|org| org.members(world.campaign).len()), 9);
        let bridge = running.bridge().await;
        assert_eq!((&bridge["salesforce_members"], &bridge["only_salesforce"]), (&json!(9), &json!({"unsupported_account": 1})));
        running.ledger_balances().await;

        // The command counts them, and has nothing to complain of.
        let Running { world, service, mapping, api: _ } = running;
        service.terminate().await;
        for (args, says) in [(&["--dry-run", mapping.as_str()][..], "(unsupported_account)"), (&[mapping.as_str()], "0 still differ, 1 are never synced (unsupported_account 1)")] {
            let (code, out, err) = reconcile(&world, &database, args).await;
            assert_eq!(code, 0, "{out}{err}");
            assert!(out.contains(says), "{out}");
        }
    }

    async fn accounts_are_met_by_polls_and_by_bare_ids_and_when_they_may_not_be_seen(database: TestDatabase) {
        let world = world_with_accounts().await;
        let launch = world.polled(&database);
        let running = Running::launch(world, launch).await;
        let world = &running.world;
        // A record of which nothing but the id is told.
        world.emulators.salesforce.set_webhooks(Webhooks::default());
        let bare = world.account("Bare");
        let bare_row = world.add_in_salesforce(bare, "Invited");
        let told = json!({"object": "CampaignMember", "operation": "insert", "records": [{"Id": bare_row}]});
        assert_eq!(deliver(&running, "bare", &told).await["accepted"], true);
        eventually("the bare one", SOON, async || (running.accounts().await.len() == 1).then_some(())).await;
        // Nothing is told at all.
        let polled = world.account("Polled");
        let row = world.add_in_salesforce(polled, "Invited");
        eventually("the polled one", SOON, async || (running.accounts().await.len() == 2).then_some(())).await;
        assert_eq!(running.told_of_account(&polled).await, ["- Invited salesforce poll"]);
        world.emulators.salesforce.with(|org| org.delete_member(row).unwrap());
        eventually("its end", SOON, async || (running.accounts().await.len() == 1).then_some(())).await;
        running.settle().await;
        // Which account it is is hidden from our user: the row has to do for its name.
        world.set_options(|options| options.hidden_fields = vec!["CampaignMember.AccountId".to_owned()]);
        let told = json!({"object": "CampaignMember", "operation": "update", "records": [{"Id": bare_row, "CampaignId": world.campaign}]});
        assert_eq!(deliver(&running, "unseen", &told).await["accepted"], true);
        eventually("the look that shows nothing", SOON, async || {
            let changes = running.api.get("changes?limit=500").await.expect(200).json();
            let looked = |change: &Value| change["subject"] == format!("member:{bare_row}") && change["attempts"].as_i64() > Some(1);
            changes["data"].as_array().unwrap().iter().any(looked).then_some(())
        })
        .await;
        let hidden = world.account("Hidden");
        let row = world.add_in_salesforce(hidden, "Invited");
        // The other one cannot be read until it is met under its new name, and is not taken for gone meanwhile.
        eventually("the hidden one", SOON, async || running.accounts().await.iter().any(|member| member["campaign_member_id"] == json!(row)).then_some(())).await;
        running.comes_to_rest().await;
        let shown = running.accounts().await;
        let known: Vec<_> = shown.iter().map(|member| (&member["person"]["salesforce_id"], &member["campaign_member_id"])).collect();
        assert!(known.contains(&(&json!(row), &json!(row))), "{known:?}");
        assert!(shown.iter().all(|member| member["person"]["salesforce_type"] == "Account"), "{shown:#?}");
        assert_eq!(running.bridge().await["only_salesforce"], json!({"unsupported_account": 2}));
        // Polls run beside webhooks: either may have been first.
        let told = running.told_of_account(&bare).await;
        let joined = ["- Invited salesforce webhook", "- Invited salesforce poll"].map(str::to_owned);
        assert!(told.len() == 1 && joined.contains(&told[0]), "whom we may not see has not left: {told:?}");
        assert_eq!(world.writes(), (0, 0));
        running.ledger_balances().await;
    }
}
