//! PostgreSQL's array texts (`{1,NULL,"a b"}`) → JSON arrays.
//!
//! Syntax: <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>

use super::value::{self, Scalar};

/// PostgreSQL's `MAXDIM`.
const MAX_DIMENSIONS: u8 = 6;

/// Appends `text` as a JSON array of `element`s; `false`, and nothing is appended, if it is not a plain array: one with bounds of its
/// own (`[0:1]={7,8}`) would lose them as JSON.
pub(super) fn embed(out: &mut Vec<u8>, element: Scalar, text: &str, scratch: &mut String) -> bool {
    let start = out.len();
    let mut writer = Writer { out, element, scratch };
    let whole = matches!(writer.dimension(text, MAX_DIMENSIONS), Some(""));
    if !whole {
        out.truncate(start);
    }
    whole
}

struct Writer<'w> {
    out: &'w mut Vec<u8>,
    element: Scalar,
    scratch: &'w mut String,
}

impl Writer<'_> {
    /// Writes the array that `text` begins with and returns what follows it.
    fn dimension<'t>(&mut self, text: &'t str, dimensions: u8) -> Option<&'t str> {
        let inner = dimensions.checked_sub(1)?;
        let mut left = text.strip_prefix('{')?;
        self.out.push(b'[');
        if let Some(after) = left.strip_prefix('}') {
            self.out.push(b']');
            return Some(after);
        }
        loop {
            left = match left.as_bytes().first()? {
                b'{' => self.dimension(left, inner)?,
                b'"' => self.quoted(left)?,
                _ => self.bare(left)?,
            };
            if let Some(after) = left.strip_prefix('}') {
                self.out.push(b']');
                return Some(after);
            }
            left = left.strip_prefix(',')?;
            self.out.push(b',');
        }
    }

    fn bare<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let end = text.find([',', '}', '{', '"', '\\'])?;
        let (element, after) = text.split_at_checked(end)?;
        match element {
            "" => return None,
            "NULL" => self.out.extend_from_slice(b"null"),
            _ => value::scalar(self.out, self.element, element),
        }
        Some(after)
    }

    fn quoted<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let mut left = text.strip_prefix('"')?;
        self.scratch.clear();
        loop {
            let at = memchr::memchr2(b'"', b'\\', left.as_bytes())?;
            let (plain, rest) = left.split_at_checked(at)?;
            if let Some(after) = rest.strip_prefix('"') {
                if self.scratch.is_empty() {
                    value::scalar(self.out, self.element, plain);
                } else {
                    self.scratch.push_str(plain);
                    value::scalar(self.out, self.element, self.scratch);
                }
                return Some(after);
            }
            self.scratch.push_str(plain);
            let mut escaped = rest.strip_prefix('\\')?.chars();
            self.scratch.push(escaped.next()?);
            left = escaped.as_str();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn embedded(element: Scalar, text: &str) -> Option<String> {
        let mut out = b"before".to_vec();
        let whole = embed(&mut out, element, text, &mut String::new());
        let written = String::from_utf8(out).unwrap();
        assert!(whole || written == "before");
        whole.then(|| written.trim_start_matches("before").to_owned())
    }

    #[test]
    fn arrays() {
        for (element, text, json) in [
            (Scalar::Integer, "{}", "[]"),
            (Scalar::Integer, "{1,NULL,-3}", "[1,null,-3]"),
            (Scalar::Integer, "{{1,2},{3,NULL}}", "[[1,2],[3,null]]"),
            (Scalar::Integer, "{9223372036854775807}", r#"["9223372036854775807"]"#),
            (Scalar::Float, "{1e+20,NaN,-0}", r#"[1e+20,"NaN",-0]"#),
            (Scalar::Boolean, "{t,f,NULL}", "[true,false,null]"),
            (Scalar::Text, r#"{"a b","NULL",NULL,"",plain,"q\"b\\n"}"#, r#"["a b","NULL",null,"","plain","q\"b\\n"]"#),
            (Scalar::Json, r#"{"{\"a\": [1, 2]}",3}"#, r#"[{"a": [1, 2]},3]"#),
        ] {
            assert_eq!(embedded(element, text).as_deref(), Some(json), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_plain_array_is_refused() {
        let deep = "{".repeat(7) + "1" + &"}".repeat(7);
        for text in
            ["", "1", "{", "{1", "{1,}", "{,1}", "{1}}", "{1}x", r#"{"a}"#, r#"{"a"b}"#, "{a\"b}", "[0:1]={1,2}", "{\\", &deep]
        {
            assert_eq!(embedded(Scalar::Text, text), None, "{text}");
        }
    }

    proptest! {
        /// As `array_out` would print them, all quoted.
        #[test]
        fn elements_are_read_back(elements: Vec<Option<String>>) {
            let print = |element: &Option<String>| match element {
                None => "NULL".to_owned(),
                Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            };
            let text = format!("{{{}}}", elements.iter().map(print).collect::<Vec<_>>().join(","));
            let json = embedded(Scalar::Text, &text).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vec<Option<String>>>(&json).unwrap(), elements);
        }

        #[test]
        fn what_is_embedded_parses(text in r#"[{},"\\a1NUL\[\]:= é]{0,30}"#) {
            for element in [Scalar::Integer, Scalar::Text, Scalar::Json] {
                if let Some(json) = embedded(element, &text) {
                    prop_assert!(serde_json::from_str::<Vec<serde_json::Value>>(&json).is_ok());
                }
            }
        }
    }
}
