//! The forms of the page: which call of the control API each makes, and how its fields become that call's body.
//!
//! Owns how; the table itself is `acts`. A field that is left empty is left out of the body; a dot in its name leads into the body, a number after
//! a dot into a list.

use serde_json::{Value, json};

/// What a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    /// Ids separated by commas, as numbers where they are numbers.
    List,
    /// One of these.
    Choice(&'static [&'static str]),
    /// The whole body, as JSON.
    Body,
}

/// A field: where it goes in the body, or `{name}` for the path; what a person reads; what it takes.
pub type Field = (&'static str, &'static str, Kind);

/// One form.
#[derive(Debug)]
pub struct Form {
    pub world: World,
    pub title: &'static str,
    pub method: &'static str,
    /// `{name}` is replaced by the field of that name.
    pub path: &'static str,
    pub fields: &'static [Field],
    /// What the body begins with.
    pub fixed: &'static str,
}

/// Where on the page a form stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    Salesforce,
    Marketo,
    Both,
}

impl Form {
    /// Path and body of the call, from what was given; what is wrong otherwise.
    pub fn call<'g>(&self, given: impl Fn(&str) -> &'g str) -> Result<(String, String), String> {
        let mut path = self.path.to_owned();
        let mut body: Value = serde_json::from_str(self.fixed).unwrap_or_default();
        for (name, label, kind) in self.fields {
            let text = given(name);
            if name.starts_with('{') {
                let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
                path = if plain { path.replace(name, text) } else { return Err(format!("{label}: an id is needed")) };
            } else if *kind == Kind::Body {
                body = serde_json::from_str(text).map_err(|error| format!("{label}: {error}"))?;
            } else if !text.is_empty() {
                let value = value(*kind, text).ok_or_else(|| format!("{label}: {text} is not what is wanted here"))?;
                put(&mut body, name, value);
            }
        }
        Ok((path, body.to_string()))
    }
}

fn value(kind: Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::Text | Kind::Body => text.into(),
        Kind::Number => serde_json::from_str(text).ok().filter(Value::is_number)?,
        Kind::List => text
            .split(',')
            .map(|part| part.trim())
            .map(|part| part.parse::<i64>().map_or_else(|_| json!(part), |n| json!(n)))
            .collect(),
        Kind::Choice(choices) => choices.contains(&text).then(|| match text {
            "true" => json!(true),
            "false" => json!(false),
            text => json!(text),
        })?,
    })
}

fn put(body: &mut Value, name: &str, value: Value) {
    let mut place = body;
    for part in name.split('.') {
        place = match part.parse::<usize>() {
            Ok(n) => {
                if !place.is_array() {
                    *place = json!([]);
                }
                let Value::Array(list) = place else { return };
                list.resize(list.len().max(n + 1), json!({}));
                &mut list[n]
            }
            Err(_) => {
                if !place.is_object() {
                    *place = json!({});
                }
                &mut place[part]
            }
        };
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::super::acts::FORMS;
    use super::*;

    fn call(title: &str, given: &[(&str, &'static str)]) -> Result<(String, Value), String> {
        let form = FORMS.iter().find(|form| form.title == title).unwrap();
        let of = |name: &str| given.iter().find(|(k, _)| *k == name).map(|(_, v)| *v).unwrap_or_default();
        form.call(of).map(|(path, body)| (path, serde_json::from_str(&body).unwrap()))
    }

    #[test]
    fn fields_become_the_bodies_of_calls() {
        let members = [("{id}", "1001"), ("lead_ids", "1, 2"), ("status", "Attended")];
        let made = call("Add members or change their status", &members).unwrap();
        assert_eq!(made, ("/marketo/programs/1001/members".into(), json!({"lead_ids": [1, 2], "status": "Attended"})));
        let rule = [("validation_rules.0.object", "Lead"), ("validation_rules.0.message", "no")];
        let body = json!({"validation_rules": [{"object": "Lead", "message": "no"}]});
        assert_eq!(call("Validation rule", &rule).unwrap().1, body);
        assert_eq!(call("Validation rule", &[]).unwrap().1, json!({"validation_rules": []}));
        let fault = [("vendor", "marketo"), ("action.answer.status", "503")];
        let body = json!({"vendor": "marketo", "action": {"answer": {"status": 503}}});
        assert_eq!(call("Answer the next calls with a fault", &fault).unwrap().1, body);
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for (title, given) in [
            ("Delete a record", [("{id}", "../options")]),
            ("Delete a record", [("{id}", "")]),
            ("Move the clock", [("advance_seconds", "soon")]),
            ("Duplicate rule", [("duplicate_rule", "sometimes")]),
            ("Any option of Marketo", [("", "{")]),
        ] {
            assert!(call(title, &given).is_err(), "{title}");
        }
    }

    #[test]
    fn titles_tell_forms_apart() {
        let mut titles: Vec<&str> = FORMS.iter().map(|form| form.title).collect();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), FORMS.len());
    }
}
