//! What is particular to GitHub's registry.

/// Where a package's visibility and its writers are set; nothing for packages elsewhere. `name` is `HOST/OWNER/PACKAGE`.
///
/// <https://docs.github.com/packages/learn-github-packages/configuring-a-packages-access-control-and-visibility>
pub fn settings(name: &str) -> Option<String> {
    let (owner, package) = name.strip_prefix("ghcr.io/")?.split_once('/')?;
    Some(format!("https://github.com/orgs/{owner}/packages/container/{}/settings", package.replace('/', "%2F")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_package_on_github_has_settings_and_others_have_none() {
        let settings = super::settings("ghcr.io/nine-minds/charts/temporal");
        let link = "https://github.com/orgs/nine-minds/packages/container/charts%2Ftemporal/settings";
        assert_eq!(settings.as_deref(), Some(link));
        assert_eq!(super::settings("registry.example/nine-minds/charts/temporal"), None);
    }
}
