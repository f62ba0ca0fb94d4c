//! A change on either side reaches the other, and is told of once.

use crate::support::on_both;

use super::running::Running;

on_both! {
    async fn a_member_added_changed_and_removed_in_marketo_reaches_salesforce(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.world.marketo_person("Lovelace");
        running.world.set_in_marketo("Lovelace", "Invited");
        running.both_have("Lovelace", Some("Invited")).await;
        running.world.set_in_marketo("Lovelace", "Attended");
        running.both_have("Lovelace", Some("Attended")).await;
        running.world.set_in_marketo("Lovelace", "Not in Program");
        running.both_have("Lovelace", None).await;
        running.at_rest().await;
        assert_eq!(
            running.events_of("Lovelace").await,
            ["- Invited marketo write", "Invited Attended marketo write", "Attended - marketo write"]
        );
        assert_eq!(running.world.leads("Lovelace"), 1);
        assert_eq!(running.all_events().await.len(), 3, "others were told of");
    }

    async fn a_member_added_changed_and_removed_in_salesforce_reaches_marketo(database: TestDatabase) {
        let running = Running::new(&database).await;
        let lead = running.world.lead("Hopper");
        running.world.add_in_salesforce(lead, "Invited");
        running.both_have("Hopper", Some("Invited")).await;
        running.world.change_in_salesforce("Hopper", "Attended");
        running.both_have("Hopper", Some("Attended")).await;
        running.world.remove_in_salesforce("Hopper");
        running.both_have("Hopper", None).await;
        running.at_rest().await;
        assert_eq!(
            running.events_of("Hopper").await,
            ["- Invited salesforce webhook", "Invited Attended salesforce webhook", "Attended - salesforce webhook"]
        );
        assert_eq!((running.world.people("Hopper"), running.world.leads("Hopper")), (1, 1));
        assert_eq!(running.all_events().await.len(), 3, "others were told of");
    }
}
