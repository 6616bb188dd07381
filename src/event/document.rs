//! `json` and `jsonb` values, embedded as they are.
//!
//! PostgreSQL takes documents that many parsers refuse, and one of them would make the whole event unreadable. Such a document is
//! given as a string, its text: when it holds half of a surrogate pair (`"\ud800"`, legal in `json`), a number beyond the range of a
//! double (`1e400`), or more than [`MAX_DEPTH`] levels.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Levels of a document that is embedded. Parsers commonly stop at 128, and the event around it takes some.
const MAX_DEPTH: u8 = 100;

/// Appends the document `text` on one line; `false`, and nothing is appended, if it cannot be embedded.
pub(super) fn embed(out: &mut Vec<u8>, text: &str) -> bool {
    let mut parser = serde_json::Deserializer::from_str(text);
    let sound = Strict { levels: MAX_DEPTH }.deserialize(&mut parser).and_then(|()| parser.end()).is_ok();
    if sound {
        // Within a string a line end would not have passed, so these are white space.
        let mut lines = text.split(['\n', '\r']);
        out.extend_from_slice(lines.next().unwrap_or_default().as_bytes());
        for line in lines {
            out.push(b' ');
            out.extend_from_slice(line.as_bytes());
        }
    }
    sound
}

/// Reads a document, keeps nothing, and refuses what a parser that keeps it would.
#[derive(Clone, Copy)]
struct Strict {
    levels: u8,
}

impl Strict {
    fn within<E: Error>(self) -> Result<Self, E> {
        let levels = self.levels.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { levels })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let within = self.within()?;
        while elements.next_element_seed(within)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let within = self.within()?;
        while members.next_key_seed(within)?.is_some() {
            members.next_value_seed(within)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn embedded(text: &str) -> Option<String> {
        let mut out = Vec::new();
        embed(&mut out, text).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn documents_stay_as_they_are() {
        for text in ["null", " 1.0 ", r#"{"a":1,"a":2}"#, r#"["\ud83d\ude00\u0000"]"#, "123456789012345678901234567890"] {
            assert_eq!(embedded(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn line_ends_become_spaces() {
        assert_eq!(embedded("{\r\n  \"a\": 1\n}").as_deref(), Some("{    \"a\": 1 }"));
    }

    #[test]
    fn what_parsers_refuse_is_not_embedded() {
        let deep = |levels| "[".repeat(levels) + &"]".repeat(levels);
        assert!(embedded(&deep(100)).is_some());
        for text in ["", "{", "1 2", r#""\ud800""#, r#"{"\ud800":1}"#, "[1e400]", "\"a\nb\"", &deep(101), &deep(100_000)] {
            assert_eq!(embedded(text), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_embedded_is_one_line_and_parses(text in r#"[\[\]{}:,"a1e\\u\n\r .-]{0,40}"#) {
            if let Some(json) = embedded(&text) {
                prop_assert!(!json.contains(['\n', '\r']));
                prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
            }
        }
    }
}
