//! Smart campaigns: requesting one for people.
//!
//! Source: Adobe, "Smart Campaigns": trigger (at most 100 leads and 100 tokens; the campaign has to be active, with the trigger
//! *Campaign is Requested* and the source *Web Service API*).

use async_trait::async_trait;
use serde_json::{Value, json};

use super::super::smart_campaigns::SmartCampaigns;
use super::{ConnectorError, MarketoClient};
use crate::domain::ids::MarketoId;

#[async_trait]
impl SmartCampaigns for MarketoClient {
    async fn request_campaign(
        &self,
        campaign: i64,
        people: &[MarketoId],
        tokens: &[(String, String)],
    ) -> Result<(), ConnectorError> {
        if people.is_empty() {
            return Ok(());
        }
        let leads: Vec<Value> = people.iter().map(|id| json!({ "id": id })).collect();
        let tokens: Vec<Value> = tokens.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let body = json!({ "input": { "leads": leads, "tokens": tokens } });
        let path = format!("/rest/v1/campaigns/{campaign}/trigger.json");
        // Success is all that it says: what the flow makes of it is not known.
        self.post::<Vec<Value>>("request_campaign", &path, &body).await.map(drop)
    }
}
