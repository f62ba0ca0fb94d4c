//! Sizes that whoever starts the suite may ask for, by environment variables; each workload names its own.

use std::str::FromStr;

use crate::ground::{TestDatabase, name_of};

/// One number.
///
/// # Panics
/// When it is set and is none: a run of another size than was asked for is worth nothing.
pub fn number<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(name) else { return default };
    text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
}

/// Several, with commas between them.
pub fn numbers<T: FromStr + Clone>(name: &str, default: &[T]) -> Vec<T> {
    let Ok(text) = std::env::var(name) else { return default.to_vec() };
    let number = |part: &str| {
        part.trim().replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is not a list of numbers: {text}"))
    };
    text.split(',').map(number).collect()
}

/// How often each of those that run in turns does.
pub fn rounds(default: usize) -> usize {
    number("ROUNDS", default).max(1)
}

/// An empty database of each kind, or of the kind that `DATABASES` names: `sqlite`, `postgres`.
pub async fn databases() -> Vec<TestDatabase> {
    let wanted = std::env::var("DATABASES").unwrap_or_default().to_lowercase();
    let all = TestDatabase::each().await.into_iter();
    all.filter(|database| wanted.is_empty() || wanted.contains(&name_of(database).to_lowercase())).collect()
}
