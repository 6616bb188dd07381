//! Hours in which webhooks are left alone.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

/// Spans of the week, by the clock of one place. The default is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietHours {
    zone: TimeZone,
    spans: Vec<Span>,
}

/// From one minute of the day to another; past midnight when that is not later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// On which days it begins: a bit each, Monday's the lowest.
    days: u8,
    from: u16,
    to: u16,
}

const EVERY_DAY: u8 = 0b111_1111;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MIDNIGHT: u16 = 24 * 60;

impl Default for QuietHours {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, spans: Vec::new() }
    }
}

impl QuietHours {
    /// Reads texts such as `22:00-07:00` or `sat,sun 00:00-24:00`. The text that is not of that form is the error.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>, zone: TimeZone) -> Result<Self, &'a str> {
        let spans = texts.into_iter().map(|text| Span::parse(text).ok_or(text)).collect::<Result<_, _>>()?;
        Ok(Self { zone, spans })
    }

    /// Whether this moment (Unix time, microseconds) lies in them.
    pub fn cover(&self, unix: i64) -> bool {
        let Ok(time) = Timestamp::from_microsecond(unix) else { return false };
        let here = self.zone.to_datetime(time);
        let minute = u16::from(here.hour().unsigned_abs()) * 60 + u16::from(here.minute().unsigned_abs());
        self.spans.iter().any(|span| span.covers(here.weekday(), minute))
    }
}

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let (days, hours) = match text.trim().rsplit_once(' ') {
            Some((days, hours)) => (days.split(',').try_fold(0, |set, day| Some(set | day_named(day.trim())?))?, hours),
            None => (EVERY_DAY, text.trim()),
        };
        let (from, to) = hours.split_once('-')?;
        let (from, to) = (minute_named(from)?, minute_named(to)?);
        (from < MIDNIGHT && from != to).then_some(Self { days, from, to })
    }

    fn covers(self, day: Weekday, minute: u16) -> bool {
        let begins_on = |day: Weekday| self.days & day_bit(day) != 0;
        if self.from < self.to {
            begins_on(day) && (self.from..self.to).contains(&minute)
        } else {
            begins_on(day) && minute >= self.from || begins_on(day.previous()) && minute < self.to
        }
    }
}

fn day_bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

fn day_named(text: &str) -> Option<u8> {
    DAYS.iter().position(|day| text.eq_ignore_ascii_case(day)).map(|index| 1 << index)
}

fn minute_named(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok()).flatten();
    let (hour, minute) = (number(hour)?, number(minute).filter(|minute| *minute < 60)?);
    Some(hour * 60 + minute).filter(|minute| *minute <= MIDNIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn a_night_begins_on_its_day_and_ends_on_the_next() {
        let quiet = QuietHours::parse(["fri 22:00-07:00"], TimeZone::UTC).unwrap();
        // 2026-11-20 is a Friday.
        for (time, expected) in [
            ("2026-11-20T21:59:59Z", false),
            ("2026-11-20T22:00:00Z", true),
            ("2026-11-21T06:59:59Z", true),
            ("2026-11-21T07:00:00Z", false),
            ("2026-11-21T22:30:00Z", false),
            ("2026-11-20T06:00:00Z", false),
        ] {
            assert_eq!(quiet.cover(at(time)), expected, "{time}");
        }
    }

    #[test]
    fn hours_are_those_of_the_place() {
        let here = TimeZone::fixed(jiff::tz::offset(2));
        let quiet = QuietHours::parse(["sat,sun 00:00-24:00", "12:00-13:00"], here).unwrap();
        assert!(quiet.cover(at("2026-11-20T22:00:00Z")) && !quiet.cover(at("2026-11-20T21:59:00Z")));
        assert!(quiet.cover(at("2026-11-18T10:30:00Z")) && !quiet.cover(at("2026-11-18T12:30:00Z")));
        assert!(!quiet.cover(at("2026-11-22T22:00:00Z")), "Monday has begun there");
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in
            ["", "22-07", "22:00", "24:00-07:00", "22:00-24:01", "8:00-9:00", "day 22:00-23:00", "09:60-10:00", "09:00-09:00"]
        {
            assert_eq!(QuietHours::parse([text], TimeZone::UTC), Err(text));
        }
        assert!(!QuietHours::default().cover(0));
    }
}
