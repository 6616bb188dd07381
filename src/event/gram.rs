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

/// The bits of a gram that begins with this byte, which stands in the lowest of them; none where no gram does, nor goes on with it.
static BITS: [u64; 256] = bits();

/// So many bytes are looked at for each gram: no gram is longer.
const WINDOW: usize = 8;

#[expect(clippy::indexing_slicing, reason = "done by the compiler, and all bytes are below 256")]
const fn bits() -> [u64; 256] {
    let (between, mut bits, mut at) = (b"\",:{}[]\\", [u64::MAX >> (64 - 8 * 4); 256], 0);
    while at < between.len() {
        bits[between[at] as usize] = 0;
        at += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        bits[digit as usize] = u64::MAX >> (64 - 8 * 5);
        digit += 1;
    }
    bits
}

impl Gram {
    /// So many numbers there are.
    pub const COUNT: usize = 1 << 15;

    /// Tells the grams of `text`, the last first, and some more than once.
    #[inline]
    pub fn each(text: &[u8], mut tell: impl FnMut(Gram)) {
        // Bits of the bytes from here on, up to one that no gram goes on with. All else of a gram waits for nothing that is known of another.
        let mut within = 0;
        let mut look = |window: &[u8; WINDOW]| {
            let bits = BITS.get(usize::from(window[0])).copied().unwrap_or_default();
            within = if bits == 0 { 0 } else { (within + 8).min(u64::BITS - 8) };
            if bits != 0 && bits >> within == 0 {
                // Lower case, as far as letters go; of others, two become one.
                tell(Self::of((u64::from_le_bytes(*window) | 0x2020_2020_2020_2020) & bits));
            }
        };
        let (_, end) = text.split_at(text.len().saturating_sub(WINDOW - 1));
        let mut behind = [0; 2 * WINDOW];
        behind.iter_mut().zip(end).for_each(|(to, from)| *to = *from);
        behind.windows(WINDOW).take(end.len()).rev().filter_map(<[u8]>::first_chunk).for_each(&mut look);
        text.windows(WINDOW).rev().filter_map(<[u8]>::first_chunk).for_each(look);
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

    proptest! {
        #[test]
        fn all_that_a_text_is_made_of_are_told(text in "([a-zA-Z0-9 ]{0,9}[\",:{}é]{0,2}){0,6}") {
            let bytes = text.as_bytes();
            let beginning = |at: usize| {
                let gram = bytes.get(at..at + if bytes[at].is_ascii_digit() { 5 } else { 4 })?;
                let numbered = gram.iter().rev().fold(0, |number, byte| number << 8 | u64::from(byte | 0x20));
                (!gram.iter().any(|byte| b"\",:{}[]\\".contains(byte))).then(|| Gram::of(numbered))
            };
            prop_assert_eq!(grams(&text), (0..bytes.len()).filter_map(beginning).collect());
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
