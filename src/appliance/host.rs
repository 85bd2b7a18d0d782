//! The address under which people reach this appliance. It is given once and kept in the state, so an update never
//! resets it.

use serde::{Deserialize, Serialize};

use crate::oci::Prefix;
use crate::text::shown;

/// Address of the product on this appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostInputs {
    /// URL of the product, with its scheme.
    pub app_url: String,
    /// Host name or address without a port.
    pub host: String,
    /// Suffix of the names below the host, with its leading dot.
    pub domain_suffix: String,
}

/// A flag with an invalid address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag} `{text}`: {reason}")]
pub struct InvalidHost {
    flag: &'static str,
    text: String,
    reason: &'static str,
}

fn invalid(flag: &'static str, text: &str, reason: &'static str) -> InvalidHost {
    InvalidHost { flag, text: shown(text), reason }
}

impl HostInputs {
    /// Returns the given address, or else the one in `kept`. The URL follows from the host, or the host from the URL.
    /// Returns `None` when there is neither.
    ///
    /// # Errors
    /// Returns an error when a given URL or host name is invalid.
    pub fn of(
        app_url: Option<&str>,
        host: Option<&str>,
        domain_suffix: Option<&str>,
        kept: Option<&Self>,
    ) -> Result<Option<Self>, InvalidHost> {
        let of_url = app_url.map(host_of_url).transpose()?;
        let host = host.map(|host| host_name("--host", host)).transpose()?.or(of_url);
        let suffix = domain_suffix.map(check_suffix).transpose()?;
        let Some(host) = host else {
            return Ok(kept.cloned().map(|mut kept| {
                kept.domain_suffix = suffix.unwrap_or(kept.domain_suffix);
                kept
            }));
        };
        Ok(Some(Self {
            app_url: app_url.map_or_else(|| format!("https://{host}"), str::to_owned),
            domain_suffix: suffix.unwrap_or_else(|| format!(".{}", host.trim_matches(['[', ']']))),
            host,
        }))
    }
}

/// Returns a host name or an address without a port.
fn host_name(flag: &'static str, text: &str) -> Result<String, InvalidHost> {
    let port = text.rsplit_once(':').is_some_and(|(name, _)| !text.ends_with(']') && !name.is_empty());
    match Prefix::parse(text, false) {
        Ok(prefix) if !port && prefix.host() == text => Ok(text.to_owned()),
        _ => Err(invalid(flag, text, "expected a host name or an address without scheme, port or path")),
    }
}

fn host_of_url(text: &str) -> Result<String, InvalidHost> {
    let wrong = || invalid("--app-url", text, "expected http:// or https:// and a host, without user or spaces");
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\' | b'<' | b'>' | b'`' | b'@');
    if !rest.bytes().all(plain) {
        return Err(wrong());
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let prefix = Prefix::parse(authority, false).map_err(|_| wrong())?;
    let host = prefix.host();
    let without_port = host.rfind(':').filter(|at| !host[*at..].contains(']')).map_or(host, |at| &host[..at]);
    host_name("--app-url", without_port).map_err(|_| wrong())
}

fn check_suffix(text: &str) -> Result<String, InvalidHost> {
    let name = text.strip_prefix('.').unwrap_or_default();
    match host_name("--domain-suffix", name) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(invalid("--domain-suffix", text, "expected a dot and a host name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(app_url: Option<&str>, host: Option<&str>) -> Result<Option<HostInputs>, InvalidHost> {
        HostInputs::of(app_url, host, None, None)
    }

    #[test]
    fn the_url_follows_from_the_host_or_the_host_from_the_url() {
        let inputs = of(None, Some("alga.example")).unwrap().unwrap();
        assert_eq!((&*inputs.app_url, &*inputs.domain_suffix), ("https://alga.example", ".alga.example"));
        let inputs = of(Some("http://10.0.0.5:8080/x?y"), None).unwrap().unwrap();
        assert_eq!((&*inputs.app_url, &*inputs.host), ("http://10.0.0.5:8080/x?y", "10.0.0.5"));
        let inputs = of(Some("https://[::1]:8443"), None).unwrap().unwrap();
        assert_eq!((&*inputs.host, &*inputs.domain_suffix), ("[::1]", ".::1"));
        let inputs = of(Some("https://login.example"), Some("alga.example")).unwrap().unwrap();
        assert_eq!((&*inputs.app_url, &*inputs.host), ("https://login.example", "alga.example"));
    }

    #[test]
    fn the_kept_address_is_used_until_another_is_given() {
        let kept = of(None, Some("old.example")).unwrap();
        let again = HostInputs::of(None, None, None, kept.as_ref()).unwrap();
        assert_eq!(again, kept);
        let other = HostInputs::of(None, Some("new.example"), None, kept.as_ref()).unwrap().unwrap();
        assert_eq!((&*other.app_url, &*other.domain_suffix), ("https://new.example", ".new.example"));
        let suffix = HostInputs::of(None, None, Some(".other.example"), kept.as_ref()).unwrap().unwrap();
        assert_eq!((&*suffix.host, &*suffix.domain_suffix), ("old.example", ".other.example"));
        assert_eq!(HostInputs::of(None, None, Some(".x"), None), Ok(None));
    }

    #[test]
    fn an_invalid_address_is_refused() {
        for url in [
            "alga.example",
            "ftp://a",
            "https://",
            "https://u:p@a",
            "https://a b",
            "https://a\"",
            "https://a\n",
            "http://-a",
        ] {
            assert!(of(Some(url), None).is_err(), "{url}");
        }
        for host in ["", "a b", "a:80", "https://a", "a/b", "$(x)", "a\nb", "-a", "a_b"] {
            assert!(of(None, Some(host)).is_err(), "{host}");
        }
        for suffix in ["", ".", "a", "..a", ".a/b"] {
            assert!(HostInputs::of(None, Some("a"), Some(suffix), None).is_err(), "{suffix}");
        }
    }
}
