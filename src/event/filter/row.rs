//! The columns that a filter asks about, found in the JSON of a change without reading the rest of it into memory.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::condition::{Condition, Value};

/// What a change says about its row.
#[derive(serde::Deserialize)]
struct Rows<'a> {
    #[serde(borrow)]
    new: Option<&'a RawValue>,
    #[serde(borrow)]
    old: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
}

/// Whether every condition holds for the row as it is now, or every one for the row as it was.
pub(super) fn passes(conditions: &[Condition], json: &[u8]) -> bool {
    // Our own encoder wrote it; were it not an object, no condition could be true of it.
    let Ok(Rows { new, old, key }) = serde_json::from_slice(json) else { return false };
    [new, old.or(key)].into_iter().flatten().any(|row| all_hold(conditions, row))
}

fn all_hold(conditions: &[Condition], row: &RawValue) -> bool {
    let Ok(values) = Columns(conditions).deserialize(&mut serde_json::Deserializer::from_str(row.get())) else { return false };
    let values = values.into_iter().map(|found| found.and_then(|raw| value(raw.get())));
    conditions.iter().zip(values).all(|(condition, value)| condition.holds(value.as_ref()))
}

/// Reads the value of each condition's column from an object.
struct Columns<'f>(&'f [Condition]);

impl<'a> DeserializeSeed<'a> for Columns<'_> {
    type Value = Vec<Option<&'a RawValue>>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Columns<'_> {
    type Value = Vec<Option<&'a RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut columns: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.0.len()];
        while let Some(asked) = columns.next_key_seed(Asked(self.0))? {
            if asked == 0 {
                columns.next_value::<IgnoredAny>()?;
                continue;
            }
            let found = columns.next_value::<&RawValue>()?;
            let asking = values.iter_mut().enumerate().filter(|(index, _)| asked & (1 << index) != 0);
            asking.for_each(|(_, value)| *value = Some(found));
        }
        Ok(values)
    }
}

/// Reads a column's name, and gives the conditions that ask about it, a bit each.
struct Asked<'f>(&'f [Condition]);

impl<'a> DeserializeSeed<'a> for Asked<'_> {
    type Value = u32;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Asked<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<u32, E> {
        let bit = |(index, condition): (usize, &Condition)| u32::from(condition.column() == name) << index;
        Ok(self.0.iter().enumerate().map(bit).sum())
    }
}

/// One value, from its JSON text.
fn value(json: &str) -> Option<Value<'_>> {
    Some(match json.as_bytes().first()? {
        b'n' => Value::Null,
        b't' => Value::Boolean(true),
        b'f' => Value::Boolean(false),
        b'"' => match json.get(1..json.len().checked_sub(1)?) {
            Some(plain) if !plain.contains('\\') => Value::Text(Cow::Borrowed(plain)),
            _ => Value::Text(Cow::Owned(String::deserialize(&mut serde_json::Deserializer::from_str(json)).ok()?)),
        },
        b'[' | b'{' => Value::Composite,
        _ => Value::Number(json),
    })
}
