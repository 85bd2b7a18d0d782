//! The pages of GitHub's registry that hints link to.

/// Returns the page on which the visibility and the writers of a package are set; `None` for packages of other registries. The form
/// of `name` is `HOST/OWNER/PACKAGE`.
///
/// <https://docs.github.com/packages/learn-github-packages/configuring-a-packages-access-control-and-visibility>
pub fn package_settings(name: &str) -> Option<String> {
    let (owner, package) = name.strip_prefix("ghcr.io/")?.split_once('/')?;
    Some(format!("https://github.com/orgs/{owner}/packages/container/{}/settings", package.replace('/', "%2F")))
}

#[cfg(test)]
mod tests {
    use super::package_settings;

    #[test]
    fn a_package_on_github_has_settings_and_others_have_none() {
        let link = "https://github.com/orgs/nine-minds/packages/container/charts%2Ftemporal/settings";
        assert_eq!(package_settings("ghcr.io/nine-minds/charts/temporal").as_deref(), Some(link));
        assert_eq!(package_settings("registry.example/nine-minds/charts/temporal"), None);
    }
}
