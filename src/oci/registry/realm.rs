//! Decides which token servers receive credentials: a registry can name any server, and would otherwise direct a
//! password there.

use reqwest::Url;

use super::client::HUB;

/// Host of Docker Hub's token server.
const HUB_REALM: &str = "auth.docker.io";

/// The token servers that receive credentials, in addition to the registry's own host.
#[derive(Debug)]
pub(super) struct Realms {
    /// Hosts that the user allowed: `HOST` or `HOST:PORT`.
    pub allowed: Vec<String>,
    /// Returns whether two hosts belong to one owner.
    pub same_owner: fn(&str, &str) -> bool,
}

impl Realms {
    /// Returns whether credentials for `registry` may be sent to a token server. Any server but the registry itself
    /// needs HTTPS.
    pub(super) fn has(&self, registry: &Url, realm: &Url) -> bool {
        if realm.origin() == registry.origin() {
            return true;
        }
        let (Some(own), Some(host), "https") = (registry.host_str(), realm.host_str(), realm.scheme()) else {
            return false;
        };
        let with_port = realm.port_or_known_default().map(|port| format!("{host}:{port}"));
        let is_allowed = |allowed: &String| allowed.eq_ignore_ascii_case(host) || Some(allowed) == with_port.as_ref();
        own == host
            || (own, host) == (HUB, HUB_REALM)
            || (self.same_owner)(own, host)
            || self.allowed.iter().any(is_allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_only_sent_to_token_servers_that_belong_to_the_registry() {
        let known = |registry: &str, realm: &str, allowed: &[&str]| {
            let [registry, realm] = [registry, realm].map(|url| Url::parse(url).expect("a URL"));
            let allowed = allowed.iter().map(|&host| host.to_owned()).collect();
            let same_owner = |a: &str, b: &str| [a, b].iter().all(|host| host.ends_with(".example.com"));
            Realms { allowed, same_owner }.has(&registry, &realm)
        };
        for (registry, realm) in [
            ("https://ghcr.io/v2/", "https://ghcr.io/token"),
            ("https://registry.example.com/v2/", "https://auth.example.com/token"),
            ("https://registry-1.docker.io/v2/", "https://auth.docker.io/token"),
            ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/token"),
            ("http://127.0.0.1:5000/v2/", "https://127.0.0.1:5001/token"),
        ] {
            assert!(known(registry, realm, &[]), "{registry} {realm}");
        }
        for (registry, realm) in [
            ("https://ghcr.io/v2/", "https://evil.example/token"),
            ("https://ghcr.io/v2/", "https://ghcr.io.evil.example/token"),
            ("https://registry.example.com/v2/", "https://auth.docker.io/token"),
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
