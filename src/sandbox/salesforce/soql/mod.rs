//! The query language: text to tree to rows.
//!
//! Owns SOQL and its error messages with their row and column. `HAVING`, aliases of objects and relative date literals are refused as
//! unexpected tokens.

mod aggregate;
mod eval;
mod filter;
mod lexer;
mod parser;

pub use eval::{Plan, render};
pub use parser::parse;

use super::error::Fault;

/// An error at a place of the query: the line, a caret below it, row and column from 1.
fn fault_at(text: &str, at: usize, code: &str, message: &str) -> Fault {
    let before = &text[..at.min(text.len())];
    let row = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    let column = before[start..].chars().count() + 1;
    let line = text[start..].lines().next().unwrap_or_default();
    let caret = " ".repeat(column - 1);
    Fault::new(code, format!("\n{line}\n{caret}^\nERROR at Row:{row}:Column:{column}\n{message}"))
}

#[cfg(test)]
mod tests;
