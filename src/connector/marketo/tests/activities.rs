//! The activity log: what its rows say, and its tokens.

use super::*;
use crate::connector::changes::{LogPage, MarketoChange, MarketoLog};

const LOG: &str = "/rest/v1/activities.json";

#[tokio::test]
async fn changes_of_memberships_and_merges_are_read_by_token() {
    let (server, marketo, _) = client().await;
    Mock::given(path("/rest/v1/activities/pagingtoken.json"))
        .and(query_param("sinceDatetime", "2022-02-13T14:00:00Z"))
        .respond_with(fixture!("paging_token"))
        .mount(&server)
        .await;
    Mock::given(path(LOG))
        .and(query_param("nextPageToken", "GIYDAOBNGEYS2MBWKQYDAORQGA5DAMBOGAYDAKZQGAYDALBQ"))
        .and(query_param("activityTypeIds", "104,32"))
        .and(query_param("batchSize", "300"))
        .respond_with(fixture!("activities"))
        .expect(1)
        .mount(&server)
        .await;
    let place = marketo.log_place("2022-02-13T14:00:00.9Z".parse().unwrap()).await.unwrap();
    let LogPage { rows, next, more } = marketo.activities(&place).await.unwrap();
    assert_eq!((next.as_str(), more), ("WQV2VQVPPCKHC6AQYVK7JDSA3J====", false), "a token comes at the end as well");
    let status = |text: &str| Some(text.to_owned());
    let changes: Vec<_> = rows.iter().map(|row| (row.guid.as_deref().unwrap(), row.change.clone())).collect();
    let member = |program, person, old, new| MarketoChange::Member { program, person, old, new };
    assert_eq!(
        changes,
        [
            ("783957693", member(1670, 5_414_087, None, status("On List"))),
            ("783958306", member(3569, 5_414_094, status("Attended"), status("Attended"))),
            ("783958307", member(3569, 5_414_094, status("Attended"), None)),
            ("102988", MarketoChange::Merged { winner: 1, losers: vec![5, 6] }),
        ]
    );
}

#[tokio::test]
async fn a_page_may_be_empty_with_more_to_come_but_never_without_a_token() {
    let (server, marketo, _) = client().await;
    // The token has to be encoded, since it may end in equals signs.
    let asked = Mock::given(path(LOG)).and(query_param("nextPageToken", "WQV2===="));
    asked.respond_with(fixture!("activities_on_the_way")).mount(&server).await;
    let page = marketo.activities("WQV2====").await.unwrap();
    assert_eq!((page.rows.len(), page.next.as_str(), page.more), (0, "WQV2VQVPPCKHC6AQYVK7JDSA3I====", true));

    for body in [
        r#"{"requestId":"a#1","result":[],"success":true,"moreResult":false}"#,
        r#"{"requestId":"a#1","success":true,"nextPageToken":"X"}"#,
    ] {
        server.reset().await;
        answer(&server, "GET", LOG, json_of(body)).await;
        let outcome = marketo.activities("X").await;
        assert!(matches!(outcome, Err(ConnectorError::Unavailable { .. })), "{body}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_token_that_marketo_does_not_take_is_refused() {
    let (server, marketo, _) = client().await;
    let body = r#"{"requestId":"a#1","success":false,"errors":[{"code":"1003","message":"Invalid nextPageToken"}]}"#;
    answer(&server, "GET", LOG, json_of(body)).await;
    let outcome = marketo.activities("made up").await;
    assert!(matches!(outcome, Err(ConnectorError::Refused { .. })), "{outcome:?}");
}

#[tokio::test]
async fn deletions_are_a_list_of_their_own() {
    let (server, marketo, _) = client().await;
    Mock::given(path("/rest/v1/activities/deletedleads.json"))
        .and(query_param("nextPageToken", "T"))
        .respond_with(fixture!("deleted_leads"))
        .expect(1)
        .mount(&server)
        .await;
    let page = marketo.deletions("T").await.unwrap();
    assert_eq!(page.rows.len(), 1);
    assert_eq!(page.rows[0].change, MarketoChange::Deleted { person: 6 });
    assert_eq!((page.rows[0].guid.as_deref(), page.more), (Some("2"), false));
}
