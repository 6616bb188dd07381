//! A column's JSON → PostgreSQL's own text of the value, which every type reads.
//!
//! The inverse of what an event does with a value. Numbers and documents are taken as they stand, so `1.50` keeps its scale and `json`
//! its text. What the JSON alone does not tell stands in the event's `exact`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What is known of a column of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Value<'a> {
    /// It was not sent.
    #[default]
    Unknown,
    /// It was sent, but not all of its bytes meant something.
    Invalid,
    /// It was sent, and was too long to be kept.
    Cut,
    /// SQL NULL.
    Null,
    /// PostgreSQL's text.
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// Reads the JSON of a column, which is a document if its type is `json` or `jsonb`.
    pub(super) fn read(raw: &'a RawValue, exact: Option<&'a RawValue>, document: bool) -> Self {
        match (exact.unwrap_or(raw).get(), raw.get()) {
            (_, "null") if exact.is_none() => Self::Null,
            (text, _) if exact.is_some() => string(text),
            (json, _) if document || json.starts_with('{') => Self::Text(Cow::Borrowed(json)),
            (json, _) if json.starts_with('"') => string(json),
            (json, _) if json.starts_with('[') => {
                let mut text = String::with_capacity(json.len());
                if array(&mut text, json) { Self::Text(Cow::Owned(text)) } else { Self::Invalid }
            }
            (literal, _) => Self::Text(Cow::Borrowed(literal)),
        }
    }

    /// Whether its value is known.
    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::Null | Self::Text(_))
    }
}

/// The same for values that are equal, also in columns of different types, such as 1 and 1.0. That some others share it too does no harm.
pub(super) fn loose(text: &str) -> &str {
    let plain = text.trim_end();
    let number = plain.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')) && plain.contains('.');
    if number { plain.trim_end_matches('0').trim_end_matches('.') } else { plain }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn string(json: &str) -> Value<'_> {
    serde_json::from_str(json).map_or(Value::Invalid, |Text(text)| Value::Text(text))
}

/// Appends the array as `array_in` reads it; `false` if it is none.
fn array(out: &mut String, json: &str) -> bool {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) else { return false };
    out.push('{');
    for (nth, element) in elements.iter().enumerate() {
        if nth > 0 {
            out.push(',');
        }
        match element.get() {
            "null" => out.push_str("NULL"),
            nested if nested.starts_with('[') => {
                if !array(out, nested) {
                    return false;
                }
            }
            text if text.starts_with('"') => {
                let Value::Text(text) = string(text) else { return false };
                out.push('"');
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(character);
                }
                out.push('"');
            }
            plain => out.push_str(plain),
        }
    }
    out.push('}');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, exact: Option<&str>, document: bool) -> String {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let exact = exact.map(|exact| serde_json::from_str::<&RawValue>(exact).unwrap());
        match Value::read(raw, exact, document) {
            Value::Text(text) => text.into_owned(),
            other => format!("<{other:?}>"),
        }
    }

    #[test]
    fn values_become_what_they_were() {
        for (json, text) in [
            ("null", "<Null>"),
            ("true", "true"),
            ("1.50", "1.50"),
            ("-1.5e-05", "-1.5e-05"),
            (r#""9007199254740993""#, "9007199254740993"),
            (r#""say \"hi\"\n\u00e9\\""#, "say \"hi\"\né\\"),
            ("[]", "{}"),
            (r#"[1,null,"NaN",[2.50]]"#, r#"{1,NULL,"NaN",{2.50}}"#),
            (r#"["a \"b\" \\","NULL",""]"#, r#"{"a \"b\" \\","NULL",""}"#),
            (r#""[0:1]={1,2}""#, "[0:1]={1,2}"),
        ] {
            assert_eq!(read(json, None, false), text, "{json}");
        }
    }

    #[test]
    fn documents_are_taken_as_they_stand() {
        for json in [r#"{"a": 1.50, "a": [null]}"#, "[1, 2]", r#""text""#, "7", "false"] {
            assert_eq!(read(json, None, true), json);
        }
        assert_eq!(read("null", None, true), "<Null>");
        assert_eq!(read("null", Some(r#""null""#), true), "null");
        assert_eq!(read(r#""\"\\ud800\"""#, Some(r#""\"\\ud800\"""#), true), r#""\ud800""#);
        assert_eq!(read("[[1]]", Some(r#""{\"[1]\"}""#), false), r#"{"[1]"}"#);
    }
}
