//! Compares versions of releases: the order of `SemVer`, with 0 for missing parts, and `rc10` after `rc5`.

use std::cmp::Ordering;

/// Compares two release versions. Returns `None` when they have no order.
pub fn compare_versions(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (parse(a)?, parse(b)?);
    let core = (0..3).map(|i| number(a.0.get(i).unwrap_or(&"0")).cmp(&number(b.0.get(i).unwrap_or(&"0"))));
    let core = core.fold(Ordering::Equal, Ordering::then);
    Some(core.then_with(|| match (a.1, b.1) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => pre_release(a, b),
    }))
}

/// Splits a version into its numeric core and its pre-release, without build metadata.
fn parse(text: &str) -> Option<(Vec<&str>, Option<&str>)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let text = text.split_once('+').map_or(text, |(text, _)| text);
    let (core, pre_release) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let core: Vec<&str> = core.split('.').collect();
    let numeric = core.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let identifiers = pre_release.is_none_or(|pre| {
        pre.split('.').all(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    });
    (numeric && identifiers && core.len() <= 3).then_some((core, pre_release))
}

/// Returns a sort key for a number of any length: the length without leading zeros, and the digits.
fn number(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

fn pre_release(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => identifier(a, b),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Compares two identifiers: numbers before words, and words with the same letters by the number at their end.
fn identifier(a: &str, b: &str) -> Ordering {
    let split = |text: &str| text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let ((a_word, a_digits), (b_word, b_digits)) = (a.split_at(split(a)), b.split_at(split(b)));
    if a_word == b_word && !a_digits.is_empty() && !b_digits.is_empty() {
        return number(a_digits).cmp(&number(b_digits));
    }
    b_word.is_empty().cmp(&a_word.is_empty()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_order_that_people_expect() {
        let ordered = [
            "0.9",
            "1.0-1",
            "1.0-2",
            "1.0-alpha",
            "1.0-rc5",
            "1.0-rc5.1",
            "1.0-rc10",
            "1.0",
            "1.0.1",
            "1.0.3",
            "1.0.4-nightly.20261122",
            "1.0.4-nightly.20261123",
            "1.0.4",
            "1.10",
            "2",
            "10.0.0",
            "99999999999999999999999.0",
        ];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(compare_versions(a, b), Some(i.cmp(&j)), "{a} {b}");
            }
        }
        assert_eq!(compare_versions("1.0", "v1.0.0"), Some(Ordering::Equal));
    }

    #[test]
    fn versions_of_another_form_have_no_order() {
        for text in ["latest", "1.2.3.4", "", "1..2", "1.0-", "a1b2c3", "1.0-a..b"] {
            assert_eq!(compare_versions(text, "1.0.0"), None, "{text}");
        }
    }
}
