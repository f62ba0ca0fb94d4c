//! The fields of a campaign that follow its program and never lead it: type and actual cost.
//!
//! Owns what is written, given what Salesforce holds and lets our user write; equal values are not written again. Must not
//! know how either side is read. A program without period costs has nothing to say: the actual cost is emptied only when
//! the costs that it came from were cleared, and an amount that a person entered is left alone.

use serde::{Deserialize, Serialize};

use super::warning::{Warning, WarningCode};

/// How Salesforce lets our user write campaigns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampaignFields {
    /// Whether campaigns may be created.
    pub createable: bool,
    /// None when field security hides it.
    pub campaign_type: Option<TypeField>,
    /// None when field security hides it.
    pub actual_cost: Option<CostField>,
}

/// `Campaign.Type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeField {
    pub updateable: bool,
    /// The only values that may be written; none when the picklist is not restricted.
    pub only: Option<Vec<String>>,
}

/// `Campaign.ActualCost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostField {
    pub updateable: bool,
    /// Decimals that the currency is kept with.
    pub scale: u8,
}

/// The period costs of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Costs {
    /// They could not be asked for.
    #[default]
    Unknown,
    /// There are none.
    None,
    /// Their sum.
    Sum(f64),
}

/// What has to be written to a campaign; a field that is none is left alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CampaignChange {
    pub name: Option<String>,
    pub campaign_type: Option<String>,
    /// None within empties it.
    pub actual_cost: Option<Option<f64>>,
}

