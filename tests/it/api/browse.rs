//! Programs and campaigns as they are looked for before they are mapped.

use serde_json::{Value, json};

use super::Service;
use super::shown::one_by_one;
use super::vendors::{DOWN, LISTED, REFUSED, campaign};
use crate::support::on_both;

on_both! {
    async fn programs_are_searched_a_page_at_a_time_and_say_where_they_are_mapped(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.mapped().await;
        let first = service.get("programs?limit=2").await.expect(200).json();
        let program = |id: i64, mapping: Value| json!({"id": id, "name": format!("Program {id}"), "type": "default",
            "channel": "Webinar", "native_campaign_id": null, "mapping": mapping});
        let mapped = json!({"id": mapping, "program_id": 1044, "campaign_id": campaign('1')});
        assert_eq!(first["data"], json!([program(1044, mapped.clone()), program(1045, Value::Null)]));

        let mut all = 0;
        let mut path = "programs?limit=100".to_owned();
        loop {
            let page = service.get(&path).await.expect(200).json();
            all += page["data"].as_array().unwrap().len();
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("programs?limit=100&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(all, LISTED);
        // The last of the listing, by its name in another case and by its id.
        let last = 1044 + i64::try_from(LISTED).unwrap() - 1;
        for q in [format!("PROGRAM%20{last}"), last.to_string()] {
            assert_eq!(one_by_one(&service, &format!("programs?q={q}&")).await, [program(last, Value::Null)]);
        }
        assert_eq!(service.get("programs?q=nowhere").await.expect(200).json(), json!({"data": [], "next_cursor": null}));

        let shown = service.get("programs/1050").await.expect(200).json();
        assert_eq!((&shown["name"], &shown["cost"]), (&json!("Program 1050"), &Value::Null));
        assert_eq!(shown["statuses"][1], json!({"status": "Signed up", "step": 20, "success": false, "hidden": false}));
        assert_eq!(service.get("programs/1044").await.expect(200).json()["mapping"], mapped);
        assert_eq!(service.get("programs/1048").await.expect(200).json()["statuses"], Value::Null);
        for (id, status, code) in [("9", 404, "not-found"), ("x", 404, "not-found"), (&DOWN.to_string(), 503, "vendor-unavailable"), (&REFUSED.to_string(), 502, "vendor-error")] {
            assert_eq!(service.get(&format!("programs/{id}")).await.problem(), (status, code.to_owned()), "{id}");
        }
        assert_eq!(service.get("programs?name=x").await.problem(), (422, "invalid-input".to_owned()));
        assert_eq!(service.get("programs?cursor=x").await.problem(), (422, "invalid-input".to_owned()));
    }

    async fn campaigns_are_searched_newest_first_and_say_where_they_are_mapped(database: TestDatabase) {
        let service = Service::new(&database).await;
        let mapping = service.mapped().await;
        let all = one_by_one(&service, "campaigns?q=CAMPAIGN&").await;
        assert_eq!(all.len(), 7);
        assert_eq!(all[0], json!({"id": campaign('7'), "name": "Campaign 7", "is_active": true, "type": null, "mapping": null}));
        let mapped = json!({"id": mapping, "program_id": 1044, "campaign_id": campaign('1')});
        let last = json!({"id": campaign('1'), "name": "Campaign 1", "is_active": true, "type": "Webinar", "mapping": mapped});
        assert_eq!(all[6], last);
        assert_eq!(service.get("campaigns?q=campaign%201").await.expect(200).json()["data"], json!([last]));
        let shown = service.get(&format!("campaigns/{}", &campaign('1')[..15])).await.expect(200).json();
        assert_eq!((&shown["mapping"], &shown["actual_cost"]), (&mapped, &Value::Null));
        assert_eq!(shown["statuses"][0], json!({"status": "Invited", "sort_order": 1, "has_responded": false, "is_default": true}));
        for id in [campaign('0'), "x".to_owned()] {
            assert_eq!(service.get(&format!("campaigns/{id}")).await.problem(), (404, "not-found".to_owned()));
        }
        assert_eq!(service.get("campaigns?q=down").await.problem(), (503, "vendor-unavailable".to_owned()));
        assert_eq!(service.get("campaigns?cursor=eA").await.problem(), (422, "invalid-input".to_owned()));
    }
}
