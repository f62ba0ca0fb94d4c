//! Tags, clones, approval, smart campaigns, pushes and member fields over the wire.
//!
//! Must not use the connectors, as all tests of the wire.

use serde_json::{Value, json};

use super::super::*;
use super::{Site, code};

#[tokio::test]
async fn programs_have_tags_and_are_cloned_and_approved() {
    let site = Site::open(Options::default()).await;
    let tags = r#"[{"tagType": "Presenter", "tagValue": "Dennis"}]"#;
    site.form("/asset/v1/program/1044.json", &[("tags", tags)]).await;
    let tagged = site.get("/asset/v1/program/byTag.json?tagType=Presenter&tagValue=Dennis").await;
    assert_eq!((&tagged["result"][0]["id"], &tagged["result"][0]["costs"]), (&json!(1044), &Value::Null));
    let clone = [("name", "Again"), ("folder", r#"{"id":7,"type":"Folder"}"#)];
    let made = site.form("/asset/v1/program/1044/clone.json", &clone).await["result"][0].clone();
    assert_eq!((&made["tags"], &made["costs"]), (&serde_json::from_str(tags).unwrap(), &Value::Null));
    assert!(site.marketo.with(|world| world.members(made["id"].as_i64().unwrap())).is_empty());
    assert_eq!(code(&site.form("/asset/v1/program/1044/clone.json", &clone).await), "709", "names are taken");
    assert_eq!(code(&site.form("/asset/v1/program/1044/approve.json", &[]).await), "709", "not an e-mail program");
    site.marketo.with(|world| world.options.lenient_asset_json = false);
    let lenient = [("name", "Third"), ("folder", "{'id': 7, 'type': Folder}")];
    assert_eq!(code(&site.form("/asset/v1/program/1044/clone.json", &lenient).await), "710");
}

#[tokio::test]
async fn smart_campaigns_are_listed_switched_and_scheduled() {
    let site = Site::open(Options::default()).await;
    site.marketo.with(|world| {
        for (id, trigger) in [(31, Some(Trigger::Requested)), (32, None)] {
            let (name, program_id) = (format!("campaign {id}"), Some(1044));
            world.add_campaign(SmartCampaign { id, name, program_id, trigger, active: true, webhook: None });
        }
    });
    let all = site.get("/asset/v1/smartCampaigns.json").await["result"].clone();
    assert_eq!(
        (&all[0]["status"], &all[1]["status"], &all[0]["isRequestable"]),
        (&json!("Active"), &json!("Never Run"), &json!(true))
    );
    site.form("/asset/v1/smartCampaign/31/deactivate.json", &[]).await;
    assert_eq!(site.get("/v1/campaigns/31.json").await["result"][0]["active"], false);
    let request = json!({"input": {"leads": [{"id": 1}]}});
    assert_eq!(code(&site.post("/v1/campaigns/31/trigger.json", request).await), "1003", "not active");
    assert_eq!(code(&site.form("/asset/v1/smartCampaign/32/activate.json", &[]).await), "709", "a batch campaign");
    assert_eq!(site.code("/asset/v1/smartCampaign/33.json").await, "702");
    let at =
        json!({"input": {"runAt": "2100-03-28T18:05:00+0000", "tokens": [{"name": "{{my.message}}", "value": "x"}]}});
    assert_eq!(site.post("/v1/campaigns/32/schedule.json", at).await["result"], json!([{"id": 32}]));
    assert_eq!(site.marketo.with(|world| world.schedules[0].campaign_id), 32);
    let past = json!({"input": {"runAt": "2015-03-28T18:05:00+0000"}});
    assert_eq!(code(&site.post("/v1/campaigns/32/schedule.json", past).await), "1042");
}

#[tokio::test]
async fn a_push_is_an_upsert_a_membership_and_an_activity() {
    let site = Site::open(Options::default()).await;
    let push = async |status: Value| {
        let body = json!({"programName": "Webinar", "programStatus": status, "source": "site", "input": [{"email": "a@b.c"}, {"email": "new@b.c"}]});
        site.post("/v1/leads/push.json", body).await
    };
    let pushed = push(Value::Null).await["result"].clone();
    assert_eq!((&pushed[0]["status"], &pushed[1]["status"]), (&json!("updated"), &json!("created")));
    let new = pushed[1]["id"].as_i64().unwrap();
    assert_eq!(site.marketo.with(|world| world.status_of(1044, new).map(str::to_owned)).as_deref(), Some("Invited"));
    assert_eq!(code(&push(json!("Nowhere")).await), "1025");
    let count = |kind| site.marketo.with(|world| world.log.from(0).iter().filter(|row| row.kind == kind).count());
    assert_eq!(count(log::kind::PUSH_LEAD), 2);
    let status = json!({"status": "Attended", "input": [{"id": new}, {"id": 4}]});
    let moved = site.post("/v1/leads/programs/1044/status.json", status).await["result"].clone();
    assert_eq!(
        (&moved[0]["status"], &moved[1]["reasons"][0]["code"]),
        (&json!("updated"), &json!("1013")),
        "only members"
    );
}

#[tokio::test]
async fn custom_fields_of_members_are_described_written_and_searched() {
    let site = Site::open(Options::default()).await;
    let field =
        |name: &str, kind| Field { name: name.into(), display: name.into(), kind, read_only: false, searchable: false };
    site.marketo.with(|world| {
        world.add_member_field(field("seat", Kind::Integer)).unwrap();
        world.add_member_field(field("vip", Kind::Boolean)).unwrap();
    });
    let described = site.get("/v1/programs/members/describe.json").await["result"][0].clone();
    assert_eq!(described["searchableFields"], json!([["leadId"], ["reachedSuccess"], ["statusName"], ["seat"]]));
    assert!(site.get("/v1/program/members/describe.json").await["result"][0].get("dedupeFields").is_none());
    let custom = site.get("/v1/programs/members/schema/fields.json").await["result"].clone();
    assert_eq!(custom.as_array().unwrap().iter().filter(|field| field["isCustom"] == true).count(), 2);
    let data = json!({"input": [{"leadId": 1, "seat": 7}, {"leadId": 1, "vip": "yes"}]});
    let written = site.post("/v1/programs/1044/members.json", data).await["result"].clone();
    assert_eq!((&written[0]["status"], &written[1]["reasons"][0]["code"]), (&json!("updated"), &json!("1001")));
    let query = "/v1/programs/1044/members.json?fields=leadId,seat&filterValues=7&filterType=";
    assert_eq!(site.get(&format!("{query}seat")).await["result"], json!([{"seq": 0, "leadId": 1, "seat": 7}]));
    assert_eq!(site.code(&format!("{query}vip")).await, "1003");
    site.marketo.with(|world| {
        let more = (0..18).map(|n| world.add_member_field(field(&format!("f{n}"), Kind::String)));
        assert!(more.collect::<Vec<_>>().iter().all(Result::is_ok));
        assert_eq!(world.add_member_field(field("one too many", Kind::String)).unwrap_err().code, 1028);
    });
}

#[tokio::test]
async fn changes_of_fields_are_a_list_of_their_own() {
    let site = Site::open(Options::default()).await;
    let since = site.get("/v1/activities/pagingtoken.json?sinceDatetime=2016-09-15T10:53:00Z").await;
    let token: String =
        url::form_urlencoded::byte_serialize(since["nextPageToken"].as_str().unwrap().as_bytes()).collect();
    let edit = json!({"action": "updateOnly", "lookupField": "id", "input": [{"id": 1, "firstName": "Grace", "lastName": "Hopper"}]});
    site.post("/v1/leads.json", edit).await;
    let path = format!("/v1/activities/leadchanges.json?nextPageToken={token}&fields=");
    let changes = site.get(&format!("{path}firstName")).await["result"].clone();
    let last = changes.as_array().unwrap().last().unwrap();
    let field = &last["fields"][0];
    assert_eq!(
        (&field["name"], &field["oldValue"], &field["newValue"]),
        (&json!("firstName"), &json!("Ada"), &json!("Grace"))
    );
    assert_eq!(site.code(&path).await, "1002");
    assert_eq!(site.code(&format!("{path}shoeSize")).await, "1006");
}

#[tokio::test]
async fn misuse_is_counted() {
    let site = Site::open(Options::default()).await;
    let set = json!({"statusName": "attended ", "input": [{"leadId": 1}]});
    assert_eq!(code(&site.post("/v1/programs/1044/members/status.json", set).await), "1025", "names are exact");
    site.code("/v1/stats/usage.json?access_token=x").await;
    site.marketo.with(|world| world.options.daily_quota = Some(0));
    site.code("/v1/stats/usage.json").await;
    let police = site.marketo.with(|world| world.police.clone());
    assert_eq!((police.coerced_statuses, police.token_in_wrong_place, police.over_limit_calls), (1, 1, 1));
    let misuse = police.misuse();
    assert_eq!(
        misuse.keys().copied().collect::<Vec<_>>(),
        ["coerced_statuses", "over_limit_calls", "token_in_wrong_place"]
    );
}
