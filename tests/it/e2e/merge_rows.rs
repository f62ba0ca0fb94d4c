//! The rows of the decision table under each policy and direction: what people do on both sides, and what comes of it.
//!
//! The columns are those of `rows`. `live`, `first_sync` and `mapping_life` show the same one member at a time, as it happens;
//! `merge_people` has merged, converted and deleted people.

use serde_json::{Value, json};

use crate::support::{eventually, on_both};

use super::rows::lines;
use super::running::Running;
use super::world::{SOON, World};

on_both! {
    async fn both_ways_with_the_default_policies(database: TestDatabase) {
        let rows = lines("
            1   | NeverMind | -          | Invited>- Invited>-              | - -                   | closed     |
            2   | Joins     | -          | Registered -                     | Registered Registered | in_sync    | - Registered marketo
            3   | Added     | -          | - Registered                     | Registered Registered | in_sync    | - Registered salesforce
            4   | Agrees    | -          | Registered Registered            | Registered Registered | in_sync    | - Registered salesforce
            5C  | Ahead     | -          | Attended Invited                 | Attended Attended     | in_sync    | - Invited salesforce, Invited Attended marketo
            5C  | Behind    | -          | Invited Attended                 | Attended Attended     | in_sync    | - Attended salesforce
            6   | Back      | Registered | Registered Attended>Registered   | Registered Registered | in_sync    |
            7   | Moves     | Invited    | Attended Invited                 | Attended Attended     | in_sync    | Invited Attended marketo
            8   | Moved     | Invited    | Invited Attended                 | Attended Attended     | in_sync    | Invited Attended salesforce
            8R  | Lowered   | Attended   | Attended Invited                 | Attended Invited      | regression | Attended Invited salesforce
            9   | Alike     | Invited    | Attended Attended                | Attended Attended     | in_sync    | Invited Attended salesforce
            10C | Further   | Invited    | Attended Registered              | Attended Attended     | in_sync    | Invited Registered salesforce, Registered Attended marketo
            10C | Tie       | Invited    | Absent Attended                  | Absent Absent         | in_sync    | Invited Attended salesforce, Attended Absent marketo
            10C | Nearer    | Invited    | Registered Attended              | Attended Attended     | in_sync    | Invited Attended salesforce
            11  | Leaves    | Registered | - Registered                     | - -                   | closed     | Registered - marketo
            12  | Removed   | Registered | Registered -                     | - -                   | closed     | Registered - salesforce
            13  | Gone      | Registered | - -                              | - -                   | closed     | Registered - salesforce
            14  | Kept      | Invited    | - Registered                     | Registered Registered | in_sync    | Invited Registered salesforce
            15  | Returns   | Invited    | Registered -                     | Registered Registered | in_sync    | Invited - salesforce, - Registered marketo
        ");
        let world = World::new().await;
        world.set_channel(&[("Invited", 10, false), ("Registered", 20, false), ("Absent", 30, false), ("Attended", 30, true)]);
        world.emulators.salesforce.with(|org| org.add_status(world.campaign, "Absent", false).unwrap());
        let running = Running::cast(world, &database, &json!({}), &rows).await;
        running.play(&rows).await;
    }

    async fn marketo_wins_a_lower_step_is_set_back_and_removals_keep_apart(database: TestDatabase) {
        let rows = lines("
            5C  | Fresh    | -          | Invited Attended      | Invited Invited       | in_sync    | - Attended salesforce, Attended Invited marketo
            8R  | Reverted | Attended   | Attended Invited      | Attended Attended     | in_sync    | Attended Invited salesforce, Invited Attended policy
            10C | Torn     | Invited    | Registered Attended   | Registered Registered | in_sync    | Invited Attended salesforce, Attended Registered marketo
            11  | StaysS   | Registered | - Registered          | - Registered          | kept_apart |
            11  | EndsS    | Registered | - Registered          | - Registered          | kept_apart |
            11  | JoinsS   | Registered | - Registered          | - Registered          | kept_apart |
            11  | DiffersS | Registered | - Registered          | - Registered          | kept_apart |
            12  | StaysM   | Registered | Registered -          | Registered -          | kept_apart | Registered - salesforce
            12  | EndsM    | Registered | Registered -          | Registered -          | kept_apart | Registered - salesforce
            12  | JoinsM   | Registered | Registered -          | Registered -          | kept_apart | Registered - salesforce
            12  | DiffersM | Registered | Registered -          | Registered -          | kept_apart | Registered - salesforce
        ");
        let policies = json!({"conflict": "marketo_wins", "regression": "revert", "removal": "keep"});
        let running = Running::cast(World::new().await, &database, &policies, &rows).await;
        running.play(&rows).await;
        running.play(&lines("
            16  | StaysS   |            | - Attended            | - Attended            | kept_apart | Registered Attended salesforce
            16  | EndsS    |            | - -                   | - -                   | closed     | Registered - salesforce
            17  | JoinsS   |            | Registered Registered | Registered Registered | in_sync    |
            17C | DiffersS |            | Invited Registered    | Invited Invited       | in_sync    | Registered Invited marketo
            18  | StaysM   |            | Attended -            | Attended -            | kept_apart |
            18  | EndsM    |            | - -                   | - -                   | closed     |
            19  | JoinsM   |            | Registered Registered | Registered Registered | in_sync    | - Registered salesforce
            19C | DiffersM |            | Registered Attended   | Registered Registered | in_sync    | - Attended salesforce, Attended Registered marketo
        ")).await;
    }

    async fn salesforce_wins_and_a_lower_step_is_added_anew(database: TestDatabase) {
        let rows = lines("
            5C  | Fresh    | -          | Registered Attended   | Attended Attended     | in_sync    | - Attended salesforce
            5R  | Below    | -          | Attended Invited      | Invited Invited       | in_sync    | - Invited salesforce
            8R  | Lowered  | Attended   | Attended Registered   | Registered Registered | in_sync    | Attended Registered salesforce
            10C | Torn     | Invited    | Registered Attended   | Attended Attended     | in_sync    | Invited Attended salesforce
            10R | TornLow  | Registered | Attended Invited      | Invited Invited       | in_sync    | Registered Invited salesforce
            11  | ApartS   | Registered | - Registered          | - Registered          | kept_apart |
            12  | ApartM   | Registered | Registered -          | Registered -          | kept_apart | Registered - salesforce
        ");
        let policies = json!({"conflict": "salesforce_wins", "regression": "readd", "removal": "keep"});
        let running = Running::cast(World::new().await, &database, &policies, &rows).await;
        running.play(&rows).await;
        running.play(&lines("
            17R | ApartS   |            | Attended Registered   | Registered Registered | in_sync    |
            19R | ApartM   |            | Registered Invited    | Invited Invited       | in_sync    | - Invited salesforce
        ")).await;
    }

    async fn conflicts_are_held_and_the_gate_is_asked_of_new_members_only(database: TestDatabase) {
        let rows = lines("
            2   | Below    | -          | Registered -          | Registered -          | below_gate     |
            2   | Stranger | -          | Attended -            | Attended -            | person_unknown |
            2   | Known    | -          | Attended -            | Attended Attended     | in_sync        | - Attended marketo
            2   | Double   | -          | Attended -            | Attended Attended     | in_sync        | - Attended marketo
            3   | Lower    | -          | - Registered          | - Registered          | below_gate     | - Registered salesforce
            3   | Through  | -          | - Attended            | Attended Attended     | in_sync        | - Attended salesforce
            4   | Agrees   | -          | Invited Invited       | Invited Invited       | in_sync        | - Invited salesforce
            5C  | Differs  | -          | Registered Attended   | Registered Attended   | conflict_hold  | - Attended salesforce
            7   | Crossed  | Invited    | Registered Invited    | Registered Registered | in_sync        | Invited Registered marketo
            10C | Torn     | Invited    | Registered Attended   | Registered Attended   | conflict_hold  | Invited Attended salesforce
            12  | Leaves   | Invited    | Invited -             | - -                   | closed         | Invited - salesforce
            15  | Returns  | Invited    | Registered -          | Registered Registered | in_sync        | Invited - salesforce, - Registered marketo
        ");
        let world = World::new().await;
        let (oldest, _) = (world.lead("Double"), world.lead("Double"));
        world.lead("Known");
        let policies = json!({"gate": ["Attended"], "conflict": "hold", "create_leads": false, "ambiguous_person": "oldest"});
        let running = Running::cast(world, &database, &policies, &rows).await;
        running.play(&rows).await;
        assert_eq!(running.world.leads("Stranger"), 0);
        let members = running.world.emulators.salesforce.with(|org| org.members(running.world.campaign));
        assert!(members.iter().any(|member| member.lead == Some(oldest)), "the younger of two was taken");
    }

    async fn who_came_and_went_unseen_is_decided_by_row_1(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Fleeting", "Registered"), ("Visiting", "Registered")]);
        let running = Running::start(world, &database).await;
        let world = &running.world;
        let ids = [running.member("Fleeting").await["id"].clone(), running.member("Visiting").await["id"].clone()];
        for name in ["Fleeting", "Visiting"] {
            world.set_in_marketo(name, "Not in Program");
            running.both_have(name, None).await;
        }
        running.settle().await;
        let (writes, told) = (world.writes(), running.all_events().await.len());
        let set = async |what: &str| running.api.post(&format!("mappings/{}/{what}", running.mapping), &Value::Null).await.expect(200);
        set("pause").await;
        for status in ["Attended", "Not in Program"] {
            world.set_in_marketo("Fleeting", status);
        }
        let lead = world.lead_named("Visiting");
        world.add_in_salesforce(lead, "Attended");
        world.remove_in_salesforce("Visiting");
        let came = async || running.api.get("stats").await.expect(200).json()["outbox"]["available"].as_i64().unwrap();
        eventually("both to be heard of", SOON, async || (came().await >= 2).then_some(())).await;
        set("resume").await;
        running.runs_end().await;
        running.settle().await;
        for id in ids {
            let id = id.as_str().unwrap();
            let explained = running.api.get(&format!("members/{id}/explain")).await.expect(200).json();
            assert_eq!((&explained["rule"], &explained["reason"], &explained["base"]), (&json!("1"), &Value::Null, &Value::Null), "{explained:#}");
            let member = running.api.get(&format!("members/{id}")).await.expect(200).json();
            assert_eq!((&member["sync_state"], &member["marketo_status"], &member["salesforce_status"]), (&json!("in_sync"), &Value::Null, &Value::Null));
        }
        assert_eq!((world.writes(), running.all_events().await.len()), (writes, told));
        running.ledger_balances().await;
    }

    async fn from_marketo_to_salesforce_only(database: TestDatabase) {
        let rows = lines("
            2   | Joins    | -          | Registered -          | Registered Registered | in_sync    | - Registered marketo
            3   | Added    | -          | - Registered          | - Registered          | one_way    | - Registered salesforce
            4   | Agrees   | -          | Registered Registered | Registered Registered | in_sync    | - Registered salesforce
            5   | Differs  | -          | Invited Attended      | Invited Invited       | in_sync    | - Attended salesforce, Attended Invited marketo
            7   | Moves    | Invited    | Attended Invited      | Attended Attended     | in_sync    | Invited Attended marketo
            8   | Moved    | Registered | Registered Attended   | Registered Attended   | one_way    | Registered Attended salesforce
            10  | Torn     | Invited    | Registered Attended   | Registered Registered | in_sync    | Invited Attended salesforce, Attended Registered marketo
            11  | Leaves   | Registered | - Registered          | - -                   | closed     | Registered - marketo
            12  | Removed  | Registered | Registered -          | Registered -          | one_way    | Registered - salesforce
            14  | Kept     | Invited    | - Registered          | - Registered          | one_way    | Invited Registered salesforce
            15  | Returns  | Invited    | Registered -          | Registered Registered | in_sync    | Invited - salesforce, - Registered marketo
            6   | Rests    | Registered | Registered Attended>Registered | Registered Registered | in_sync |
            9   | Alike    | Invited    | Attended Attended     | Attended Attended     | in_sync    | Invited Attended salesforce
            13  | Gone     | Registered | - -                   | - -                   | closed     | Registered - salesforce
        ");
        let running = Running::cast(World::new().await, &database, &json!({"direction": "marketo_to_salesforce"}), &rows).await;
        running.play(&rows).await;
        assert_eq!(running.world.writes().0, 0, "the source was written to");
    }

    async fn from_salesforce_to_marketo_only(database: TestDatabase) {
        let rows = lines("
            2   | Joins    | -          | Registered -          | Registered -          | one_way    |
            3   | Added    | -          | - Registered          | Registered Registered | in_sync    | - Registered salesforce
            5   | Differs  | -          | Invited Attended      | Attended Attended     | in_sync    | - Attended salesforce
            5R  | Below    | -          | Attended Invited      | Attended Invited      | regression | - Invited salesforce
            7   | Moves    | Invited    | Attended Invited      | Attended Invited      | one_way    |
            8   | Moved    | Invited    | Invited Attended      | Attended Attended     | in_sync    | Invited Attended salesforce
            10  | Torn     | Invited    | Registered Attended   | Attended Attended     | in_sync    | Invited Attended salesforce
            11  | Leaves   | Registered | - Registered          | - Registered          | one_way    |
            12  | Removed  | Registered | Registered -          | - -                   | closed     | Registered - salesforce
            14  | Kept     | Invited    | - Registered          | Registered Registered | in_sync    | Invited Registered salesforce
            15  | Returns  | Invited    | Registered -          | Registered -          | one_way    | Invited - salesforce
            4   | Agrees   | -          | Registered Registered | Registered Registered | in_sync    | - Registered salesforce
            6   | Rests    | Registered | Registered Attended>Registered | Registered Registered | in_sync |
            9   | Alike    | Invited    | Attended Attended     | Attended Attended     | in_sync    | Invited Attended salesforce
            13  | Gone     | Registered | - -                   | - -                   | closed     | Registered - salesforce
        ");
        let running = Running::cast(World::new().await, &database, &json!({"direction": "salesforce_to_marketo"}), &rows).await;
        running.play(&rows).await;
        assert_eq!(running.world.writes().1, 0, "the source was written to");
    }

    async fn observed_only(database: TestDatabase) {
        let rows = lines("
            2   | Joins    | -          | Registered -          | Registered -          | observe | 
            3   | Added    | -          | - Registered          | - Registered          | observe | - Registered salesforce
            4   | Agrees   | -          | Registered Registered | Registered Registered | in_sync | - Registered salesforce
            5C  | Differs  | -          | Invited Attended      | Invited Attended      | observe | - Attended salesforce
            7   | Moves    | Invited    | Attended Invited      | Attended Invited      | observe |
            8   | Moved    | Invited    | Invited Attended      | Invited Attended      | observe | Invited Attended salesforce
            9   | Alike    | Invited    | Attended Attended     | Attended Attended     | in_sync | Invited Attended salesforce
            11  | Leaves   | Registered | - Registered          | - Registered          | observe |
            12  | Removed  | Registered | Registered -          | Registered -          | observe | Registered - salesforce
            13  | Gone     | Registered | - -                   | - -                   | closed  | Registered - salesforce
            6   | Rests    | Registered | Registered Attended>Registered | Registered Registered | in_sync |
            10C | Torn     | Invited    | Registered Attended   | Registered Attended   | observe | Invited Attended salesforce
            14  | Kept     | Invited    | - Registered          | - Registered          | observe | Invited Registered salesforce
            15  | Returns  | Invited    | Registered -          | Registered -          | observe | Invited - salesforce
        ");
        let running = Running::cast(World::new().await, &database, &json!({"direction": "observe"}), &rows).await;
        running.play(&rows).await;
        assert_eq!(running.world.writes(), (0, 0));
        for (name, action, status, next) in [
            ("Joins", "add_to_salesforce", json!("Registered"), "would add to Salesforce with Registered"),
            ("Added", "add_to_marketo", json!("Registered"), "would add to Marketo with Registered"),
            ("Moves", "change_in_salesforce", json!("Attended"), "would change in Salesforce to Attended"),
            ("Moved", "change_in_marketo", json!("Attended"), "would change in Marketo to Attended"),
            ("Leaves", "remove_from_salesforce", json!(null), "would remove from Salesforce"),
        ] {
            let member = running.member(name).await;
            assert_eq!(member["would"], json!({"action": action, "status": status}), "{name}");
            let explained = running.api.get(&format!("members/{}/explain", member["id"].as_str().unwrap())).await.expect(200).json();
            assert_eq!(explained["next"], next, "{name}");
        }
        assert_eq!(running.member("Agrees").await["would"], json!(null));
        running.api.patch(&format!("mappings/{}", running.mapping), &json!({"policies": {"direction": "both"}})).await.expect(200);
        running.both_have("Joins", Some("Registered")).await;
        running.settle().await;
        assert_eq!((&running.member("Joins").await["would"], &running.explained("Joins").await["next"]), (&json!(null), &json!(null)));
    }

    async fn a_lower_step_that_wins_is_held_or_set_back(database: TestDatabase) {
        let wins = |regression: &str| json!({"conflict": "salesforce_wins", "regression": regression, "removal": "keep"});
        let rows = lines("
            5R  | Below    | -          | Attended Invited      | Attended Invited      | regression | - Invited salesforce
            10R | TornLow  | Registered | Attended Invited      | Attended Invited      | regression | Registered Invited salesforce
            11  | ApartS   | Registered | - Registered          | - Registered          | kept_apart |
            12  | ApartM   | Registered | Registered -          | Registered -          | kept_apart | Registered - salesforce
        ");
        let running = Running::cast(World::new().await, &database, &wins("hold"), &rows).await;
        running.play(&rows).await;
        running.play(&lines("
            17R | ApartS   |            | Attended Registered   | Attended Registered   | regression |
            19R | ApartM   |            | Registered Invited    | Registered Invited    | regression | - Invited salesforce
        ")).await;
        running.api.patch(&format!("mappings/{}", running.mapping), &json!({"policies": wins("revert")})).await.expect(200);
        running.runs_end().await;
        for (name, status) in [("Below", "Attended"), ("TornLow", "Attended"), ("ApartS", "Attended"), ("ApartM", "Registered")] {
            running.both_have(name, Some(status)).await;
        }
        running.at_rest().await;
        assert_eq!(running.events_of("Below").await.pop().as_deref(), Some("Invited Attended policy write"));
        assert_eq!(running.events_of("TornLow").await.pop().as_deref(), Some("Invited Attended policy write"));
    }

    async fn what_has_no_translation_parks_where_it_would_be_written(database: TestDatabase) {
        let rows = lines("
            2   | Missed   | -          | Missed -              | Missed -              | incompatible_status |
            3   | Phoned   | -          | - Phoned              | - Phoned              | incompatible_status | - Phoned salesforce
            5C  | Loses    | -          | Registered Phoned     | Registered Registered | in_sync             | - Phoned salesforce, Phoned Registered marketo
            7   | Misses   | Invited    | Missed Invited        | Missed Invited        | incompatible_status |
            8   | Phones   | Invited    | Invited Phoned        | Invited Phoned        | incompatible_status | Invited Phoned salesforce
            10C | Wins     | Invited    | Missed Registered     | Missed Registered     | incompatible_status | Invited Registered salesforce
            14  | Returns  | Invited    | - Phoned              | - Phoned              | incompatible_status | Invited Phoned salesforce
        ");
        let running = Running::cast(World::new().await, &database, &json!({}), &rows).await;
        running.world.emulators.salesforce.with(|org| org.add_status(running.world.campaign, "Phoned", false).unwrap());
        running.world.set_channel(&[("Invited", 10, false), ("Registered", 20, false), ("Missed", 25, false), ("Attended", 30, true)]);
        running.program_changed().await;
        running.warns_of(&["status-unmatched", "status-unmatched"]).await;
        running.play(&rows).await;
        assert_eq!(running.world.emulators.salesforce.with(|org| org.counters.misuse.coerced_statuses), 0);
    }
}
