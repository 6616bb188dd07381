//! `like` and `ilike` in linear time: every place in the pattern is a bit, and one step over the text moves all of them at once.
//!
//! A `%` never makes it go back, so no pattern costs more than another.

use std::cmp::Ordering;
use std::fmt;

use super::error::Problem;

/// A pattern, ready to be matched: `%` is any text, `_` any one character, `\` takes the next character as it is.
#[derive(Clone)]
pub(super) struct Pattern {
    fold_case: bool,
    /// As given.
    text: String,
    /// For each character of the pattern, the places where it stands; sorted.
    places: Vec<(char, u128)>,
    /// The places of `_`, which every character matches.
    anywhere: u128,
    /// The places that a `%` stands before: here any text is passed over.
    loops: u128,
    /// The place behind the last character.
    end: u128,
}

impl Pattern {
    /// Characters a pattern may have, `%` not counted: their places, and the one behind them, fit the bits of a word.
    pub(super) const LIMIT: usize = 127;

    pub(super) fn parse(text: &str, fold_case: bool) -> Result<Self, Problem> {
        let mut pattern = Self { fold_case, text: text.to_owned(), places: Vec::new(), anywhere: 0, loops: 0, end: 0 };
        let (mut length, mut characters) = (0, text.chars());
        while let Some(character) = characters.next() {
            let place = 1u128 << length;
            match character {
                '%' => {
                    pattern.loops |= place;
                    continue;
                }
                '_' => pattern.anywhere |= place,
                '\\' => pattern.insert(characters.next().ok_or(Problem::PatternEndsInEscape)?, place),
                literal => pattern.insert(literal, place),
            }
            length += 1;
            if length > Self::LIMIT {
                return Err(Problem::PatternTooLong { limit: Self::LIMIT });
            }
        }
        pattern.end = 1 << length;
        Ok(pattern)
    }

    fn insert(&mut self, character: char, place: u128) {
        let character = self.folded(character);
        match self.places.binary_search_by_key(&character, |(known, _)| *known) {
            Ok(index) => self.places.iter_mut().skip(index).take(1).for_each(|(_, places)| *places |= place),
            Err(index) => self.places.insert(index, (character, place)),
        }
    }

    fn folded(&self, character: char) -> char {
        if !self.fold_case {
            return character;
        }
        // A letter whose lower case is several characters stays as it is, on both sides alike.
        let mut lower = character.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(single), None) => single,
            _ => character,
        }
    }

    fn places_of(&self, character: char) -> u128 {
        let known = self.places.binary_search_by_key(&self.folded(character), |(known, _)| *known);
        let literal = known.ok().and_then(|index| self.places.get(index)).map_or(0, |(_, places)| *places);
        literal | self.anywhere
    }

    /// Whether the whole of `text` is as the pattern says.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut reached = 1u128;
        for character in text.chars() {
            reached = ((reached & self.places_of(character)) << 1) | (reached & self.loops);
            if reached == 0 {
                return false;
            }
        }
        reached & self.end != 0
    }

    /// Its two parameters, which the rest is made from.
    fn key(&self) -> (bool, &str) {
        (self.fold_case, &self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("fold_case", &self.fold_case).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By trying everything.
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            (['%', rest @ ..], _) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
            (['_', rest @ ..], [_, after @ ..]) => matches(rest, after),
            (['\\', literal, rest @ ..], [first, after @ ..]) => literal == first && matches(rest, after),
            ([literal, rest @ ..], [first, after @ ..]) => literal == first && matches(rest, after),
            (_, []) => false,
        }
    }

    fn characters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    proptest! {
        #[test]
        fn it_matches_what_trying_everything_matches(pattern in "([ab_%]|\\\\[a%_\\\\]){0,8}", text in "[ab%_\\\\é]{0,8}") {
            let expected = matches(&characters(&pattern), &characters(&text));
            prop_assert_eq!(Pattern::parse(&pattern, false).unwrap().matches(&text), expected);
        }

        #[test]
        fn folded_it_matches_what_the_lower_case_does(pattern in "[abAB_%]{0,8}", text in "[abAB]{0,8}") {
            let lower = Pattern::parse(&pattern.to_lowercase(), false).unwrap().matches(&text.to_lowercase());
            prop_assert_eq!(Pattern::parse(&pattern, true).unwrap().matches(&text), lower);
        }
    }

    #[test]
    fn the_longest_pattern_matches_to_its_end() {
        let longest = "a".repeat(Pattern::LIMIT);
        let pattern = Pattern::parse(&format!("%{longest}%"), false).unwrap();
        assert!(pattern.matches(&"a".repeat(Pattern::LIMIT + 5)));
        assert!(!pattern.matches(&"a".repeat(Pattern::LIMIT - 1)));
        assert_eq!(
            Pattern::parse(&"a".repeat(Pattern::LIMIT + 1), false),
            Err(Problem::PatternTooLong { limit: Pattern::LIMIT })
        );
        assert_eq!(Pattern::parse("a\\", false), Err(Problem::PatternEndsInEscape));
    }

    #[test]
    fn letters_fold_beyond_ascii() {
        assert!(Pattern::parse("%ÄRGER%", true).unwrap().matches("großer ärger"));
        assert!(Pattern::parse("İ", true).unwrap().matches("İ"));
    }
}
