//! Times in signed documents: whole seconds in UTC, in one written form, so that equal times have equal bytes.

use std::fmt;
use std::str::FromStr;

/// Seconds of a day. UTC as computers count it has no leap seconds.
pub const DAY: u64 = 86_400;
/// Days of 400 years, after which the calendar repeats itself.
const CYCLE: u64 = 146_097;
/// Days from the first of March of the year 0 to the first of January 1970.
const EPOCH: u64 = 719_468;

/// A time between 1970 and 9999, to the second. Its text is `2026-11-23T10:00:00Z` (RFC 3339, UTC, no fraction).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

/// A text that is not a time in the expected form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid time `{0}`: expected RFC 3339 in UTC with whole seconds, for example `2026-11-23T10:00:00Z`")]
pub struct InvalidTime(String);

impl Time {
    /// The last second of the year 9999.
    const LAST: u64 = 253_402_300_799;

    /// Returns the time that is `seconds` after the start of 1970. Times after the year 9999 become its last second.
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds.min(Self::LAST))
    }

    /// Returns the seconds since the start of 1970.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// Returns the time that is `seconds` later.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self::from_seconds(self.0.saturating_add(seconds))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, second) = (self.0 / DAY, self.0 % DAY);
        // The year begins in March here, so that the leap day is its last day.
        let day = day + EPOCH;
        let (cycle, day) = (day / CYCLE, day % CYCLE);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = cycle * 400 + year + next;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let parsed = seconds(text.as_bytes()).map(Self);
        // One time has one text: what is read must be written in the same way.
        let parsed = parsed.filter(|time| time.to_string() == text);
        parsed.ok_or_else(|| InvalidTime(text.chars().take(40).collect()))
    }
}

/// Returns the seconds since 1970 of a time in the expected form. A date that does not exist gives another date.
fn seconds(text: &[u8]) -> Option<u64> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
    };
    let (year, month, date) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) || date == 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + date - 1;
    Some(day.checked_sub(EPOCH)? * DAY + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_date_does() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (1_795_345_199, "2026-11-22T10:59:59Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (13_574_563_200, "2400-02-29T00:00:00Z"),
            (Time::LAST, "9999-12-31T23:59:59Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(Time::from_seconds(seconds).to_string(), text);
            assert_eq!(text.parse::<Time>().unwrap().seconds(), seconds);
        }
        assert_eq!(Time::from_seconds(u64::MAX), Time::from_seconds(Time::LAST));
        assert_eq!(Time::from_seconds(5).plus(u64::MAX).seconds(), Time::LAST);
    }

    #[test]
    fn every_day_is_the_one_after_the_day_before() {
        for day in 0..Time::LAST / DAY {
            let time = Time::from_seconds(day * DAY + day % DAY);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn every_other_form_of_a_time_is_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T10:00:00",
            "2026-11-23T10:00:00+00:00",
            "2026-11-23T10:00:00.0Z",
            "2026-11-23t10:00:00z",
            "2026-11-23 10:00:00Z",
            "2026-11-23T10:00:60Z",
            "2026-11-23T24:00:00Z",
            "2026-02-29T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-00-01T10:00:00Z",
            "2026-01-00T10:00:00Z",
            "1969-12-31T23:59:59Z",
            "12026-11-23T10:00:00Z",
            "2026-11-23T10:00:00Zx",
            "+026-11-23T10:00:00Z",
            "２026-11-23T10:00:00Z",
        ] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
