//! The activity log, Call Webhook and `trigger.json` over the wire.
//!
//! Must not use the connectors, as all tests of the wire.

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::{Value, json};

use super::super::*;
use super::{Site, code, listen};
use crate::sandbox::clock::Clock;

#[tokio::test]
async fn the_activity_log_is_walked_by_token() {
    let site = Site::open(Options::default()).await;
    let since = site.get("/v1/activities/pagingtoken.json?sinceDatetime=2016-09-15T10:53:00Z").await;
    let escape = |body: &Value| -> String {
        url::form_urlencoded::byte_serialize(body["nextPageToken"].as_str().unwrap().as_bytes()).collect()
    };
    site.marketo.with(|world| {
        world.set_status(1044, 1, "Attended").unwrap();
        world.set_status(1044, 1, "Attended").unwrap();
        world.leave_program(1044, 1).unwrap();
        world.delete_person(4).unwrap();
    });
    let page = site
        .get(&format!("/v1/activities.json?activityTypeIds=104&assetIds=1044&nextPageToken={}", escape(&since)))
        .await;
    let changes: Vec<(Value, Value, Value)> = page["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let attribute = |name: &str| {
                let all = row["attributes"].as_array().unwrap();
                all.iter().find(|attribute| attribute["name"] == name).unwrap()["value"].clone()
            };
            assert_eq!(
                (&row["primaryAttributeValueId"], &row["primaryAttributeValue"]),
                (&json!(1044), &json!("Webinar"))
            );
            (attribute("Old Status"), attribute("New Status"), attribute("Success"))
        })
        .collect();
    let change = |old: &str, new: &str, success: bool| (json!(old), json!(new), json!(success));
    assert_eq!(
        changes,
        [
            change("Not in Program", "Invited", false),
            change("Invited", "Attended", true),
            change("Attended", "Attended", false),
            change("Attended", "Not in Program", false),
        ]
    );
    assert_eq!(page["moreResult"], false);
    let rest = site.get(&format!("/v1/activities.json?activityTypeIds=12,104&nextPageToken={}", escape(&page))).await;
    assert_eq!((rest.get("result"), rest["nextPageToken"].is_string()), (None, true));
    let gone = site.get(&format!("/v1/activities/deletedleads.json?nextPageToken={}", escape(&since))).await;
    assert_eq!((&gone["result"][0]["leadId"], &gone["result"][0]["activityTypeId"]), (&json!(4), &json!(37)));
    let silent = site.get(&format!("/v1/activities.json?activityTypeIds=37&nextPageToken={}", escape(&since))).await;
    assert_eq!(silent.get("result"), None);
    site.marketo.with(|world| {
        world.options.empty_pages = 1;
        world.options.empty_activity_pages_have_result = true;
    });
    let empty = site.get(&format!("/v1/activities.json?activityTypeIds=104&nextPageToken={}", escape(&since))).await;
    assert_eq!((&empty["result"], &empty["moreResult"]), (&json!([]), &json!(true)));
    let again = site.get(&format!("/v1/activities.json?activityTypeIds=104&nextPageToken={}", escape(&empty))).await;
    assert_eq!(again["result"].as_array().unwrap().len(), 4);
    assert_eq!(site.code("/v1/activities.json?activityTypeIds=104").await, "1002");
    let token = escape(&since);
    assert_eq!(
        site.code(&format!("/v1/activities.json?nextPageToken={token}&activityTypeIds=1,2,3,4,5,6,7,8,9,10,11")).await,
        "1003"
    );
}

