//! `$filter` of the list: what was seen to work, and a little more of what an OData server takes. Refuses the rest with the
//! words of the real one, as far as they are known; never guesses what was meant.

use std::borrow::Cow;

use crate::model::dialect::Dialect;
use crate::model::timestamp::Timestamp;
use crate::sandbox::graph::words;
use crate::sandbox::rows::Revision;

/// Brackets within brackets at most.
const DEPTH_MAX: usize = 20;
/// Comparisons at most.
const COMPARISONS_MAX: usize = 100;

/// A condition on a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `lastUpdateTime ge 2026-01-01T00:00:00Z`
    Time(TimeProperty, Comparison, Timestamp),
    /// `status eq 'Active'`; the flag is true for `eq` and false for `ne`, and none stands for `null`.
    Text(TextProperty, bool, Option<String>),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// Either.
    Or(Box<Self>, Box<Self>),
}

/// A property that holds a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeProperty {
    /// `lastUpdateTime`
    LastUpdate,
    /// `createdTime`
    Created,
}

/// A property that holds a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextProperty {
    /// `status`
    Status,
    /// `assignedTo`
    AssignedTo,
    /// An enumeration of Graph's.
    OfGraph(GraphProperty),
}

/// An enumeration that Graph filters by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphProperty {
    /// `status`
    Status,
    /// `severity`
    Severity,
    /// `classification`
    Classification,
    /// `determination`
    Determination,
}

impl GraphProperty {
    fn of(self, row: &Revision) -> String {
        match self {
            Self::Status => words::plain(row.status.as_str()),
            Self::Severity => words::plain(row.facts.incident().severity()),
            Self::Classification => words::plain(row.facts.incident().classification),
            Self::Determination => words::determination(row.facts.incident().determination),
        }
    }
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `eq`
    Equal,
    /// `ne`
    NotEqual,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
}

/// What is wrong with a `$filter`, in the words that follow `Invalid OData URI query`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

impl Filter {
    /// Reads an expression of Defender's, spaces already decoded.
    ///
    /// # Errors
    /// An unknown property, a literal of the wrong type, or a syntax that is not understood.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Self::parse_in(Dialect::Defender, text)
    }

    /// The same in either dialect.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_in(dialect: Dialect, text: &str) -> Result<Self, FilterError> {
        let mut parser = Parser { dialect, tokens: tokens(text)?, at: 0, depth: 0, comparisons: 0 };
        let filter = parser.either()?;
        match parser.tokens.get(parser.at) {
            None => Ok(filter),
            Some(token) => Err(FilterError(format!("Syntax error at '{}' in '{text}'.", token.shown()))),
        }
    }

    /// Whether a row fulfils it.
    pub fn takes(&self, row: &Revision) -> bool {
        match self {
            Self::Time(TimeProperty::LastUpdate, comparison, time) => comparison.holds(row.last_update, *time),
            Self::Time(TimeProperty::Created, comparison, time) => comparison.holds(row.created, *time),
            Self::Text(property, equal, text) => {
                let value = match property {
                    TextProperty::Status => Some(Cow::Borrowed(row.status.as_str())),
                    TextProperty::AssignedTo => row.assigned_to.map(Cow::Borrowed),
                    TextProperty::OfGraph(property) => Some(Cow::Owned(property.of(row))),
                };
                (value.as_deref() == text.as_deref()) == *equal
            }
            Self::And(left, right) => left.takes(row) && right.takes(row),
            Self::Or(left, right) => left.takes(row) || right.takes(row),
        }
    }

    /// Bounds of `lastUpdateTime`, both included, outside of which it takes nothing.
    pub fn bounds(&self) -> (Timestamp, Timestamp) {
        let (first, last) = (Timestamp::default(), Timestamp::from_ticks(u64::MAX));
        match self {
            Self::Time(TimeProperty::LastUpdate, comparison, time) => match comparison {
                Comparison::Equal => (*time, *time),
                Comparison::NotEqual => (first, last),
                Comparison::Greater | Comparison::GreaterOrEqual => (*time, last),
                Comparison::Less | Comparison::LessOrEqual => (first, *time),
            },
            Self::And(left, right) => {
                let (left, right) = (left.bounds(), right.bounds());
                (left.0.max(right.0), left.1.min(right.1))
            }
            Self::Or(left, right) => {
                let (left, right) = (left.bounds(), right.bounds());
                (left.0.min(right.0), left.1.max(right.1))
            }
            Self::Time(TimeProperty::Created, ..) | Self::Text(..) => (first, last),
        }
    }

    /// Whether there is a `lt` or `le` in it.
    pub fn bounds_from_above(&self) -> bool {
        match self {
            Self::Time(_, comparison, _) => matches!(comparison, Comparison::Less | Comparison::LessOrEqual),
            Self::Text(..) => false,
            Self::And(left, right) | Self::Or(left, right) => left.bounds_from_above() || right.bounds_from_above(),
        }
    }
}

impl Comparison {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            _ => return None,
        })
    }

    fn holds(self, left: Timestamp, right: Timestamp) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => right < left,
            Self::GreaterOrEqual => right <= left,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    Word(&'a str),
    Text(String),
}

impl Token<'_> {
    fn shown(&self) -> &str {
        match self {
            Self::Open => "(",
            Self::Close => ")",
            Self::Word(word) => word,
            Self::Text(text) => text,
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '\'' => quoted(rest).ok_or_else(|| {
                FilterError(format!("There is an unterminated string literal at position {} in '{text}'.", text.len()))
            })?,
            _ => {
                let end = rest.find([' ', '(', ')', '\'']).unwrap_or(rest.len());
                (Token::Word(&rest[..end]), &rest[end..])
            }
        };
        tokens.push(token);
        rest = after.trim_start_matches(' ');
    }
    Ok(tokens)
}

