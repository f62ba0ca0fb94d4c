//! Tokens of a query.
//!
//! Owns the lexical rules: string escapes, unquoted dates and times, names with dots. Positions are bytes from the start.

use jiff::Timestamp;
use jiff::civil::Date;

use super::super::cell::parse_time;
use super::super::error::Fault;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Name(String),
    Text(String),
    Number(f64),
    Date(Date),
    Time(Timestamp),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 11] = ["!=", "<>", "<=", ">=", "(", ")", ",", "=", "<", ">", "*"];

/// The tokens and where each begins.
pub fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Fault> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (token, length) = if c == '\'' {
            string(text, at)?
        } else if c.is_ascii_alphabetic() {
            let length =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
            (Token::Name(rest[..length].to_owned()), length)
        } else if c.is_ascii_digit() || c == '-' || c == '+' {
            literal(text, at)?
        } else if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            (Token::Symbol(symbol), symbol.len())
        } else {
            return Err(super::fault_at(text, at, "MALFORMED_QUERY", &format!("unexpected token: '{c}'")));
        };
        out.push((token, at));
        at += length;
    }
    Ok(out)
}

fn string(text: &str, start: usize) -> Result<(Token, usize), Fault> {
    let mut out = String::new();
    let mut chars = text[start + 1..].char_indices();
    while let Some((n, c)) = chars.next() {
        match c {
            '\'' => return Ok((Token::Text(out), n + 2)),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('b') => out.push('\u{8}'),
                Some('f') => out.push('\u{c}'),
                Some(c @ ('\'' | '"' | '\\')) => out.push(c),
                // Kept with its backslash: only LIKE gives these a meaning.
                Some(c @ ('_' | '%')) => out.extend(['\\', c]),
                _ => {
                    let message = "Illegal string literal: invalid escape sequence";
                    return Err(super::fault_at(text, start, "MALFORMED_QUERY", message));
                }
            },
            c => out.push(c),
        }
    }
    Err(super::fault_at(text, start, "MALFORMED_QUERY", "line breaks not allowed in string literals"))
}

fn literal(text: &str, start: usize) -> Result<(Token, usize), Fault> {
    let rest = &text[start..];
    let inside = |c: char| c.is_ascii_alphanumeric() || "+-.:".contains(c);
    let length = rest.find(|c| !inside(c)).unwrap_or(rest.len());
    let word = &rest[..length];
    let token = if let Ok(number) = word.parse() {
        Token::Number(number)
    } else if word.contains('T') {
        Token::Time(parse_time(word).ok_or_else(|| unexpected(text, start, word))?)
    } else {
        Token::Date(word.parse().map_err(|_| unexpected(text, start, word))?)
    };
    Ok((token, length))
}

fn unexpected(text: &str, at: usize, word: &str) -> Fault {
    super::fault_at(text, at, "MALFORMED_QUERY", &format!("unexpected token: '{word}'"))
}
