//! What a checklist asks of Salesforce: who we are there, and what we may do.
//!
//! Owns the reading of versions, describe, the user's licence, duplicate rules and limits. Must not judge what it reads:
//! that is the checklist's.
//!
//! Source: Salesforce, "Versions", "sObject Describe", "Limits"; Object Reference, "User", "DuplicateRule".

use std::sync::Arc;

use reqwest::Method;
use serde::Deserialize;

use super::super::client::Call;
use super::super::{ConnectorError, SalesforceIdentity};
use super::read::Rows;
use super::{SalesforceClient, broken, refused_with};

/// What our user may do with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectDescribe {
    pub queryable: bool,
    pub createable: bool,
    pub updateable: bool,
    pub deletable: bool,
    /// Those that field security shows us.
    pub fields: Vec<FieldDescribe>,
}

/// What our user may do with a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldDescribe {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub createable: bool,
    pub updateable: bool,
    pub nillable: bool,
    pub defaulted_on_create: bool,
    pub external_id: bool,
    pub unique: bool,
    /// Only the values of the list are accepted.
    pub restricted_picklist: bool,
    /// Digits after the point.
    pub scale: u32,
    pub picklist_values: Vec<PicklistValue>,
}

/// One value of a picklist.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PicklistValue {
    pub value: String,
    pub active: bool,
}

impl ObjectDescribe {
    /// A field by its API name; none when field security hides it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldDescribe> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Fields that Salesforce wants from whoever creates a record.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        let required =
            |f: &&FieldDescribe| f.createable && !f.nillable && !f.defaulted_on_create && f.kind != "boolean";
        self.fields.iter().filter(required).map(|field| field.name.as_str())
    }
}

/// The user that we are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SalesforceUser {
    #[serde(rename = "Username")]
    pub username: String,
    /// The feature licence that campaigns need.
    #[serde(rename = "UserPermissionsMarketingUser")]
    pub marketing_user: bool,
}

/// Calls that the organisation has in 24 hours, of all integrations together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DailyRequests {
    pub max: u64,
    pub remaining: u64,
}

/// An active duplicate rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DuplicateRule {
    #[serde(rename = "DeveloperName")]
    pub name: String,
    /// `Lead`, `Contact`, ...
    #[serde(rename = "SobjectType")]
    pub object: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Limits {
    daily_api_requests: DailyRequests,
}

impl SalesforceClient {
    /// Logs in, whether or not there is a session: credentials that were withdrawn do not show in one that still lasts.
    ///
    /// # Errors
    /// `Unauthorized` with what Salesforce said.
    pub async fn log_in_anew(&self) -> Result<SalesforceIdentity, ConnectorError> {
        let held = self.shared.session.held().await;
        self.session(held.as_ref().map(Arc::clone).as_ref()).await?;
        self.read_identity().await
    }

    /// Versions that the instance serves, oldest first: `59.0`.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn versions(&self) -> Result<Vec<String>, ConnectorError> {
        let versions: Vec<Version> = self.ask(Call::read("versions"), Method::GET, "/services/data", None).await?;
        Ok(versions.into_iter().map(|version| version.version).collect())
    }

    /// An object as our user sees it; none when it does not.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn describe(&self, object: &str) -> Result<Option<ObjectDescribe>, ConnectorError> {
        let path = self.data_path(&format!("sobjects/{object}/describe"));
        match self.ask(Call::read("describe"), Method::GET, &path, None).await {
            Err(error) if refused_with(&error, "NOT_FOUND") => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// The user that we are.
    ///
    /// # Errors
    /// `Refused` with `INVALID_FIELD` when field security hides the licence.
    pub async fn user(&self) -> Result<SalesforceUser, ConnectorError> {
        let id = self.read_identity().await?.user_id;
        let soql = format!("SELECT Id, Username, UserPermissionsMarketingUser FROM User WHERE Id = '{id}'");
        let users = self.query("user", Rows::Living, soql).await?;
        users.into_iter().next().ok_or_else(|| broken(false, "our own user is not among the users"))
    }

    /// Active duplicate rules.
    ///
    /// # Errors
    /// `Refused` with `INVALID_TYPE` when our user may not look at set-up.
    pub async fn duplicate_rules(&self) -> Result<Vec<DuplicateRule>, ConnectorError> {
        let soql = "SELECT DeveloperName, SobjectType FROM DuplicateRule WHERE IsActive = true";
        self.query("duplicate_rules", Rows::Living, soql.to_owned()).await
    }

    /// What is left of the organisation's calls.
    ///
    /// # Errors
    /// `QuotaExhausted` when nothing is.
    pub async fn daily_requests(&self) -> Result<DailyRequests, ConnectorError> {
        let limits: Limits = self.ask(Call::read("limits"), Method::GET, &self.data_path("limits"), None).await?;
        Ok(limits.daily_api_requests)
    }
}
