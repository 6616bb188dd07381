//! A column's value → JSON, by the type of the column.
//!
//! The rule, promised in the documentation: SQL NULL is `null`; booleans are booleans; numbers are numbers where no client can
//! misread them, else strings ([`number`](super::number)); `json` and `jsonb` are embedded ([`document`](super::document)); arrays of
//! simple types are arrays ([`array`](super::array)); everything else is PostgreSQL's own text form. A text that is not what its type
//! promises becomes a string: whatever comes, the result is JSON, on one line.

use crate::encoding::Encoding;
use crate::lsn::Oid;

use super::{array, document, json, number};

/// How the text of a type is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Scalar(Scalar),
    Array(Scalar),
}

/// How a single value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scalar {
    Boolean,
    Integer,
    Float,
    Numeric,
    Json,
    Text,
}

impl Form {
    /// Of a column of this type. Built-in types have fixed oids: <https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat>
    pub(super) fn of(type_oid: Oid) -> Self {
        match type_oid.0 {
            16 => Self::Scalar(Scalar::Boolean),
            // int8, int2, int4, oid
            20 | 21 | 23 | 26 => Self::Scalar(Scalar::Integer),
            700 | 701 => Self::Scalar(Scalar::Float),
            1700 => Self::Scalar(Scalar::Numeric),
            114 | 3802 => Self::Scalar(Scalar::Json),
            1000 => Self::Array(Scalar::Boolean),
            1005 | 1007 | 1016 | 1028 => Self::Array(Scalar::Integer),
            1021 | 1022 => Self::Array(Scalar::Float),
            1231 => Self::Array(Scalar::Numeric),
            199 | 3807 => Self::Array(Scalar::Json),
            // bytea, "char", name, text, bpchar, varchar
            1001..=1003 | 1009 | 1014 | 1015
            // timestamp, date, time, timestamptz, interval, timetz
            | 1115 | 1182 | 1183 | 1185 | 1187 | 1270
            // macaddr, inet, cidr, bit, varbit, uuid
            | 1040 | 1041 | 651 | 1561 | 1563 | 2951 => Self::Array(Scalar::Text),
            _ => Self::Scalar(Scalar::Text),
        }
    }

    /// Of a domain over the type that PostgreSQL calls `pg_catalog.name`: only those for which it makes a difference.
    pub(super) fn of_base_type(name: &str) -> Option<Self> {
        let oid = match name {
            "bool" => 16,
            "int8" => 20,
            "int2" => 21,
            "int4" => 23,
            "oid" => 26,
            "float4" => 700,
            "float8" => 701,
            "numeric" => 1700,
            "json" => 114,
            "jsonb" => 3802,
            "_bool" => 1000,
            "_int2" => 1005,
            "_int4" => 1007,
            "_int8" => 1016,
            "_float4" => 1021,
            "_float8" => 1022,
            "_numeric" => 1231,
            "_json" => 199,
            "_jsonb" => 3807,
            "_text" => 1009,
            "_bpchar" => 1014,
            "_varchar" => 1015,
            "_timestamp" => 1115,
            "_date" => 1182,
            "_timestamptz" => 1185,
            "_uuid" => 2951,
            _ => return None,
        };
        Some(Self::of(Oid(oid)))
    }
}

/// What the JSON of a value keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// All bytes mean something in the server's encoding; those that do not became U+FFFD.
    pub(super) valid: bool,
    /// PostgreSQL's text can be made again from the JSON.
    pub(super) exact: bool,
}

/// Appends a value given as text in the server's encoding.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, form: Form, bytes: &[u8], encoding: &Encoding, scratch: &mut String) -> Written {
    match form {
        Form::Scalar(Scalar::Text) => Written { valid: text(out, bytes, encoding), exact: true },
        Form::Scalar(Scalar::Json) => {
            let (document, valid) = encoding.decode(bytes);
            let embedded = document::embed(out, &document);
            if !embedded {
                json::string(out, &document);
            }
            // The document `null` looks like SQL NULL, one that is given as text like a document that is a string, and line ends
            // have become spaces.
            let exact = embedded && document.trim_ascii() != "null" && memchr::memchr2(b'\n', b'\r', bytes).is_none();
            Written { valid, exact }
        }
        Form::Scalar(plain) => {
            let valid = plain_scalar(out, plain, bytes) || text(out, bytes, encoding);
            Written { valid, exact: true }
        }
        Form::Array(element) => {
            let (decoded, valid) = encoding.decode(bytes);
            if !array::embed(out, element, &decoded, scratch) {
                json::string(out, &decoded);
            }
            // An array of documents may look like one of arrays.
            Written { valid, exact: element != Scalar::Json }
        }
    }
}

/// Appends a value that was read over SQL, in the text form of its type: the same JSON as an event would show.
pub fn write_text(out: &mut Vec<u8>, type_oid: Oid, text: &str) {
    match Form::of(type_oid) {
        Form::Scalar(form) => scalar(out, form, text),
        Form::Array(element) => {
            if !array::embed(out, element, text, &mut String::new()) {
                json::string(out, text);
            }
        }
    }
}

/// Appends a single value.
pub(super) fn scalar(out: &mut Vec<u8>, scalar: Scalar, text: &str) {
    let written = match scalar {
        Scalar::Text => false,
        Scalar::Json => document::embed(out, text),
        plain => plain_scalar(out, plain, text.as_bytes()),
    };
    if !written {
        json::string(out, text);
    }
}

