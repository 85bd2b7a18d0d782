//! Finds out whether two hosts belong to one owner, by Mozilla's list of public suffixes, below which anyone can
//! register a domain.

use std::net::IpAddr;

/// Returns whether both hosts are below one registered domain. IP addresses have no owner.
pub(crate) fn same_owner(a: &str, b: &str) -> bool {
    let registered = |host: &'_ str| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if address { None } else { psl::domain_str(host).map(str::to_ascii_lowercase) }
    };
    registered(a).is_some_and(|domain| registered(b) == Some(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_below_one_registered_domain_have_one_owner() {
        for (a, b) in [
            ("registry.gitlab.com", "gitlab.com"),
            ("registry.example.co.uk", "auth.example.co.uk"),
            ("registry.corp.internal", "Tokens.Corp.internal"),
        ] {
            assert!(same_owner(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("example.co.uk", "evil.co.uk"),
            ("one.github.io", "other.github.io"),
            ("ghcr.io", "evil.io"),
            ("10.0.0.1", "11.0.0.1"),
            ("[::1]", "[::2]"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert!(!same_owner(a, b), "{a} {b}");
        }
    }
}