/// `'it''s'` → `it's`, and what follows it.
fn quoted(text: &str) -> Option<(Token<'_>, &str)> {
    let mut value = String::new();
    let mut rest = &text[1..];
    loop {
        let (part, after) = rest.split_once('\'')?;
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((Token::Text(value), after)),
        }
    }
}

struct Parser<'a> {
    dialect: Dialect,
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
    comparisons: usize,
}

impl<'a> Parser<'a> {
    fn either(&mut self) -> Result<Filter, FilterError> {
        let mut left = self.both()?;
        while self.takes_word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Filter, FilterError> {
        let mut left = self.one()?;
        while self.takes_word("and") {
            left = Filter::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Filter, FilterError> {
        match self.next()? {
            Token::Open => {
                self.depth += 1;
                if DEPTH_MAX < self.depth {
                    return Err(FilterError("Recursion depth exceeded allowed limit.".into()));
                }
                let inner = self.either()?;
                self.depth -= 1;
                match self.next()? {
                    Token::Close => Ok(inner),
                    token @ (Token::Open | Token::Word(_) | Token::Text(_)) => {
                        Err(FilterError(format!("')' or operator expected at '{}'.", token.shown())))
                    }
                }
            }
            Token::Word(property) => self.comparison(property),
            token @ (Token::Close | Token::Text(_)) => {
                Err(FilterError(format!("Expression expected at '{}'.", token.shown())))
            }
        }
    }

    fn comparison(&mut self, property: &str) -> Result<Filter, FilterError> {
        self.comparisons += 1;
        if COMPARISONS_MAX < self.comparisons {
            return Err(FilterError(format!("The node count limit of '{COMPARISONS_MAX}' has been exceeded.")));
        }
        let operator = self.next()?;
        let comparison = match &operator {
            Token::Word(word) => Comparison::named(word),
            Token::Open | Token::Close | Token::Text(_) => None,
        };
        let comparison = comparison.ok_or_else(|| FilterError(format!("Syntax error at '{}'.", operator.shown())))?;
        let literal = self.next()?;
        match Property::named(self.dialect, property)? {
            Property::Time(property) => time(property, comparison, &literal),
            Property::Text(property) => text(property, comparison, literal),
        }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let takes = self.tokens.get(self.at) == Some(&Token::Word(word));
        self.at += usize::from(takes);
        takes
    }

    fn next(&mut self) -> Result<Token<'a>, FilterError> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token.ok_or_else(|| FilterError("Expression expected at the end of the filter.".into()))
    }
}

enum Property {
    Time(TimeProperty),
    Text(TextProperty),
}

impl Property {
    fn named(dialect: Dialect, name: &str) -> Result<Self, FilterError> {
        let of_graph = |property| Self::Text(TextProperty::OfGraph(property));
        Ok(match (dialect, name) {
            (Dialect::Defender, "lastUpdateTime") | (Dialect::Graph, "lastUpdateDateTime") => {
                Self::Time(TimeProperty::LastUpdate)
            }
            (Dialect::Defender, "createdTime") | (Dialect::Graph, "createdDateTime") => {
                Self::Time(TimeProperty::Created)
            }
            (_, "assignedTo") => Self::Text(TextProperty::AssignedTo),
            (Dialect::Defender, "status") => Self::Text(TextProperty::Status),
            (Dialect::Graph, "status") => of_graph(GraphProperty::Status),
            (Dialect::Graph, "severity") => of_graph(GraphProperty::Severity),
            (Dialect::Graph, "classification") => of_graph(GraphProperty::Classification),
            (Dialect::Graph, "determination") => of_graph(GraphProperty::Determination),
            (Dialect::Defender, _) => return Err(unknown(name, "Microsoft.Defender.Incident")),
            (Dialect::Graph, _) => return Err(unknown(name, "microsoft.graph.security.incident")),
        })
    }
}

fn unknown(property: &str, of: &str) -> FilterError {
    FilterError(format!("Could not find a property named '{property}' on type '{of}'."))
}

fn time(property: TimeProperty, comparison: Comparison, literal: &Token<'_>) -> Result<Filter, FilterError> {
    let time = match literal {
        Token::Word(word) => moment(word),
        Token::Open | Token::Close | Token::Text(_) => None,
    };
    let time = time.ok_or_else(|| {
        FilterError(format!(
            "A binary operator with incompatible types was detected: 'Edm.DateTimeOffset' and '{}'.",
            literal.shown()
        ))
    })?;
    Ok(Filter::Time(property, comparison, time))
}

/// A literal of the server: an offset is a must, and so are at most seven digits.
fn moment(word: &str) -> Option<Timestamp> {
    let digits = word.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    if 7 < digits { None } else { word.parse().ok() }
}

fn text(property: TextProperty, comparison: Comparison, literal: Token<'_>) -> Result<Filter, FilterError> {
    let text = match literal {
        Token::Text(text) => Some(text),
        Token::Word("null") => None,
        token @ (Token::Open | Token::Close | Token::Word(_)) => {
            return Err(FilterError(format!(
                "A binary operator with incompatible types was detected: 'Edm.String' and '{}'.",
                token.shown()
            )));
        }
    };
    match comparison {
        Comparison::Equal => Ok(Filter::Text(property, true, text)),
        Comparison::NotEqual => Ok(Filter::Text(property, false, text)),
        Comparison::Greater | Comparison::GreaterOrEqual | Comparison::Less | Comparison::LessOrEqual => {
            Err(FilterError("The operator is not supported for 'Edm.String'.".into()))
        }
    }
}