/// Appends a boolean or a number, whose text is ASCII in every encoding; `false`, and nothing is appended, if it is none.
#[inline]
fn plain_scalar(out: &mut Vec<u8>, scalar: Scalar, bytes: &[u8]) -> bool {
    let literal = match (scalar, bytes) {
        (Scalar::Boolean, b"t") => &b"true"[..],
        (Scalar::Boolean, b"f") => b"false",
        (Scalar::Integer, number) if number::is_safe_integer(number) => number,
        (Scalar::Float, number) if number::is_finite_float(number) => number,
        (Scalar::Numeric, number) if number::is_exact_numeric(number) => number,
        _ => return false,
    };
    out.extend_from_slice(literal);
    true
}

/// Appends text as a JSON string. `false` if some of its bytes mean nothing.
#[inline]
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8], encoding: &Encoding) -> bool {
    let found = json::scan(bytes);
    if !found.wide || encoding.is_utf8() && std::str::from_utf8(bytes).is_ok() {
        json::quoted(out, bytes, found.escapes);
        true
    } else {
        let (decoded, valid) = encoding.decode(bytes);
        json::string(out, &decoded);
        valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn written(oid: u32, bytes: &[u8], encoding: &str) -> (String, bool) {
        let mut out = Vec::new();
        let encoding = Encoding::from_name(encoding).unwrap();
        let Written { valid, .. } = write(&mut out, Form::of(Oid(oid)), bytes, &encoding, &mut String::new());
        (String::from_utf8(out).unwrap(), valid)
    }

    #[test]
    fn what_the_json_does_not_tell_is_known() {
        let exact = |oid, text: &str| {
            write(&mut Vec::new(), Form::of(Oid(oid)), text.as_bytes(), &Encoding::Utf8, &mut String::new()).exact
        };
        for (oid, text) in
            [(114, r#"{"a": null}"#), (3802, r#""null""#), (1700, "1.50"), (25, "null\n"), (1009, "{NULL}"), (1007, "[0:0]={1}")]
        {
            assert!(exact(oid, text), "{text}");
        }
        for (oid, text) in
            [(3802, "null"), (114, " null "), (114, r#""\ud800""#), (114, "{\n}"), (114, "[1,\r2]"), (3807, r#"{"[1]"}"#)]
        {
            assert!(!exact(oid, text), "{text}");
        }
    }

    #[test]
    fn values_are_written_by_their_type() {
        for (oid, text, json) in [
            (16, "t", "true"),
            (16, "f", "false"),
            (16, "maybe", r#""maybe""#),
            (20, "9007199254740991", "9007199254740991"),
            (20, "9007199254740992", r#""9007199254740992""#),
            (23, "-7", "-7"),
            (701, "1e+20", "1e+20"),
            (701, "NaN", r#""NaN""#),
            (1700, "19.90", "19.90"),
            (1700, "0.12345678901234567", r#""0.12345678901234567""#),
            (25, "say \"hi\"\n", r#""say \"hi\"\n""#),
            (3802, r#"{"a": [1, 2]}"#, r#"{"a": [1, 2]}"#),
            (114, r#""\ud800""#, r#""\"\\ud800\"""#),
            (1007, "{1,2}", "[1,2]"),
            (1007, "[0:1]={1,2}", r#""[0:1]={1,2}""#),
            (17, r"\x00ff", r#""\\x00ff""#),
            (1184, "2026-11-22 14:02:11.2+00", r#""2026-11-22 14:02:11.2+00""#),
        ] {
            assert_eq!(written(oid, text.as_bytes(), "UTF8"), (json.to_owned(), true), "{oid} {text}");
        }
    }

    #[test]
    fn text_is_converted_from_the_servers_encoding() {
        assert_eq!(written(25, b"caf\xE9", "LATIN1"), ("\"café\"".to_owned(), true));
        assert_eq!(written(1009, b"{caf\xE9}", "LATIN1"), ("[\"café\"]".to_owned(), true));
        assert_eq!(written(114, b"{\"caf\xE9\": 1}", "LATIN1"), ("{\"café\": 1}".to_owned(), true));
        assert_eq!(written(25, b"caf\xE9", "UTF8"), ("\"caf\u{FFFD}\"".to_owned(), false));
    }

    #[test]
    fn a_domain_is_written_as_its_base_type() {
        assert_eq!(Form::of_base_type("int4"), Some(Form::Scalar(Scalar::Integer)));
        assert_eq!(Form::of_base_type("_uuid"), Some(Form::Array(Scalar::Text)));
        assert_eq!(Form::of_base_type("circle"), None);
    }

    proptest! {
        /// Whatever bytes come for whatever type: JSON, on one line.
        #[test]
        fn the_result_is_always_json(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "[-+0-9.eE]{1,25}".prop_map(String::into_bytes),
                r#"[{}\[\],:"\\a1 \n\rNULte.-]{0,40}"#.prop_map(String::into_bytes),
            ],
            oid in prop::sample::select(vec![16u32, 20, 23, 25, 114, 199, 700, 701, 1000, 1007, 1009, 1016, 1022, 1231, 1700, 3802, 3807]),
            encoding in prop::sample::select(vec!["UTF8", "SQL_ASCII", "LATIN1", "EUC_JP", "WIN1253"]),
        ) {
            let (json, _) = written(oid, &bytes, encoding);
            prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{}", json);
            prop_assert!(!json.contains(['\n', '\r']));
        }
    }
}
