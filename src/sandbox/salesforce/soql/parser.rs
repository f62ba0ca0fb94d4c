//! The tree of a query, by recursive descent.
//!
//! Owns the grammar. Like Salesforce it refuses `AND` and `OR` side by side without parentheses. Knows no schema.

use super::super::error::Fault;
use super::lexer::{Token, tokens};

/// A name with dots and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    pub parts: Vec<String>,
    pub at: usize,
}

/// What an aggregate makes of the values of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Count,
    CountDistinct,
    Min,
    Max,
    Sum,
    Avg,
}

impl Function {
    const NAMES: [(&'static str, Self); 6] = [
        ("COUNT", Self::Count),
        ("COUNT_DISTINCT", Self::CountDistinct),
        ("MIN", Self::Min),
        ("MAX", Self::Max),
        ("SUM", Self::Sum),
        ("AVG", Self::Avg),
    ];

    fn named(path: &Path) -> Option<Self> {
        let [name] = &path.parts[..] else { return None };
        Self::NAMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, function)| function)
    }

    /// As it is written in a query.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, function)| *function == self).map_or("", |(name, _)| name)
    }
}

/// What is selected.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `COUNT()`
    Count,
    /// `FIELDS(ALL)`, `FIELDS(STANDARD)`, `FIELDS(CUSTOM)`
    Fields {
        custom: Option<bool>,
        at: usize,
    },
    /// `COUNT(Field) alias`
    Aggregate {
        function: Function,
        path: Path,
        alias: Option<String>,
    },
    Field(Path),
    Children(Query),
}

/// Comparison of a field with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Token(Token),
}

/// The right side of `IN`.
#[derive(Clone, Debug, PartialEq)]
pub enum Set {
    Values(Vec<Literal>),
    Query(Box<Query>),
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Path, Operator, Literal),
    In { path: Path, negated: bool, set: Set },
}

/// One key of `ORDER BY`.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// `ORDER BY COUNT(Field)`
    pub function: Option<Function>,
    pub path: Path,
    pub descending: bool,
    pub nulls_last: bool,
}

/// A query as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub text: String,
    pub items: Vec<Item>,
    pub from: Path,
    pub condition: Option<Condition>,
    pub group: Vec<Path>,
    pub order: Vec<Order>,
    pub limit: Option<usize>,
    pub offset: usize,
}

/// Conditions within conditions; each costs some of the stack.
const DEEPEST: usize = 100;

/// Reads a query; at most 100,000 characters.
pub fn parse(text: &str) -> Result<Query, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("MALFORMED_QUERY", "SOQL statements cannot be empty or null"));
    }
    if text.chars().count() > 100_000 {
        return Err(Fault::new("MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters."));
    }
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    if !parser.peek_word("SELECT") {
        return Err(Fault::new("MALFORMED_QUERY", format!("unexpected token: {}", parser.shown())));
    }
    let query = parser.query()?;
    if parser.next < parser.tokens.len() { Err(parser.unexpected()) } else { Ok(query) }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, usize)>,
    next: usize,
    /// Conditions that the present one is in.
    depth: usize,
}

