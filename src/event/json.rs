//! JSON text, appended to a buffer: strings with what must be escaped, and numbers.
//!
//! Most text of a database needs no escape at all, so it is scanned sixteen bytes at a time, in a form that compilers vectorise, and
//! copied whole.

const LANES: usize = 16;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a scan of text found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// A quote, a backslash or a control character.
    pub(super) escapes: bool,
    /// A byte outside of ASCII.
    pub(super) wide: bool,
}

/// Whether JSON wants `byte` escaped within a string.
const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Looks through `text` once.
pub(super) fn scan(text: &[u8]) -> Scan {
    let (chunks, tail) = text.as_chunks::<LANES>();
    let mut special = 0u8;
    let mut union = 0u8;
    for chunk in chunks {
        for &byte in chunk {
            special |= u8::from(is_special(byte));
            union |= byte;
        }
    }
    for &byte in tail {
        special |= u8::from(is_special(byte));
        union |= byte;
    }
    Scan { escapes: special != 0, wide: union >= 0x80 }
}

/// Appends `text`, which is UTF-8, as a JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    quoted(out, text.as_bytes(), scan(text.as_bytes()).escapes);
}

/// Appends `utf8` as a JSON string; `escapes` is what [`scan`] said of it.
pub(super) fn quoted(out: &mut Vec<u8>, utf8: &[u8], escapes: bool) {
    out.push(b'"');
    if escapes {
        escaped(out, utf8);
    } else {
        out.extend_from_slice(utf8);
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, utf8: &[u8]) {
    let mut left = utf8;
    while let Some(at) = left.iter().position(|&byte| is_special(byte)) {
        let (plain, rest) = left.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, rest)) = rest.split_first() else { break };
        left = rest;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            control => {
                out.extend_from_slice(b"\\u00");
                hex(out, &[control]);
            }
        }
    }
    out.extend_from_slice(left);
}

/// Appends `text` as a JSON string, or `null`.
pub(super) fn maybe_string(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends two digits for each byte.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend(HEX.get(usize::from(byte >> 4)));
        out.extend(HEX.get(usize::from(byte & 15)));
    }
}

/// Appends a whole number.
pub(super) fn integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a whole number, or `null`.
pub(super) fn maybe_integer(out: &mut Vec<u8>, number: Option<i64>) {
    match number {
        Some(number) => integer(out, number),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_are_read_back(text: String) {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).ok(), Some(text));
        }

        #[test]
        fn a_special_byte_is_found_wherever_it_stands(plain in "[a-z]{0,50}", at: prop::sample::Index, byte: u8) {
            let mut text = plain.into_bytes();
            text.insert(at.index(text.len() + 1), byte);
            let expected = Scan { escapes: byte < 0x20 || byte == b'"' || byte == b'\\', wide: !byte.is_ascii() };
            prop_assert_eq!(scan(&text), expected);
        }
    }

    #[test]
    fn control_characters_are_escaped_the_short_way() {
        let mut out = Vec::new();
        string(&mut out, "a\"b\\c\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}é");
        assert_eq!(String::from_utf8(out).unwrap(), r#""a\"b\\c\n\r\t\b\f\u0000\u001f"#.to_owned() + "\u{7f}é\"");
    }
}
