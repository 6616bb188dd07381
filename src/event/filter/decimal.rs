//! Numbers as text, compared exactly: no width loses a digit, as an `int8` or a `numeric` would in a double.

use std::cmp::Ordering;

/// A decimal number, read in place: `±0.digits × 10^magnitude`, where the first digit is not 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    /// Power of ten by which the point is moved to the right.
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// Reads `[+-]digits[.digits][e[+-]digits]`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (whole, rest) = some_digits(unsigned)?;
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => some_digits(rest)?,
            rest => (&[][..], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Self { negative, whole, fraction, exponent })
    }

    /// Reads only the form in which `numeric` and `int8` print: no exponent, no plus sign, no needless zero in front. So `007`, a text
    /// that happens to be of digits, stays a text.
    pub(super) fn parse_printed(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let plain = unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let needless_zero = matches!(unsigned.as_bytes(), [b'0', b'0'..=b'9', ..]);
        if plain && !needless_zero { Self::parse(text) } else { None }
    }

    /// The digits from the first that is not 0 to the last that is not 0.
    fn significant(&self) -> impl Iterator<Item = u8> + '_ {
        let all = self.whole.len() + self.fraction.len();
        let zero = |digit: &&u8| **digit == b'0';
        let digits = || self.whole.iter().chain(self.fraction);
        let leading = digits().take_while(zero).count();
        let trailing = digits().rev().take_while(zero).count();
        digits().copied().take(all.saturating_sub(trailing)).skip(leading)
    }

    /// Where the point stands, counted from before the first significant digit; `None` for zero.
    fn magnitude(&self) -> Option<i64> {
        let leading = self.whole.iter().chain(self.fraction).position(|digit| *digit != b'0')?;
        let point = i64::try_from(self.whole.len()).ok()?.saturating_sub(i64::try_from(leading).ok()?);
        Some(point.saturating_add(self.exponent))
    }

    /// By value: `1.0` equals `1e0`.
    pub(super) fn compare(&self, other: &Decimal<'_>) -> Ordering {
        let sign = |decimal: &Decimal<'_>, magnitude: Option<i64>| match magnitude {
            None => 0,
            Some(_) if decimal.negative => -1,
            Some(_) => 1,
        };
        let (ours, theirs) = (self.magnitude(), other.magnitude());
        let signs = sign(self, ours).cmp(&sign(other, theirs));
        let sizes = ours.cmp(&theirs).then_with(|| self.significant().cmp(other.significant()));
        signs.then(if self.negative { sizes.reverse() } else { sizes })
    }
}

/// The digits at the start, of which there must be some, and what follows.
fn some_digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    text.split_at_checked(count).filter(|_| count > 0)
}

/// An exponent beyond all numbers counts as the largest.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (digits, _) = some_digits(unsigned).filter(|(_, rest)| rest.is_empty())?;
    // Half the range is kept free, so that adding the number of digits cannot overflow.
    let add = |sum: i64, digit: &u8| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(i64::MAX / 2);
    let size = digits.iter().fold(0, add);
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As an integer, scaled so that every number of the test is one.
    fn scaled(number: &str) -> i128 {
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().unwrap();
        let exponent = 12 + exponent.parse::<i32>().unwrap() - i32::try_from(fraction.len()).unwrap();
        digits * 10i128.pow(u32::try_from(exponent).unwrap())
    }

    proptest! {
        #[test]
        fn numbers_compare_by_value(
            a in "[+-]?0{0,2}[0-9]{1,4}(\\.[0-9]{1,4})?([eE][+-]?[0-4])?",
            b in "[+-]?0{0,2}[0-9]{1,4}(\\.[0-9]{1,4})?([eE][+-]?[0-4])?",
        ) {
            let compared = Decimal::parse(&a).unwrap().compare(&Decimal::parse(&b).unwrap());
            prop_assert_eq!(compared, scaled(&a).cmp(&scaled(&b)), "{} {}", a, b);
        }

        #[test]
        fn any_text_is_parsed_or_refused(a: String, b in "[-+0-9.eE]{0,30}") {
            let read = |text| (Decimal::parse(text), Decimal::parse_printed(text));
            let _ = read(&a);
            if let (Some(b), _) = read(&b) {
                prop_assert_eq!(b.compare(&b), Ordering::Equal);
            }
        }
    }

    #[test]
    fn no_width_loses_a_digit() {
        let compare = |a, b| Decimal::parse(a).unwrap().compare(&Decimal::parse(b).unwrap());
        assert_eq!(compare("9007199254740993", "9007199254740992"), Ordering::Greater);
        assert_eq!(compare("0.1000000000000000000000000000000000001", "0.1"), Ordering::Greater);
        assert_eq!(compare("1e9223372036854775807", "1e99999999999999999999"), Ordering::Equal);
        assert_eq!(compare("-1e400", "1e-400"), Ordering::Less);
        assert_eq!(compare("-0", "0e7"), Ordering::Equal);
    }

    #[test]
    fn texts_that_only_look_like_numbers_are_none() {
        for text in ["", "-", ".5", "5.", "1e", "1e+", "0x1", "1 ", "NaN", "Infinity", "1.2.3", "--1", "1e1.5", "١"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
        for text in ["007", "+1", "1e3", "00", "-01.5"] {
            assert!(Decimal::parse_printed(text).is_none() && Decimal::parse(text).is_some(), "{text}");
        }
        for text in ["0", "-0.50", "10", "123456789012345678901234567890.5"] {
            assert!(Decimal::parse_printed(text).is_some(), "{text}");
        }
    }
}