impl Parser<'_> {
    fn query(&mut self) -> Result<Query, Fault> {
        self.expect_word("SELECT")?;
        let mut items = vec![self.item()?];
        while self.take(",") {
            items.push(self.item()?);
        }
        self.expect_word("FROM")?;
        let from = self.path()?;
        let condition = if self.take_word("WHERE") { Some(self.condition()?) } else { None };
        let mut group = Vec::new();
        if self.take_word("GROUP") {
            self.expect_word("BY")?;
            group.push(self.path()?);
            while self.take(",") {
                group.push(self.path()?);
            }
        }
        let mut order = Vec::new();
        if self.take_word("ORDER") {
            self.expect_word("BY")?;
            order.push(self.order()?);
            while self.take(",") {
                order.push(self.order()?);
            }
        }
        let limit = if self.take_word("LIMIT") { Some(self.number()?) } else { None };
        let offset = if self.take_word("OFFSET") { self.number()? } else { 0 };
        if offset > 2000 {
            return Err(Fault::new("NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"));
        }
        Ok(Query { text: self.text.to_owned(), items, from, condition, group, order, limit, offset })
    }

    fn item(&mut self) -> Result<Item, Fault> {
        if self.take("(") {
            let query = self.query()?;
            self.expect(")")?;
            return Ok(Item::Children(query));
        }
        let path = self.path()?;
        if let Some(function) = Function::named(&path)
            && self.take("(")
        {
            if function == Function::Count && self.take(")") {
                return Ok(Item::Count);
            }
            let path = self.path()?;
            self.expect(")")?;
            let alias = if self.peek_word("FROM") { None } else { self.alias() };
            return Ok(Item::Aggregate { function, path, alias });
        }
        if path.parts.len() == 1 && path.parts[0].eq_ignore_ascii_case("FIELDS") && self.take("(") {
            let custom = if self.take_word("ALL") {
                None
            } else if self.take_word("STANDARD") {
                Some(false)
            } else {
                self.expect_word("CUSTOM")?;
                Some(true)
            };
            self.expect(")")?;
            return Ok(Item::Fields { custom, at: path.at });
        }
        Ok(Item::Field(path))
    }

    fn alias(&mut self) -> Option<String> {
        let Some((Token::Name(name), _)) = self.tokens.get(self.next) else { return None };
        self.next += 1;
        Some(name.clone())
    }

    fn condition(&mut self) -> Result<Condition, Fault> {
        let first = self.term()?;
        let word = if self.peek_word("AND") { "AND" } else { "OR" };
        let mut terms = vec![first];
        while self.take_word(word) {
            terms.push(self.term()?);
        }
        Ok(match (terms.len(), word) {
            (1, _) => terms.remove(0),
            (_, "AND") => Condition::And(terms),
            _ => Condition::Or(terms),
        })
    }

    fn term(&mut self) -> Result<Condition, Fault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Fault::new("MALFORMED_QUERY", "the conditions are nested too deeply"));
        }
        let term = self.bare_term();
        self.depth -= 1;
        term
    }

    fn bare_term(&mut self) -> Result<Condition, Fault> {
        if self.take_word("NOT") {
            return Ok(Condition::Not(Box::new(self.term()?)));
        }
        if self.take("(") {
            let condition = self.condition()?;
            self.expect(")")?;
            return Ok(condition);
        }
        let path = self.path()?;
        let negated = self.peek_word("NOT");
        self.next += usize::from(negated);
        if self.take_word("IN") {
            return Ok(Condition::In { path, negated, set: self.set()? });
        }
        if negated {
            return Err(self.unexpected());
        }
        let operator = self.operator()?;
        Ok(Condition::Compare(path, operator, self.literal()?))
    }

    fn set(&mut self) -> Result<Set, Fault> {
        self.expect("(")?;
        let set = if self.peek_word("SELECT") {
            Set::Query(Box::new(self.query()?))
        } else {
            let mut values = vec![self.literal()?];
            while self.take(",") {
                values.push(self.literal()?);
            }
            Set::Values(values)
        };
        self.expect(")")?;
        Ok(set)
    }

    fn operator(&mut self) -> Result<Operator, Fault> {
        if self.take_word("LIKE") {
            return Ok(Operator::Like);
        }
        let operators = [
            ("=", Operator::Equal),
            ("!=", Operator::Unequal),
            ("<>", Operator::Unequal),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        operators.into_iter().find(|(s, _)| self.take(s)).map(|(_, o)| o).ok_or_else(|| self.unexpected())
    }

    fn literal(&mut self) -> Result<Literal, Fault> {
        let literal = match self.tokens.get(self.next) {
            Some((Token::Name(word), _)) if word.eq_ignore_ascii_case("null") => Literal::Null,
            Some((Token::Name(word), _)) if word.eq_ignore_ascii_case("true") => Literal::Bool(true),
            Some((Token::Name(word), _)) if word.eq_ignore_ascii_case("false") => Literal::Bool(false),
            Some((Token::Name(_) | Token::Symbol(_), _)) | None => return Err(self.unexpected()),
            Some((token, _)) => Literal::Token(token.clone()),
        };
        self.next += 1;
        Ok(literal)
    }

    fn order(&mut self) -> Result<Order, Fault> {
        let mut path = self.path()?;
        let function = Function::named(&path).filter(|_| self.take("("));
        if function.is_some() {
            path = self.path()?;
            self.expect(")")?;
        }
        let descending = !self.take_word("ASC") && self.take_word("DESC");
        let mut nulls_last = false;
        if self.take_word("NULLS") {
            nulls_last = self.take_word("LAST");
            if !nulls_last {
                self.expect_word("FIRST")?;
            }
        }
        Ok(Order { function, path, descending, nulls_last })
    }

    fn path(&mut self) -> Result<Path, Fault> {
        const RESERVED: [&str; 8] = ["FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "SELECT"];
        match self.tokens.get(self.next) {
            Some((Token::Name(name), at)) if !RESERVED.contains(&name.to_uppercase().as_str()) => {
                self.next += 1;
                Ok(Path { parts: name.split('.').map(str::to_owned).collect(), at: *at })
            }
            _ => Err(self.unexpected()),
        }
    }

    fn number(&mut self) -> Result<usize, Fault> {
        match self.tokens.get(self.next) {
            Some((Token::Number(n), _)) if *n >= 0.0 && n.fract() == 0.0 => {
                self.next += 1;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
                Ok(*n as usize)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.tokens.get(self.next), Some((Token::Symbol(s), _)) if *s == symbol);
        self.next += usize::from(found);
        found
    }

    fn peek_word(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.next), Some((Token::Name(name), _)) if name.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), Fault> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn shown(&self) -> String {
        let end = self.tokens.get(self.next + 1).map_or(self.text.len(), |(_, at)| *at);
        self.tokens.get(self.next).map_or("<EOF>".into(), |(_, at)| self.text[*at..end].trim().to_owned())
    }

    fn unexpected(&self) -> Fault {
        let at = self.tokens.get(self.next).map_or(self.text.len(), |(_, at)| *at);
        super::fault_at(self.text, at, "MALFORMED_QUERY", &format!("unexpected token: '{}'", self.shown()))
    }
}
