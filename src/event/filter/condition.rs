//! One condition of `where`: a column, an operator, a value; and how the values of JSON compare with the text of a parameter.
//!
//! As in SQL, a condition is true, false or unknown, and only true lets a row pass; `not.` turns true and false around and leaves
//! unknown as it is. It is unknown when the column is not there (or its large value was not sent), when it is NULL (but for `is`), and
//! when the two cannot be compared:
//!
//! | the column's JSON | compares with | how |
//! |---|---|---|
//! | number | a number | exactly, by value: `1.0` equals `1` |
//! | string that is a number as `int8` and `numeric` print it | a number | the same |
//! | any other string | any text | by its characters' code points (collation `C`) |
//! | boolean | `true`, `t`, `false`, `f` | false before true |
//! | array, object | – | only `is` can tell something about them |
//!
//! `like` and `ilike` look at strings, and at numbers as they are written.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::decimal::Decimal;
use super::error::{Problem, shown};
use super::pattern::Pattern;
use super::quoting::{identifier, split_list, unquoted};

/// A condition on one column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Condition {
    column: String,
    negated: bool,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    Compare(Comparison, Operand),
    In(Vec<Operand>),
    Like(Pattern),
    Is(Is),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    Null,
    NotNull,
    True,
    False,
    /// What a boolean is that is NULL.
    Unknown,
}

/// A value to compare with. Its `Debug` hides it: it may be someone's data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Operand(String);

/// A value of a row, as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Boolean(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    Composite,
}

impl Condition {
    /// Reads `column.[not.]operator.value`.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let refused = || Problem::NotACondition { given: shown(text) };
        let (column, rest) = identifier(text).ok_or_else(refused)?;
        let rest = rest.strip_prefix('.').ok_or_else(refused)?;
        let (negated, rest) = match rest.strip_prefix("not.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (operator, value) = rest.split_once('.').ok_or_else(refused)?;
        Ok(Self { column: column.into_owned(), negated, test: Test::parse(operator, value)? })
    }

    pub(super) fn column(&self) -> &str {
        &self.column
    }

    /// How many values it compares with.
    pub(super) fn terms(&self) -> usize {
        match &self.test {
            Test::In(operands) => operands.len(),
            _ => 1,
        }
    }

    /// Whether it is true of `value`, the column's; `None` where the row does not tell.
    pub(super) fn holds(&self, value: Option<&Value<'_>>) -> bool {
        value.and_then(|value| self.test.holds(value)).is_some_and(|held| held != self.negated)
    }
}

impl Test {
    fn parse(operator: &str, value: &str) -> Result<Self, Problem> {
        let comparison = match operator {
            "eq" => Comparison::Equal,
            "neq" => Comparison::NotEqual,
            "lt" => Comparison::Less,
            "lte" => Comparison::LessOrEqual,
            "gt" => Comparison::Greater,
            "gte" => Comparison::GreaterOrEqual,
            "in" => return Self::parse_list(value),
            "like" | "ilike" => return Ok(Self::Like(Pattern::parse(&unquoted(value)?, operator == "ilike")?)),
            "is" => return Is::parse(value).map(Self::Is),
            _ => return Err(Problem::UnknownOperator { given: shown(operator) }),
        };
        Ok(Self::Compare(comparison, Operand::parse(value)?))
    }

    fn parse_list(value: &str) -> Result<Self, Problem> {
        let inner = value.strip_prefix('(').and_then(|value| value.strip_suffix(')')).filter(|inner| !inner.is_empty());
        let pieces = split_list(inner.ok_or(Problem::NotAList)?)?;
        let mut operands = pieces.into_iter().map(Operand::parse).collect::<Result<Vec<_>, _>>()?;
        operands.sort_unstable();
        operands.dedup();
        Ok(Self::In(operands))
    }

    fn holds(&self, value: &Value<'_>) -> Option<bool> {
        match self {
            Self::Is(is) => is.holds(value),
            Self::Compare(comparison, operand) => value.compare(operand).map(|ordering| comparison.holds(ordering)),
            Self::In(operands) => {
                let compared = || operands.iter().filter_map(|operand| value.compare(operand));
                // As in SQL: true when one is equal, else unknown when one could not be compared.
                let equal = compared().any(Ordering::is_eq);
                (equal || compared().count() == operands.len()).then_some(equal)
            }
            Self::Like(pattern) => match value {
                Value::Text(text) => Some(pattern.matches(text)),
                Value::Number(text) => Some(pattern.matches(text)),
                _ => None,
            },
        }
    }
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Is {
    fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "null" => Ok(Self::Null),
            "not_null" => Ok(Self::NotNull),
            "true" => Ok(Self::True),
            "false" => Ok(Self::False),
            "unknown" => Ok(Self::Unknown),
            _ => Err(Problem::UnknownIs { given: shown(text) }),
        }
    }

    fn holds(self, value: &Value<'_>) -> Option<bool> {
        match (self, value) {
            (Self::Null, value) => Some(*value == Value::Null),
            (Self::NotNull, value) => Some(*value != Value::Null),
            (truth, Value::Null) => Some(truth == Self::Unknown),
            (truth, Value::Boolean(true)) => Some(truth == Self::True),
            (truth, Value::Boolean(false)) => Some(truth == Self::False),
            // Whether a number is true, nobody can say.
            _ => None,
        }
    }
}

