//! One admitted call, with its parameters picked apart, and the checks that many calls share.
//!
//! Owns how parameters are read: query and form alike, lists by comma or by repetition, batches of at most 300. Must not know the
//! state, but for the counter of those who send too much.

use serde_json::Value;

use super::envelope::Refusal;
use super::people::text_of;
use super::world::World;

/// Records in a batch, values in a filter and rows on a page of the Lead Database.
pub const BATCH: usize = 300;
/// Assets on a page.
pub const ASSET_PAGE: usize = 200;

/// A call that passed the gate.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Query and form parameters, decoded.
    pub params: Vec<(String, String)>,
    /// The JSON body, null when there is none.
    pub body: Value,
    /// What stands for `{id}` or `{key}` in the path.
    pub path_key: String,
    /// The API user.
    pub user: String,
    /// Ids of people from here on did not exist when the call arrived.
    pub horizon: i64,
}

impl Call {
    /// The id in the path.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.path_key.parse().unwrap_or(0)
    }

    /// The first value of a parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that must be there, or 1002.
    pub fn text(&self, name: &str) -> Result<&str, Refusal> {
        self.param(name).filter(|text| !text.is_empty()).ok_or_else(|| Refusal::missing(name))
    }

    /// A parameter of the Asset API that must be there, or 701.
    pub fn asset_text(&self, name: &str) -> Result<&str, Refusal> {
        self.param(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Refusal::new(701, format!("{name} cannot be blank")))
    }

    /// All values of a parameter, separated by commas or repeated.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        let values = self.params.iter().filter(|(key, _)| key == name).flat_map(|(_, value)| value.split(','));
        values.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect()
    }

    /// A list of numbers.
    pub fn ids(&self, name: &str) -> Result<Vec<i64>, Refusal> {
        self.list(name).iter().map(|text| text.parse().map_err(|_| Refusal::invalid_value(text, "Integer"))).collect()
    }

    /// `batchSize`: 300 unless less is asked for.
    pub fn batch_size(&self, world: &mut World) -> Result<usize, Refusal> {
        let Some(text) = self.param("batchSize") else { return Ok(BATCH) };
        match text.parse::<usize>() {
            Ok(size) if (1..=BATCH).contains(&size) => Ok(size),
            Ok(size) => {
                world.police.over_limit_batches += u64::from(size > BATCH);
                Err(Refusal::invalid(format!("batchSize must be between 1 and {BATCH}")))
            }
            Err(_) => Err(Refusal::invalid_value(text, "Integer")),
        }
    }

    /// `offset` and `maxReturn` of the Asset API.
    pub fn asset_page(&self, world: &mut World) -> Result<(usize, usize), Refusal> {
        let number = |name: &str, default: usize| match self.param(name) {
            None => Ok(default),
            Some(text) => {
                text.parse::<usize>().map_err(|_| Refusal::new(709, format!("{name} must be a positive integer")))
            }
        };
        let (offset, count) = (number("offset", 0)?, number("maxReturn", 20)?);
        if count == 0 || count > ASSET_PAGE {
            world.police.over_limit_batches += u64::from(count > ASSET_PAGE);
            return Err(Refusal::new(709, format!("maxReturn must be between 1 and {ASSET_PAGE}")));
        }
        Ok((offset, count))
    }

    /// Filter values: at least one, at most 300.
    pub fn filter_values(&self, world: &mut World) -> Result<Vec<String>, Refusal> {
        self.text("filterValues")?;
        let values = self.list("filterValues");
        within(world, values.len(), BATCH, "filterValues")?;
        Ok(values)
    }

    /// The records of a write: `input`, at least one and at most 300 objects.
    pub fn input(&self, world: &mut World) -> Result<Vec<Value>, Refusal> {
        let input = self.body.get("input").ok_or_else(|| Refusal::missing("input"))?;
        let input = input.as_array().ok_or_else(|| Refusal::invalid_value(&input.to_string(), "Array"))?;
        within(world, input.len(), BATCH, "input")?;
        if input.is_empty() {
            return Err(Refusal::missing("input"));
        }
        match input.iter().find(|record| !record.is_object()) {
            Some(other) => Err(Refusal::invalid_value(&other.to_string(), "Object")),
            None => Ok(input.clone()),
        }
    }
}

/// 1003 when there is more than the limit.
pub fn within(world: &mut World, count: usize, limit: usize, what: &str) -> Result<(), Refusal> {
    if count <= limit {
        return Ok(());
    }
    world.police.over_limit_batches += 1;
    Err(Refusal::invalid(format!("{what} has {count} entries, which exceeds the limit of {limit}")))
}

/// A number in a record: JSON numbers only, text is refused.
pub fn record_id(record: &Value, name: &str) -> Result<i64, Refusal> {
    match record.get(name) {
        None | Some(Value::Null) => Err(Refusal::missing(name)),
        Some(value) => {
            value.as_i64().ok_or_else(|| Refusal::invalid_value(&text_of(value).unwrap_or_default(), "Integer"))
        }
    }
}