#[tokio::test]
async fn smart_campaigns_call_webhooks_and_are_requested() {
    let site = Site::open(Options::default()).await;
    let (heard, mut calls) = tokio::sync::mpsc::unbounded_channel::<(String, String)>();
    let receive = async |State(heard): State<tokio::sync::mpsc::UnboundedSender<(String, String)>>,
                         headers: axum::http::HeaderMap,
                         body: String| {
        let secret = headers["x-webhook-token"].to_str().unwrap().to_owned();
        heard.send((secret, body)).ok();
        ""
    };
    let url = listen(Router::new().route("/hook", post(receive)).with_state(heard)).await;
    let sender = site.marketo.start();
    site.marketo.with(|world| {
        world.add_webhook(Webhook {
            name: "Changed".into(),
            url: format!("{url}/hook"),
            method: "POST".into(),
            template: program_member_template("program_member.changed", Encoding::JsonQuoted),
            encoding: Encoding::JsonQuoted,
            headers: [("X-Webhook-Token".to_owned(), "{{my.Secret}}".to_owned())].into(),
        });
        world.programs.get_mut(&1044).unwrap().my_tokens.insert("Secret".into(), "s3cret".into());
        let campaign = |name: &str, trigger| SmartCampaign {
            id: 0,
            name: name.into(),
            program_id: Some(1044),
            trigger,
            active: true,
            webhook: Some("Changed".into()),
        };
        world.add_campaign(campaign("changed", Some(Trigger::StatusChanged { new_status: Some("Attended".into()) })));
        world.add_campaign(SmartCampaign { id: 3712, ..campaign("requested", Some(Trigger::Requested)) });
        world.add_campaign(SmartCampaign { id: 3713, ..campaign("batch", None) });
    });
    // An echo: the change comes by the API.
    site.post("/v1/programs/1044/members/status.json", json!({"statusName": "Attended", "input": [{"leadId": 1}]}))
        .await;
    let (secret, body) = calls.recv().await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (secret.as_str(), &body["leadId"], &body["programId"], &body["email"]),
        ("s3cret", &json!(1), &json!(1044), &json!("a@b.c"))
    );

    let requested = json!({"input": {"leads": [{"id": 1}], "tokens": [{"name": "{{my.Secret}}", "value": "passed"}]}});
    assert_eq!(
        site.post("/v1/campaigns/3712/trigger.json", requested.clone()).await,
        json!({"result": [{"id": 3712}], "success": true})
    );
    assert_eq!(calls.recv().await.unwrap().0, "passed");
    assert_eq!(code(&site.post("/v1/campaigns/3713/trigger.json", requested.clone()).await), "1003");
    assert_eq!(code(&site.post("/v1/campaigns/9/trigger.json", requested).await), "1013");
    let crowd = json!({"input": {"leads": vec![json!({"id": 1}); 101]}});
    assert_eq!(code(&site.post("/v1/campaigns/3712/trigger.json", crowd).await), "1003");
    site.marketo.with(|world| world.run_batch(3713, &[1]));
    while site.marketo.with(|world| world.deliveries.len()) < 2 {
        tokio::task::yield_now().await;
    }
    site.marketo.with(|world| {
        assert!(world.deliveries.iter().all(|delivery| delivery.error.as_deref() == Some("1001")), "empty bodies");
        let calls = world.log.from(0).iter().filter(|row| row.kind == log::kind::CALL_WEBHOOK);
        let mut errors: Vec<String> = calls.map(|row| row.attributes[0].1.as_str().unwrap().to_owned()).collect();
        errors.sort();
        assert_eq!(errors, ["1000", "1001", "1001"]);
    });
    sender.abort();
}

#[test]
fn a_large_program_is_paged_to_its_end() {
    let marketo = Marketo::new(Options::default(), Clock::default().reader());
    marketo.with(|world| {
        world.load(super::seed()).unwrap();
        let ids: Vec<i64> = (0..20_000)
            .map(|at| {
                let fields = [("email".to_owned(), Value::from(format!("p{at}@b.c")))].into();
                world.add_person(NewPerson { id: None, fields })
            })
            .collect();
        assert_eq!(world.set_status_of_all(1044, &ids, "Invited").unwrap(), [20_000, 0, 0]);
        assert_eq!(world.people.find("email", "P19999@b.c"), [*ids.last().unwrap()]);
        let (mut call, mut seen) = (call::Call { path_key: "1044".into(), ..call::Call::default() }, 0);
        loop {
            let envelope::Answer::Page { records, next, .. } = members::by_program(world, &call).unwrap() else {
                panic!()
            };
            seen += records.len();
            let Some(next) = next else { break };
            call.params = vec![("nextPageToken".into(), next)];
        }
        assert_eq!(seen, 20_001);
    });
}
