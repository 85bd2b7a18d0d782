//! To which token servers credentials go: a registry may name any server, and a password that was kept for the registry is sent there.

use reqwest::Url;

use super::client::HUB;

/// Where Docker Hub's tokens are given.
const HUB_REALM: &str = "auth.docker.io";

/// Returns whether credentials for `registry` go to a token server: the registry itself, and over HTTPS one on the registry's host, one on a
/// host of the same registrable domain, Docker Hub's, and one on an `allowed` host (`HOST` or `HOST:PORT`).
pub(super) fn is_known(registry: &Url, realm: &Url, allowed: &[String]) -> bool {
    if realm.origin() == registry.origin() {
        return true;
    }
    let (Some(own), Some(host), "https") = (registry.host_str(), realm.host_str(), realm.scheme()) else {
        return false;
    };
    let with_port = realm.port_or_known_default().map(|port| format!("{host}:{port}"));
    let is_allowed = |allowed: &String| allowed.eq_ignore_ascii_case(host) || Some(allowed) == with_port.as_ref();
    own == host || (own, host) == (HUB, HUB_REALM) || same_domain(registry, realm) || allowed.iter().any(is_allowed)
}

/// Returns whether one owner registered the domain of both, by the list of public suffixes. Addresses have none.
fn same_domain(registry: &Url, realm: &Url) -> bool {
    let registered = |url: &'_ Url| url.domain().and_then(psl::domain_str).map(ToOwned::to_owned);
    registered(registry).is_some_and(|domain| registered(realm) == Some(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_the_token_servers_that_belong_to_a_registry() {
        let known = |registry: &str, realm: &str, allowed: &[&str]| {
            let [registry, realm] = [registry, realm].map(|url| Url::parse(url).expect("a URL"));
            is_known(&registry, &realm, &allowed.iter().map(|&host| host.to_owned()).collect::<Vec<_>>())
        };
        for (registry, realm) in [
            ("https://ghcr.io/v2/", "https://ghcr.io/token"),
            ("https://registry.gitlab.com/v2/", "https://gitlab.com/jwt/auth"),
            ("https://registry.example.co.uk/v2/", "https://auth.example.co.uk/token"),
            ("https://registry-1.docker.io/v2/", "https://auth.docker.io/token"),
            ("https://registry.corp.internal:5000/v2/", "https://tokens.corp.internal/token"),
            ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/token"),
            ("http://127.0.0.1:5000/v2/", "https://127.0.0.1:5001/token"),
        ] {
            assert!(known(registry, realm, &[]), "{registry} {realm}");
        }
        for (registry, realm) in [
            ("https://ghcr.io/v2/", "https://evil.example/token"),
            ("https://ghcr.io/v2/", "https://ghcr.io.evil.example/token"),
            ("https://registry.example.co.uk/v2/", "https://evil.co.uk/token"),
            ("https://one.github.io/v2/", "https://other.github.io/token"),
            ("https://registry.example.com/v2/", "https://auth.docker.io/token"),
            ("https://10.0.0.1/v2/", "https://11.0.0.1/token"),
            ("https://localhost/v2/", "https://other/token"),
            ("http://registry.example.com/v2/", "http://auth.example.com/token"),
            ("https://registry.example.com/v2/", "http://registry.example.com/token"),
            ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/token"),
        ] {
            assert!(!known(registry, realm, &[]), "{registry} {realm}");
        }
        let (registry, realm) = ("https://ghcr.io/v2/", "https://tokens.example:8443/token");
        for (allowed, expected) in [
            ("tokens.example", true),
            ("Tokens.Example", true),
            ("tokens.example:8443", true),
            ("tokens.example:443", false),
            ("example", false),
        ] {
            assert_eq!(known(registry, realm, &[allowed]), expected, "{allowed}");
        }
        assert!(!known(registry, "http://tokens.example/token", &["tokens.example"]), "not without HTTPS");
    }
}
