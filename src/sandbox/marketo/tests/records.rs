//! Programs, members and people over the wire: envelopes, record-level codes, the step rule, batches and pages.
//!
//! Must not use the connectors, as all tests of the wire.

use serde_json::{Value, json};

use super::super::*;
use super::{Site, code};

#[tokio::test]
async fn programs_channels_and_costs() {
    let site = Site::open(Options::default()).await;
    let channel = &site.get("/asset/v1/channel/byName.json?name=Online%20Advertising").await["result"][0];
    let first = &channel["progressionStatuses"][0];
    assert_eq!(*first, json!({"name":"Not in Program","step":0,"description":null,"hidden":false,"success":false}));
    assert!(channel["createdAt"].as_str().unwrap().ends_with("Z+0000"));
    let missing =
        json!({"success": false, "errors": [{"code": "702", "message": "Program[id = 42] not found"}], "warnings": []});
    assert_eq!(site.get("/asset/v1/program/42.json").await, missing);
    let none = json!({"success": true, "errors": [], "warnings": ["No assets found for the given search criteria."]});
    assert_eq!(site.get("/asset/v1/program/byName.json?name=Nope").await, none);
    assert_eq!(site.get("/asset/v1/program/1044.json").await["result"][0]["costs"], Value::Null);
    let costs = async || {
        site.get("/asset/v1/program/byName.json?name=Webinar&includeCosts=true").await["result"][0]["costs"].clone()
    };
    assert_eq!(costs().await, json!([{"startDate": "2015-01-01", "cost": 2000, "note": "Google Adwords"}]));
    let more = r#"[{"startDate":"2015-02-01","cost":5}]"#;
    site.form("/asset/v1/program/1044.json", &[("costs", more)]).await;
    assert_eq!(costs().await.as_array().unwrap().len(), 2, "costs append");
    site.form("/asset/v1/program/1044.json", &[("costs", more), ("costsDestructiveUpdate", "true")]).await;
    assert_eq!(costs().await, json!([{"startDate": "2015-02-01", "cost": 5}]));
    site.form("/asset/v1/program/1044.json", &[("costsDestructiveUpdate", "true")]).await;
    assert_eq!(costs().await, Value::Null);
    let new = [
        ("name", "New"),
        ("type", "default"),
        ("channel", "Online Advertising"),
        ("folder", r#"{"id":7,"type":"Folder"}"#),
    ];
    let made = site.form("/asset/v1/programs.json", &new).await["result"][0].clone();
    assert_eq!(
        (&made["type"], &made["folder"]["value"], &made["sfdcId"]),
        (&json!("Default"), &json!(7), &Value::Null)
    );
    assert_eq!(site.get("/asset/v1/programs.json?maxReturn=1&offset=1").await["result"][0]["name"], "New");
    let event = new.map(|(name, value)| {
        (name, [("name", "Newer"), ("type", "event")].iter().find(|(n, _)| *n == name).map_or(value, |(_, v)| v))
    });
    let refused = site.form("/asset/v1/programs.json", &event).await;
    let message = "Channel Online Advertising is not applicable to a program of type Event";
    assert_eq!(refused["errors"][0], json!({"code": "709", "message": message}));
    for bad in ["maxReturn=201", "offset=-1", "filterType=name&filterValues=x"] {
        assert_eq!(site.code(&format!("/asset/v1/programs.json?{bad}")).await, "709", "{bad}");
    }
    assert_eq!(site.code("/asset/v1/programs.json?earliestUpdatedAt=yesterday").await, "704");
}

#[tokio::test]
async fn members_follow_the_step_rule() {
    let site = Site::open(Options::default()).await;
    let set = async |status: &str, leads: Value| {
        site.post("/v1/programs/1044/members/status.json", json!({"statusName": status, "input": leads})).await
    };
    assert_eq!(
        set("Invited", json!([{"leadId": 1}, {"leadId": 2}, {"leadId": 99}])).await,
        json!({"result": [
            {"seq": 0, "status": "skipped", "reasons": [{"code": "1037", "message": "Lead skipped because it is already in or past this status"}]},
            {"seq": 1, "status": "created", "leadId": 2},
            {"seq": 2, "status": "skipped", "reasons": [{"code": "1004", "message": "Lead not found"}]}], "success": true})
    );
    assert_eq!(set("Attended", json!([{"leadId": 2}])).await["result"][0]["status"], "updated");
    assert_eq!(set("No Show", json!([{"leadId": 2}])).await["result"][0]["status"], "updated");
    assert_eq!(set("Invited", json!([{"leadId": 2}])).await["result"][0]["reasons"][0]["code"], "1037");
    for (status, leads, expected) in [
        ("Nowhere", json!([{"leadId": 1}]), "1025"),
        ("Not in Program", json!([{"leadId": 1}]), "1025"),
        ("", json!([{"leadId": 1}]), "1002"),
        ("Invited", json!([]), "1002"),
        ("Invited", json!(vec![json!({"leadId": 1}); 301]), "1003"),
    ] {
        assert_eq!(code(&set(status, leads).await), expected, "{status}");
    }
    let elsewhere =
        site.post("/v1/programs/7/members/status.json", json!({"statusName": "Invited", "input": [{"leadId": 1}]}));
    assert_eq!(code(&elsewhere.await), "1013");
    assert_eq!(set("Invited", json!([{"leadId": "1"}])).await["result"][0]["reasons"][0]["code"], "1001");

    let row = &site.get("/v1/programs/1044/members.json?filterType=leadId&filterValues=2").await;
    assert_eq!(row["moreResult"], false);
    let keys: Vec<&String> = row["result"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["seq", "acquiredBy", "leadId", "membershipDate", "programId", "reachedSuccess"]);
    assert_eq!(row["result"][0]["reachedSuccess"], true, "success stays reached");
    let query = "/v1/programs/1044/members.json?filterType=statusName&filterValues=Invited,No%20Show&fields=leadId,statusName&batchSize=1";
    let page = site.get(query).await;
    assert_eq!(
        (&page["result"], &page["moreResult"]),
        (&json!([{"seq": 0, "leadId": 1, "statusName": "Invited"}]), &json!(true))
    );
    let token: String =
        url::form_urlencoded::byte_serialize(page["nextPageToken"].as_str().unwrap().as_bytes()).collect();
    let page = site.get(&format!("{query}&nextPageToken={token}")).await;
    assert_eq!((&page["result"][0]["leadId"], &page["moreResult"]), (&json!(2), &json!(false)));
    for (bad, expected) in [
        ("", "1002"),
        ("?filterType=leadId", "1002"),
        ("?filterType=email&filterValues=x", "1003"),
        ("?filterType=leadId&filterValues=1&fields=email", "1006"),
        ("?filterType=updatedAt&startAt=2026-01-01T00:00:00Z&endAt=2026-01-09T00:00:00Z", "1003"),
        ("?filterType=updatedAt&startAt=2026-01-01T00:00:00.000Z&endAt=2026-01-02T00:00:00Z", "1001"),
        ("?filterType=leadId&filterValues=1&nextPageToken=ABC", "1003"),
    ] {
        assert_eq!(site.code(&format!("/v1/programs/1044/members.json{bad}")).await, expected, "{bad}");
    }
    site.marketo.with(|world| world.options.member_query_limit = 1);
    let full = site.get("/v1/programs/1044/members.json?filterType=reachedSuccess&filterValues=true").await;
    assert_eq!(full["errors"][0]["message"], "Total membership size: 2 exceeds the limit allowed 1 for the filter");

    let child = site.get("/v1/leads/programs/1044.json?fields=email,sfdcId,sfdcLeadId").await["result"][0].clone();
    assert_eq!((&child["sfdcLeadId"], &child["sfdcId"]), (&json!("00Q000000000001AAA"), &Value::Null));
    assert_eq!(child["membership"]["progressionStatus"], "Invited");
    assert_eq!(site.get("/v1/leads/2/programMembership.json").await["result"][0]["progressionStatus"], "No Show");
    let gone =
        site.post("/v1/programs/1044/members/delete.json", json!({"input": [{"leadId": 2}, {"leadId": 2}]})).await;
    assert_eq!(
        gone["result"],
        json!([{"seq": 0, "status": "deleted", "leadId": 2},
               {"seq": 1, "status": "skipped", "reasons": [{"code": "1037", "message": "Lead not in program"}]}])
    );
    let data = json!({"input": [{"leadId": 1, "registrationCode": "x"}, {"leadId": 2, "statusReason": "x"}, {"leadId": 1, "statusName": "Attended"}]});
    let codes = site.post("/v1/programs/1044/members.json", data).await["result"].clone();
    assert_eq!(codes[0]["status"], "updated");
    assert_eq!(codes[1]["reasons"], json!([{"code": "1013", "message": "Membership not found"}]));
    assert_eq!(codes[2]["reasons"][0]["code"], "1011");
}

#[tokio::test]
async fn errors_of_member_calls_come_for_the_call_or_for_each_record() {
    let site = Site::open(Options::default()).await;
    let status = |name: &str| json!({"statusName": name, "input": [{"leadId": 1}, {"leadId": 2}]});
    let calls = [
        ("1044/members/status.json", status("Nowhere"), "1025"),
        ("7/members/status.json", status("Invited"), "1013"),
        ("7/members/delete.json", status("Invited"), "1013"),
        ("7/members.json", status("Invited"), "1013"),
    ];
    for (path, body, expected) in &calls {
        assert_eq!(code(&site.post(&format!("/v1/programs/{path}"), body.clone()).await), *expected, "{path}");
    }
    site.marketo.with(|world| world.options.member_errors_per_record = true);
    for (path, body, expected) in &calls {
        let answer = site.post(&format!("/v1/programs/{path}"), body.clone()).await;
        assert_eq!(answer["success"], true, "{path}");
        for (seq, row) in answer["result"].as_array().unwrap().iter().enumerate() {
            let shown = (&row["seq"], &row["status"], &row["reasons"][0]["code"], row.get("leadId"));
            assert_eq!(shown, (&json!(seq), &json!("skipped"), &json!(expected), None), "{path}");
        }
    }
}

#[tokio::test]
async fn leads_are_found_written_merged_and_deleted() {
    let site = Site::open(Options::default()).await;
    let found = site.get("/v1/leads.json?filterType=email&filterValues=b@b.c&fields=email,sfdcId").await;
    assert_eq!(
        found,
        json!({"result": [{"id": 2, "email": "b@b.c", "sfdcId": null}, {"id": 3, "email": "B@b.c", "sfdcId": null}], "success": true})
    );
    assert_eq!(
        site.get("/v1/leads.json?filterType=sfdcLeadId&filterValues=00Q000000000001AAA").await["result"][0]["id"],
        1
    );
    assert_eq!(site.code("/v1/leads.json?filterType=id&filterValues=1&fields=shoeSize").await, "1006");
    assert_eq!(site.code("/v1/leads.json?filterType=firstName&filterValues=Ada").await, "1003");
    let many: Vec<String> = (0..301).map(|id: i64| id.to_string()).collect();
    assert_eq!(site.code(&format!("/v1/leads.json?filterType=id&filterValues={}", many.join(","))).await, "1003");
    site.marketo.with(|world| world.options.lead_match_limit = 1);
    let crowd = site.get("/v1/leads.json?filterType=email&filterValues=b@b.c").await;
    assert_eq!(crowd["errors"][0], json!({"code": "1003", "message": "Too many results match the filter"}));

    let sync = async |action: &str, lookup: &str, lead: Value| {
        let body = json!({"action": action, "lookupField": lookup, "input": [lead]});
        let row = site.post("/v1/leads.json", body).await["result"][0].clone();
        row["reasons"][0]["code"].as_str().or(row["status"].as_str()).unwrap_or_default().to_owned()
    };
    for (action, lookup, lead, expected) in [
        ("createOrUpdate", "email", json!({"email": "new@b.c"}), "created"),
        ("createOrUpdate", "email", json!({"email": "NEW@b.c", "firstName": "New"}), "updated"),
        ("createOnly", "email", json!({"email": "new@b.c"}), "1005"),
        ("updateOnly", "email", json!({"email": "nobody@b.c"}), "1004"),
        ("createOrUpdate", "email", json!({"email": "b@b.c"}), "1007"),
        ("createOrUpdate", "email", json!({"id": 1, "email": "a@b.c"}), "1003"),
        ("updateOnly", "id", json!({"id": 1, "lastName": "Lovelace"}), "updated"),
        ("createOrUpdate", "email", json!({"email": "c@b.c", "shoeSize": 7}), "1006"),
        ("createOrUpdate", "email", json!({"email": "c@b.c", "sfdcContactId": "003"}), "1011"),
        ("createOrUpdate", "sfdcLeadId", json!({"sfdcLeadId": "00Q000000000009AAA"}), "created"),
        ("createOrUpdate", "email", json!({"email": "é@b.c"}), "1001"),
        ("createOrUpdate", "email", json!({"firstName": "No address"}), "1003"),
        ("createDuplicate", "email", json!({"email": "a@b.c"}), "created"),
    ] {
        assert_eq!(sync(action, lookup, lead.clone()).await, expected, "{action} {lookup} {lead}");
    }
    assert_eq!(site.marketo.with(|world| world.police.second_person_for_email), 1);

    site.marketo.with(|world| world.set_status(1044, 2, "Attended")).unwrap();
    let url = format!("{}/rest/v1/leads/2/merge.json?leadId=1", site.url);
    assert_eq!(site.send(site.http.post(url)).await, json!({"success": true}));
    site.marketo.with(|world| {
        assert!(world.people.get(2).is_none(), "the Salesforce lead won");
        assert_eq!(world.members(1044), [(1, "Attended".to_owned())]);
    });
    let deleted = site.post("/v1/leads/delete.json", json!({"input": [{"id": 1}, {"id": 1}]})).await;
    assert_eq!(
        (&deleted["result"][0]["status"], &deleted["result"][1]["reasons"][0]["code"]),
        (&json!("deleted"), &json!("1004"))
    );
    assert!(site.marketo.with(|world| world.members(1044)).is_empty());
}

#[tokio::test]
async fn upserts_at_the_same_time_make_duplicates() {
    let site = Site::open(Options { latency_ms: 200, ..Options::default() }).await;
    let body = json!({"input": [{"email": "twice@b.c"}]});
    let (one, two) = tokio::join!(site.post("/v1/leads.json", body.clone()), site.post("/v1/leads.json", body));
    assert_eq!((&one["result"][0]["status"], &two["result"][0]["status"]), (&json!("created"), &json!("created")));
    assert_eq!(
        site.marketo
            .with(|world| (world.people.find("email", "twice@b.c").len(), world.police.second_person_for_email)),
        (2, 1)
    );
}