impl CampaignChange {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The longest value of `Campaign.Type`.
const LONGEST_TYPE: usize = 40;

/// The type that is to be written for a channel, with what keeps it from being written.
#[must_use]
pub fn campaign_type(channel: &str, now: Option<&str>, field: Option<&TypeField>) -> (Option<String>, Option<Warning>) {
    if now == Some(channel) {
        return (None, None);
    }
    let (code, message) = match field.filter(|field| field.updateable) {
        None => (
            WarningCode::TypeNotWritable,
            "Salesforce does not let our user write Campaign.Type: grant edit access to the field".to_owned(),
        ),
        Some(TypeField { only: Some(values), .. }) if !values.iter().any(|value| value == channel) => (
            WarningCode::TypeNotInPicklist,
            format!("Campaign.Type is a restricted picklist without the value {channel:?}: add it in Salesforce"),
        ),
        Some(_) if channel.chars().count() > LONGEST_TYPE => (
            WarningCode::TypeNotInPicklist,
            format!("the channel {channel:?} is longer than the {LONGEST_TYPE} characters of Campaign.Type"),
        ),
        Some(_) => return (Some(channel.to_owned()), None),
    };
    (None, Some(Warning::new(code, message)))
}

/// The actual cost that is to be written, with what keeps it from being written. `before` are the costs that were found
/// when the two were last compared.
#[must_use]
pub fn actual_cost(
    costs: Costs,
    before: Costs,
    now: Option<f64>,
    field: Option<&CostField>,
) -> (Option<Option<f64>>, Option<Warning>) {
    let wanted = match (costs, before) {
        (Costs::Unknown, _) => {
            let message =
                "the period costs cannot be asked for, since the program's name has a comma: rename it in Marketo";
            return (None, Some(Warning::new(WarningCode::CostUnreadable, message)));
        }
        // Emptied since: unless a person has entered something else meanwhile.
        (Costs::None, Costs::Sum(_)) => None,
        (Costs::None, _) => return (None, None),
        (Costs::Sum(sum), _) => Some(sum),
    };
    let Some(field) = field.filter(|field| field.updateable) else {
        let message = "Salesforce does not let our user write Campaign.ActualCost: grant edit access to the field";
        let same = field.is_some() && now == wanted;
        return (None, (!same).then(|| Warning::new(WarningCode::CostNotWritable, message)));
    };
    let wanted = wanted.map(|sum| rounded(sum, field.scale));
    let same = now.map(|now| rounded(now, field.scale)) == wanted;
    ((!same).then_some(wanted), None)
}

/// Half up, as Salesforce rounds.
fn rounded(amount: f64, scale: u8) -> f64 {
    let unit = 10_f64.powi(i32::from(scale));
    (amount * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> TypeField {
        TypeField { updateable: true, only: None }
    }

    #[test]
    fn the_type_is_written_where_it_differs_and_may_be_written() {
        let code = |found: (Option<String>, Option<Warning>)| (found.0, found.1.map(|warning| warning.code));
        let only = |values: &[&str]| TypeField { only: Some(values.iter().map(|&v| v.to_owned()).collect()), ..open() };
        let webinar = || Some("Webinar".to_owned());
        assert_eq!(campaign_type("Webinar", Some("Webinar"), None), (None, None));
        assert_eq!(campaign_type("Webinar", None, Some(&open())), (webinar(), None));
        assert_eq!(campaign_type("Webinar", Some("Email"), Some(&only(&["Webinar"]))), (webinar(), None));
        let refused = code(campaign_type("Webinar", None, Some(&only(&["webinar"]))));
        assert_eq!(refused, (None, Some(WarningCode::TypeNotInPicklist)));
        let long = "x".repeat(41);
        assert_eq!(code(campaign_type(&long, None, Some(&open()))), (None, Some(WarningCode::TypeNotInPicklist)));
        let locked = TypeField { updateable: false, ..open() };
        for field in [None, Some(&locked)] {
            assert_eq!(code(campaign_type("Webinar", None, field)), (None, Some(WarningCode::TypeNotWritable)));
        }
    }

    #[test]
    fn the_cost_is_written_when_it_differs_after_rounding_and_emptied_only_when_cleared() {
        let field = |scale| CostField { updateable: true, scale };
        let write = |costs, before, now, scale| actual_cost(costs, before, now, Some(&field(scale))).0;
        let sum = Costs::Sum;
        assert_eq!(write(sum(2500.0), Costs::Unknown, None, 0), Some(Some(2500.0)));
        assert_eq!(write(sum(2500.0), Costs::Unknown, Some(2500.0), 0), None);
        assert_eq!(write(sum(2500.5), Costs::Unknown, Some(2501.0), 0), None);
        assert_eq!(write(sum(2500.125), Costs::Unknown, Some(2500.0), 2), Some(Some(2500.13)));
        assert_eq!(write(sum(2500.0), sum(2500.0), Some(2499.99), 2), Some(Some(2500.0)));
        assert_eq!(write(sum(0.0), Costs::None, None, 2), Some(Some(0.0)));
        assert_eq!(write(Costs::None, sum(2500.0), Some(2500.0), 2), Some(None));
        assert_eq!(write(Costs::None, sum(2500.0), None, 2), None);
        assert_eq!(write(Costs::None, Costs::None, Some(900.0), 2), None);
        assert_eq!(write(Costs::None, Costs::Unknown, Some(900.0), 2), None);
        assert_eq!(write(Costs::Unknown, sum(1.0), Some(900.0), 2), None);
    }

    #[test]
    fn a_cost_that_cannot_be_written_is_warned_of() {
        let warned = |costs, now, field: Option<&CostField>| {
            actual_cost(costs, Costs::None, now, field).1.map(|warning| warning.code)
        };
        let locked = CostField { updateable: false, scale: 0 };
        assert_eq!(warned(Costs::Sum(5.0), None, None), Some(WarningCode::CostNotWritable));
        assert_eq!(warned(Costs::Sum(5.0), None, Some(&locked)), Some(WarningCode::CostNotWritable));
        assert_eq!(warned(Costs::Sum(5.0), Some(5.0), Some(&locked)), None);
        assert_eq!(warned(Costs::None, None, None), None);
        assert_eq!(warned(Costs::Unknown, None, None), Some(WarningCode::CostUnreadable));
    }
}
