//! Grams: short pieces of what events tell. A text can only stand where all of its grams stand.
//!
//! | a gram | why |
//! |---|---|
//! | has four bytes, or five where it begins with a digit | digits tell less than letters do: all numbers of four stand everywhere |
//! | depends on its own bytes alone | so those of a text are found in whatever holds that text |
//! | has none of the bytes that stand between values in JSON | else the names beside a value would be a part of it |
//! | is the same in upper and lower case | texts are asked for like that |
//!
//! What is remembered of one is a number below [`Gram::COUNT`], which others share. Sets of these stand in files: the numbers are part of their
//! format.

/// The number of a gram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gram(u16);

/// Bytes of a gram that begins with this byte; 0 where none does, nor goes on with it.
static LENGTHS: [u8; 256] = lengths();

#[expect(clippy::indexing_slicing, reason = "done by the compiler, and all bytes are below 256")]
const fn lengths() -> [u8; 256] {
    let (between, mut lengths, mut at) = (b"\",:{}[]\\", [4; 256], 0);
    while at < between.len() {
        lengths[between[at] as usize] = 0;
        at += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        lengths[digit as usize] = 5;
        digit += 1;
    }
    lengths
}

impl Gram {
    /// So many numbers there are.
    pub const COUNT: usize = 1 << 15;

    /// Tells the grams of `text`, the last first, and some more than once.
    #[inline]
    pub fn each(text: &[u8], mut tell: impl FnMut(Gram)) {
        // The bytes from here on, the nearest lowest, up to where a gram ends.
        let mut window = 0_u64;
        for byte in text.iter().rev() {
            let length = LENGTHS.get(usize::from(*byte)).copied().unwrap_or_default();
            // Lower case, as far as letters go; of others, two become one. Never zero.
            window = if length == 0 { 0 } else { window << 8 | u64::from(byte | 0x20) };
            let gram = window & !(u64::MAX << (8 * length));
            if gram >> (8 * length.max(1) - 8) != 0 {
                tell(Self::of(gram));
            }
        }
    }

    fn of(bytes: u64) -> Self {
        let mixed = bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - Self::COUNT.ilog2());
        Self(u16::try_from(mixed).unwrap_or_default())
    }

    /// The number.
    pub fn number(self) -> usize {
        usize::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn grams(text: &str) -> BTreeSet<Gram> {
        let mut grams = BTreeSet::new();
        Gram::each(text.as_bytes(), |gram| grams.extend([gram]));
        grams
    }

    proptest! {
        #[test]
        fn those_of_a_text_are_in_whatever_holds_it(before in ".{0,9}", text in ".{0,9}[0-9]{0,9}[a-zA-Z\",:]{0,9}", behind in ".{0,9}") {
            let all = grams(&format!("{before}{text}{behind}"));
            let mut cases = [text.clone(), text.to_ascii_uppercase(), text.to_ascii_lowercase()].into_iter();
            prop_assert!(cases.all(|text| grams(&text).is_subset(&all)));
        }
    }

    #[test]
    fn a_gram_lies_within_a_value() {
        let some = |texts: &[&str]| texts.iter().flat_map(|text| grams(text)).collect::<BTreeSet<_>>();
        assert_eq!(grams("Needle"), some(&["need", "eedl", "edle"]));
        assert_eq!(grams(r#"{"id":12345,"no":1234,"note":"a\"bcde"}"#), some(&["12345", "note", "bcde"]));
        assert_eq!(grams("n1234567"), some(&["n123", "12345", "23456", "34567"]));
        for short in ["", "abc", "1234", "abc,def", "\""] {
            assert_eq!(grams(short).len(), 0, "{short}");
        }
    }

    #[test]
    fn the_numbers_are_those_that_stand_in_files() {
        let numbers: Vec<_> = ["Need", "12345", "ä\u{20ac}"].into_iter().flat_map(grams).map(Gram::number).collect();
        assert_eq!(numbers, [11_618, 13_135, 22_205, 32_500]);
    }
}
