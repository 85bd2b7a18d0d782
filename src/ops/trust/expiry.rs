//! When a trust document ends to count, as people write it.

use std::str::FromStr;

use crate::trust::{DAY, Time};

/// Days for which a new trust document counts when nothing else is said.
pub(super) const YEAR: u64 = 365;
/// Longest time that a trust document may count, in days.
const LONGEST: u64 = 3650;

/// The expiry of a trust document: a date, a time, or a number of days from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustExpiry {
    /// Days from the present time, 1 to 3650.
    In(u64),
    /// Time from which the document does not count.
    At(Time),
}

/// A text that does not name a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid expiry `{}`: expected 1 to {LONGEST} days such as `365d`, a date such as `2027-12-01`, or a time such as \
     `2027-12-01T10:00:00Z`",
    .0.escape_debug()
)]
pub struct InvalidExpiry(String);

impl FromStr for TrustExpiry {
    type Err = InvalidExpiry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = |text: &str| text.parse::<Time>().ok().map(Self::At);
        let found = match Self::days(text) {
            Some(days) => Some(Self::In(days)),
            None => at(text).or_else(|| at(&format!("{text}T00:00:00Z"))),
        };
        found.ok_or_else(|| InvalidExpiry(text.to_owned()))
    }
}

impl TrustExpiry {
    /// Parses a number of days, 1 to 3650, written as `180d`. Lifetimes of statements have this form too.
    pub fn days(text: &str) -> Option<u64> {
        let days = text.strip_suffix('d')?;
        let number = days.bytes().all(|byte| byte.is_ascii_digit()).then(|| days.parse::<u64>().ok())??;
        (1..=LONGEST).contains(&number).then_some(number)
    }

    /// Returns the time of the expiry.
    pub(super) fn time(self, now: Time) -> Time {
        match self {
            Self::In(days) => now.plus(days * DAY),
            Self::At(time) => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_number_of_days_a_date_or_a_time() {
        let now: Time = "2026-11-23T10:00:00Z".parse().unwrap();
        for (text, time) in [
            ("1d", "2026-11-24T10:00:00Z"),
            ("365d", "2027-11-23T10:00:00Z"),
            ("2027-12-01", "2027-12-01T00:00:00Z"),
            ("2027-12-01T10:30:00Z", "2027-12-01T10:30:00Z"),
        ] {
            assert_eq!(text.parse::<TrustExpiry>().unwrap().time(now).to_string(), time);
        }
        for text in ["", "0d", "3651d", "d", "-1d", "+1d", "1", "365", "1y", "2027-13-01", "2027-02-30", "soon"] {
            assert!(text.parse::<TrustExpiry>().is_err(), "{text}");
        }
    }
}
