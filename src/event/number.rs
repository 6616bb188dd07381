//! Which number texts may stand in JSON as they are: only those that no client can misread.
//!
//! A JSON number ends up in a double nearly everywhere. So a number stays a number only if a double gives it back:
//!
//! - an integer from -(2⁵³-1) to 2⁵³-1;
//! - a float that is finite: it is a double already, and PostgreSQL prints the shortest text that gives it back;
//! - a `numeric` of at most 15 digits from its first that is not 0 to its last that is not 0, with at most 300 digits on either side
//!   of the point. A double holds any 15 decimal digits (C's `DBL_DIG`): printed to 15 digits, or as short as it can be, it is the
//!   same number again. Zeros at the end (`1.10`) are kept in the text, and lost only to who parses it.
//!
//! All else is given as a string: `9007199254740993`, `NaN`, `Infinity`, and any text that is not a number of JSON's grammar.

/// Digits that a double holds whatever they are.
const DECIMAL_DIGITS: usize = 15;

/// Far enough from the bounds of a double, 1e-307 and 1e308, at which digits are lost.
const MAGNITUDE_DIGITS: usize = 300;

/// 2⁵³-1, in JavaScript `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// A number by JSON's grammar, taken apart. Digits are ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: &'a [u8],
}

/// Splits off the digits in front; there must be one at least.
fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 { None } else { text.split_at_checked(end) }
}

fn parts(text: &[u8]) -> Option<Parts<'_>> {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(unsigned)?;
    if whole.len() > 1 && whole.starts_with(b"0") {
        return None;
    }
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => digits(rest)?,
        None => (&[][..], rest),
    };
    let (exponent, rest) = match rest {
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => digits(rest)?,
        _ => (&[][..], rest),
    };
    rest.is_empty().then_some(Parts { whole, fraction, exponent })
}

/// Whether `text` is an integer that a double holds.
pub(super) fn is_safe_integer(text: &[u8]) -> bool {
    match text.strip_prefix(b"-").unwrap_or(text) {
        b"0" => true,
        number @ [b'1'..=b'9', rest @ ..] if number.len() <= DECIMAL_DIGITS => rest.iter().all(u8::is_ascii_digit),
        number @ [b'1'..=b'9', ..] => parse(number).is_some_and(|n: u64| n <= MAX_SAFE_INTEGER),
        _ => false,
    }
}

/// Whether `text` is a finite float.
pub(super) fn is_finite_float(text: &[u8]) -> bool {
    match parts(text) {
        Some(Parts { whole, exponent: [], .. }) if whole.len() <= MAGNITUDE_DIGITS => true,
        Some(_) => parse(text).is_some_and(f64::is_finite),
        None => false,
    }
}

/// Whether `text` is a `numeric` that a double gives back.
pub(super) fn is_exact_numeric(text: &[u8]) -> bool {
    let Some(Parts { whole, fraction, exponent: [] }) = parts(text) else { return false };
    whole.len() <= MAGNITUDE_DIGITS
        && fraction.len() <= MAGNITUDE_DIGITS
        && (whole.len() + fraction.len() <= DECIMAL_DIGITS || significant_digits(whole, fraction) <= DECIMAL_DIGITS)
}

/// From the first digit that is not 0 to the last, of `whole` followed by `fraction`.
fn significant_digits(whole: &[u8], fraction: &[u8]) -> usize {
    let zeros = |digits: &mut dyn Iterator<Item = &u8>| digits.take_while(|&&digit| digit == b'0').count();
    let leading = zeros(&mut whole.iter().chain(fraction));
    let trailing = zeros(&mut whole.iter().chain(fraction).rev());
    (whole.len() + fraction.len()).saturating_sub(leading + trailing)
}

fn parse<T: std::str::FromStr>(ascii: &[u8]) -> Option<T> {
    std::str::from_utf8(ascii).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers() {
        for text in ["0", "-0", "7", "-32768", "999999999999999", "9007199254740991", "-9007199254740991"] {
            assert!(is_safe_integer(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "1.0",
            "1e3",
            " 1",
            "9007199254740992",
            "-9223372036854775808",
            "123456789012345678901234567890",
        ] {
            assert!(!is_safe_integer(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn floats() {
        for text in ["0", "-0", "1e+20", "1.5e-05", "1.7976931348623157e+308", "5e-324", "3.4028235e+38"] {
            assert!(is_finite_float(text.as_bytes()), "{text}");
        }
        for text in ["NaN", "Infinity", "-Infinity", ".5", "5.", "1e", "1e+", "1e999", "0x10", "1_000"] {
            assert!(!is_finite_float(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn numerics() {
        for text in ["0", "0.00", "19.99", "1.10", "-123456789012345", "123456789012345000000", "0.000000123456789012345"] {
            assert!(is_exact_numeric(text.as_bytes()), "{text}");
        }
        for text in ["NaN", "Infinity", "1234567890123456", "0.1234567890123456", "100000000000000.01", "1e5"] {
            assert!(!is_exact_numeric(text.as_bytes()), "{text}");
        }
        assert!(!is_exact_numeric(&[b"1".as_slice(), &[b'0'; 400]].concat()));
    }

    /// A decimal without what does not change its value.
    fn plain(text: &str) -> String {
        let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
        let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
        if digits == "0" { digits.to_owned() } else { format!("{sign}{digits}") }
    }

    proptest! {
        /// The rule itself: what is called exact comes back from a double as the same number.
        #[test]
        fn exact_numerics_survive_a_double(text in "-?(0|[1-9][0-9]{0,40})(\\.(0{0,20}[0-9]{1,20}))?") {
            if is_exact_numeric(text.as_bytes()) {
                let double: f64 = text.parse().unwrap();
                prop_assert_eq!(plain(&double.to_string()), plain(&text));
            }
        }

        #[test]
        fn fifteen_digits_are_exact(whole in 0u64..1_000_000_000, fraction in 0u64..1_000_000) {
            let text = format!("{whole}.{fraction:06}");
            prop_assert!(is_exact_numeric(text.as_bytes()));
        }

        #[test]
        fn safe_integers_survive_a_double(number: i64) {
            let safe = is_safe_integer(number.to_string().as_bytes());
            prop_assert_eq!(safe, number.unsigned_abs() <= MAX_SAFE_INTEGER);
        }

        #[test]
        fn every_finite_double_is_a_number(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assert_eq!(is_finite_float(format!("{double:e}").as_bytes()), double.is_finite());
        }

        /// Nothing passes that JSON would refuse.
        #[test]
        fn what_passes_is_json(text in "[-+.eE0-9]{0,12}") {
            let bytes = text.as_bytes();
            if is_safe_integer(bytes) || is_finite_float(bytes) || is_exact_numeric(bytes) {
                prop_assert!(serde_json::from_slice::<f64>(bytes).is_ok());
            }
        }
    }
}
