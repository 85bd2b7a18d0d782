//! Chart versions: `helm package` takes loose semantic versions, while readers that list tags take only strict ones.

/// Reports whether `helm package` takes `text`: an optional `v`, one to three numbers, pre-release, build metadata.
///
/// The pattern is the one of Masterminds/semver's `NewVersion`.
pub(super) fn is_loose(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (numbers, pre) = rest.split_once('-').map_or((rest, None), |(numbers, pre)| (numbers, Some(pre)));
    let count = numbers.split('.').count();
    count <= 3
        && numbers.split('.').all(is_number)
        && pre.is_none_or(|pre| pre.split('.').all(|part| is_identifier(part) && !has_leading_zero(part)))
        && build.is_none_or(|build| build.split('.').all(is_identifier))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u64>().is_ok()
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn has_leading_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit())
}

/// Reports whether readers that list tags (Helm, Flux) find the version: three numbers, no `v`, no leading zeros.
pub(super) fn is_strict(text: &str) -> bool {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    is_loose(text)
        && numbers.split('.').count() == 3
        && numbers.split('.').all(|number| is_number(number) && !has_leading_zero(number))
}

/// Appends `digits` to the build metadata of `version`.
pub(super) fn stamped(version: &str, digits: &str) -> String {
    format!("{version}{}{digits}", if version.contains('+') { '.' } else { '+' })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_valid_exactly_where_helm_takes_it() {
        for valid in
            ["1", "1.2", "v1.2.3", "01.2.3", "2024.10.05", "1.2.3-rc.1+build.5", "10.0.0-0.x.7", "1.2.3--", "1.2.3+001"]
        {
            assert!(is_loose(valid), "{valid}");
        }
        for bad in [
            "",
            "1.2.3.4",
            "latest",
            "1.2.x",
            "V1.2.3",
            "1.2.3+a_b",
            " 1.2.3",
            "1.2.3 ",
            "1.2.3-01",
            "1.2.3-",
            "1.2.3+",
            "1..3",
            "1.2.3-a..b",
            "v",
            "99999999999999999999.0.0",
            "1.2.3+a+b",
            "vv1",
        ] {
            assert!(!is_loose(bad), "{bad}");
        }
        assert!(is_strict("1.2.3-rc.1+x"));
        assert!(!is_strict("v1.2.3") && !is_strict("1.2") && !is_strict("01.2.3"));
    }

    #[test]
    fn a_stamp_is_appended_to_existing_build_metadata() {
        assert_eq!(stamped("1.2.3", "0123456789ab"), "1.2.3+0123456789ab");
        assert_eq!(stamped("1.2.3-rc.1+build.5", "0123456789ab"), "1.2.3-rc.1+build.5.0123456789ab");
    }
}
