//! How types of other rooms look in the OpenAPI document.
//!
//! Owns schemas only: the closed lists are read from the lists themselves, so the document cannot name another value than
//! the API takes.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::auth::Scope;
use crate::diagnosis::CheckState;
use crate::domain::mapping::{
    AmbiguousPerson, Conflict, Direction, MappingState, Policies, PolicyPatch, Regression, Removal,
};
use crate::domain::merge::{Base, Reason, Rule, Side, SyncState};
use crate::domain::status::{RowDirection, StatusRow};
use crate::domain::subscription::SubscriptionState;
use crate::domain::trigger::{DetectedBy, Origin, TransitionKind};
use crate::domain::warning::{Warning, WarningCode};
use crate::store::figures::Metric;
use crate::store::mappings::MappingOrder;

macro_rules! lists {
    ($($list:ty),+ $(,)?) => {$(
        impl PartialSchema for $list {
            fn schema() -> RefOr<Schema> {
                let names = <$list>::ALL.iter().map(|value| value.as_str());
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
            }
        }
        impl ToSchema for $list {}
    )+};
}
lists!(
    Direction,
    Conflict,
    Regression,
    Removal,
    AmbiguousPerson,
    MappingState,
    SyncState,
    Reason,
    Rule,
    Side,
    RowDirection,
    Scope,
    CheckState,
    SubscriptionState,
    WarningCode,
    Metric,
    MappingOrder,
    TransitionKind,
    Origin,
    DetectedBy
);

/// A moment, in RFC 3339 and UTC.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Time(Timestamp);

impl Time {
    /// Of the milliseconds that are stored.
    pub(super) fn of(millis: i64) -> Self {
        Self(crate::store::time(millis))
    }

    pub(super) fn at(time: Timestamp) -> Self {
        Self(time)
    }

    pub(super) fn millis(self) -> i64 {
        self.0.as_millisecond()
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let example = "2026-11-23T20:05:01Z";
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).examples([example]).into()
    }
}
impl ToSchema for Time {}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn of<T: ToSchema>() -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(T::name()))
}

fn nullable_text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(utoipa::openapi::schema::SchemaType::from_iter([Type::String, Type::Null]))
}

/// The lists that policies and rows of a map refer to.
fn named(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
    }
    add::<Direction>(schemas);
    add::<Conflict>(schemas);
    add::<Regression>(schemas);
    add::<Removal>(schemas);
    add::<AmbiguousPerson>(schemas);
    add::<RowDirection>(schemas);
}

/// The properties of the policies; a patch has the same, none of them required.
fn policies() -> ObjectBuilder {
    let gate = ArrayBuilder::new()
        .schema_type(utoipa::openapi::schema::SchemaType::from_iter([Type::Array, Type::Null]))
        .items(text())
        .description(Some("Program statuses that may create a counterpart; null lets all of them through."));
    ObjectBuilder::new()
        .property("direction", of::<Direction>())
        .property("conflict", of::<Conflict>())
        .property("regression", of::<Regression>())
        .property("removal", of::<Removal>())
        .property("create_leads", Object::with_type(Type::Boolean))
        .property("ambiguous_person", of::<AmbiguousPerson>())
        .property("gate", gate)
        .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::<Schema>::FreeForm(false)))
}

impl PartialSchema for Policies {
    fn schema() -> RefOr<Schema> {
        let names = ["direction", "conflict", "regression", "removal", "create_leads", "ambiguous_person", "gate"];
        names.into_iter().fold(policies(), ObjectBuilder::required).into()
    }
}
impl ToSchema for Policies {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        named(schemas);
    }
}

impl PartialSchema for PolicyPatch {
    fn schema() -> RefOr<Schema> {
        policies().description(Some("What is left out stays as it is.")).into()
    }
}
impl ToSchema for PolicyPatch {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        named(schemas);
    }
}

impl PartialSchema for StatusRow {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .property("program_status", text())
            .required("program_status")
            .property("campaign_status", text())
            .required("campaign_status")
            .property("direction", of::<RowDirection>())
            .description(Some("One translation; `direction` is `both` unless given."))
            .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::<Schema>::FreeForm(false)))
            .into()
    }
}
impl ToSchema for StatusRow {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        named(schemas);
    }
}

impl PartialSchema for Warning {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .property("code", of::<WarningCode>())
            .required("code")
            .property("program_status", nullable_text())
            .required("program_status")
            .property("campaign_status", nullable_text())
            .required("campaign_status")
            .property("message", text())
            .required("message")
            .description(Some("What works otherwise than one may think, and how to mend it."))
            .into()
    }
}
impl ToSchema for Warning {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((WarningCode::name().into_owned(), WarningCode::schema()));
    }
}

impl PartialSchema for Base {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .property("marketo", nullable_text())
            .required("marketo")
            .property("salesforce", nullable_text())
            .required("salesforce")
            .description(Some("The pair on which both sides last agreed."))
            .into()
    }
}
impl ToSchema for Base {}
