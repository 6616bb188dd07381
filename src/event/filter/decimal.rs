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
