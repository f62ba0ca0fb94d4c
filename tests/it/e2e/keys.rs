//! API keys as the command line makes them: one that ends, and what a start says of the bootstrap key.

use super::world::{KEY, SOON, World};
use crate::support::{Api, Launch, TestDatabase, eventually, on_both};

fn run(world: &World, database: &TestDatabase, args: &[&str]) -> (bool, String) {
    let launch = world.configured(Launch::campaign_sync(args)).set("database.url", &database.url);
    let output = launch.command().output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

on_both! {
    async fn a_key_that_ends_is_made_listed_and_ends(database: TestDatabase) {
        let world = World::new().await;
        let service = world.launch(&database).start().await;
        eventually("a word about the bootstrap key", SOON, async || service.stderr().contains("auth.bootstrap_key is set").then_some(())).await;
        assert!(!service.stderr().contains(KEY));
        let make = |expires: &str| run(&world, &database, &["keys", "create", "--name", "short", "--scope", "read", "--expires", expires]);
        let (made, key) = make("90d");
        assert!(made && key.trim().len() == 43, "{key}");
        let (_, listed) = run(&world, &database, &["keys", "list"]);
        let line = listed.lines().find(|line| line.contains("short")).unwrap();
        assert!(line.contains("Z") && line.ends_with("never"), "expires, and was never used: {listed}");
        assert!(!make("soon").0 && !make("0s").0);

        let (_, key) = make("3s");
        let api = Api::new(service.url()).with_key(key.trim());
        eventually("the key to end", SOON, async || (api.get("mappings").await.status == 401).then_some(())).await;
        assert!(api.get("mappings").await.text.contains("has expired"));
    }
}