impl Operand {
    fn parse(text: &str) -> Result<Self, Problem> {
        Ok(Self(unquoted(text)?.into_owned()))
    }
}

impl fmt::Debug for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

impl Value<'_> {
    /// How it stands to `operand`, if the two can be compared.
    fn compare(&self, Operand(operand): &Operand) -> Option<Ordering> {
        match self {
            Self::Null | Self::Composite => None,
            Self::Boolean(value) => {
                let operand = match operand.as_str() {
                    "true" | "t" => true,
                    "false" | "f" => false,
                    _ => return None,
                };
                Some(value.cmp(&operand))
            }
            Self::Number(value) => Some(Decimal::parse(value)?.compare(&Decimal::parse(operand)?)),
            Self::Text(value) => match (Decimal::parse_printed(value), Decimal::parse(operand)) {
                (Some(value), Some(operand)) => Some(value.compare(&operand)),
                _ => Some(value.as_bytes().cmp(operand.as_bytes())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `t`rue, `f`alse or `u`nknown, from what the condition says and what its negation says.
    fn truth(test: &str, value: &Value<'_>) -> char {
        let holds = |text: String| Condition::parse(&text).unwrap().holds(Some(value));
        match (holds(format!("c.{test}")), holds(format!("c.not.{test}"))) {
            (true, false) => 't',
            (false, true) => 'f',
            (false, false) => 'u',
            (true, true) => panic!("{test} is true and false"),
        }
    }

    fn text(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text))
    }

    #[test]
    fn values_compare_by_their_json_type() {
        for (value, test, expected) in [
            (Value::Number("1.0"), "eq.1", 't'),
            (Value::Number("1e2"), "gt.99.9", 't'),
            (Value::Number("7"), "eq.seven", 'u'),
            (Value::Number("7"), "in.(6,7)", 't'),
            (Value::Number("7"), "in.(6,8)", 'f'),
            (Value::Number("7"), "in.(6,eight)", 'u'),
            (Value::Number("4711"), "like.47%", 't'),
            (text("12345678901234567890"), "gt.9", 't'),
            (text("0.10"), "eq.0.1", 't'),
            (text("007"), "eq.7", 'f'),
            (text("007"), "eq.007", 't'),
            (text("abc"), "lt.abd", 't'),
            (text("abc"), "gt.5", 't'),
            (text("Ann"), "ilike.a_n", 't'),
            (text("Ann"), "like.a_n", 'f'),
            (text(""), "eq.", 't'),
            (text("a.b"), "eq.a.b", 't'),
            (text("Smith, Ann"), r#"eq."Smith, Ann""#, 't'),
            (Value::Boolean(true), "eq.t", 't'),
            (Value::Boolean(true), "gt.false", 't'),
            (Value::Boolean(true), "eq.1", 'u'),
            (Value::Boolean(true), "is.true", 't'),
            (Value::Boolean(true), "is.unknown", 'f'),
            (Value::Null, "eq.1", 'u'),
            (Value::Null, "neq.1", 'u'),
            (Value::Null, "like.%", 'u'),
            (Value::Null, "is.null", 't'),
            (Value::Null, "is.not_null", 'f'),
            (Value::Null, "is.true", 'f'),
            (Value::Null, "is.unknown", 't'),
            (Value::Composite, "eq.[]", 'u'),
            (Value::Composite, "is.null", 'f'),
            (text("x"), "is.true", 'u'),
        ] {
            assert_eq!(truth(test, &value), expected, "{value:?} {test}");
        }
    }

    #[test]
    fn of_a_value_that_is_not_there_nothing_is_true() {
        for test in ["c.is.null", "c.not.is.null", "c.eq.1", "c.not.eq.1"] {
            assert!(!Condition::parse(test).unwrap().holds(None), "{test}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_what_is() {
        let refused = |text| Condition::parse(text).unwrap_err().to_string();
        for text in ["", "c", "c.eq", "eq.1", "c.not.eq", ".eq.1", "\"c\"eq.1"] {
            assert!(refused(text).contains("column.operator.value"), "{text}");
        }
        assert!(refused("c.like").contains("column.operator.value"));
        assert!(refused("c.regex.x").contains("ilike"), "{}", refused("c.regex.x"));
        assert!(refused("c.is.5").contains("not_null"));
        assert!(refused("c.in.5").contains("parentheses"));
        assert!(refused("c.in.()").contains("parentheses"));
    }
}
