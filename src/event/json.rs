//! JSON text, appended to a buffer: strings with what must be escaped, and numbers.
//!
//! Most text of a database needs no escape at all, so it is looked through eight bytes at a time, and copied whole.

/// Bytes that a scan looks at together.
const LANES: usize = size_of::<u64>();

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

/// `byte` in every lane.
const fn splat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; LANES])
}

/// Not 0 if a lane of `word` is below `bound`, which is at most 0x80: the lane's high bit is set by the borrow, and was not before.
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(splat(bound)) & !word & splat(0x80)
}

/// Not 0 if a lane of `word` is special.
const fn special(word: u64) -> u64 {
    below(word, 0x20) | below(word ^ splat(b'"'), 1) | below(word ^ splat(b'\\'), 1)
}

/// `text`, which is shorter, with blanks behind it.
fn padded(text: &[u8]) -> [u8; LANES] {
    let mut lanes = [b' '; LANES];
    for (lane, byte) in lanes.iter_mut().zip(text) {
        *lane = *byte;
    }
    lanes
}

/// Looks through `text` once.
#[inline]
pub(super) fn scan(text: &[u8]) -> Scan {
    let (chunks, tail) = text.as_chunks::<LANES>();
    // The end is looked at whole, though some of it was seen already.
    let last = text.last_chunk().copied().unwrap_or_else(|| padded(tail));
    let (mut specials, mut union) = (0, 0);
    for chunk in chunks.iter().chain([&last]) {
        let word = u64::from_ne_bytes(*chunk);
        specials |= special(word);
        union |= word;
    }
    Scan { escapes: specials != 0, wide: union & splat(0x80) != 0 }
}

/// Appends `text`, which is UTF-8, as a JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    quoted(out, text.as_bytes(), scan(text.as_bytes()).escapes);
}

/// Appends `utf8` as a JSON string; `escapes` is what [`scan`] said of it.
#[inline]
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
