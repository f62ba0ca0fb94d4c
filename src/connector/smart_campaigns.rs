//! Requests of smart campaigns, by which people reach a flow in Marketo.

use async_trait::async_trait;

use super::ConnectorError;
use crate::domain::ids::MarketoId;

/// What the service asks of Marketo beside keeping programs.
#[async_trait]
pub trait SmartCampaigns: Send + Sync {
    /// Requests a smart campaign for at most 100 people, with values for tokens of its program. Refused as a whole when one of
    /// the people does not exist (1004), or when the campaign does not wait for requests (1003, 1013).
    async fn request_campaign(
        &self,
        campaign: i64,
        people: &[MarketoId],
        tokens: &[(String, String)],
    ) -> Result<(), ConnectorError>;
}
