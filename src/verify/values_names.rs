//! Checks the names of values: the overlay in a bundle must read exactly the `ConfigMap`s that the appliance makes.

use std::collections::BTreeMap;

use super::{Aspect, Check, Subject};
use crate::config::Config;
use crate::contents::Bundle;
use crate::flux::ValuesFrom;
use crate::release::{NamedKind, Release, split_hash, values_hash};

/// Checks every `HelmRelease` that reads values of a release, and every name with a hash.
pub(super) fn checks(bundle: &Bundle, release: &Release, config: &Config) -> Vec<Check> {
    let made = made(release, config);
    let mut checks = Vec::new();
    for reader in bundle.parts().releases {
        let names = reader.values_from.iter().filter_map(ValuesFrom::config_map_name);
        let judge = |name: &str| judge(name, reader.object.file, &made, &config.appliance.values_prefix);
        checks.extend(names.filter_map(|name| judge(name.text)));
    }
    checks.extend(hashes(release, config));
    checks
}

/// Returns the names of the `ConfigMap`s that the appliance makes, by the name of the values.
fn made(release: &Release, config: &Config) -> BTreeMap<String, String> {
    let suffix = format!(".{}.yaml", release.values_profile);
    let plain = |name: &str| (name.to_owned(), format!("{}{name}", config.appliance.values_prefix));
    let carried = release.profile_values.keys().filter_map(|file| file.strip_suffix(&suffix)).map(plain);
    let described = release.description.iter().flat_map(|description| &description.appliance.values);
    let described = described
        .filter_map(|reader| Some((reader.values_of(&release.values_profile)?.to_owned(), reader.config_map.clone())));
    carried.chain(release.values_config_maps.clone()).chain(described).collect()
}

/// Compares a `ConfigMap` that the overlay reads with those that the appliance makes. Returns `None` when it does not
/// hold values of the release.
fn judge(name: &str, file: &str, made: &BTreeMap<String, String>, prefix: &str) -> Option<Check> {
    let subject = |name| Subject { kind: NamedKind::Bundle, name, reference: file };
    if made.values().any(|made| made == name) {
        return Some(subject(name).ok(Aspect::Values));
    }
    let rest = name.strip_prefix(prefix)?;
    let made = made.get(rest).or_else(|| made.get(split_hash(rest)?.0))?;
    Some(
        subject(name)
            .failed(Aspect::Values, format!("the overlay reads this ConfigMap, but the appliance makes `{made}`")),
    )
}

/// Checks the hashes in names. For a release of an older publisher, the hash depends on the configuration, which may
/// have changed since. Such a difference is not an error.
fn hashes(release: &Release, config: &Config) -> Vec<Check> {
    let check = |(of, name): (&String, &String)| {
        let subject = Subject { kind: NamedKind::Release, name, reference: of };
        let file = format!("{of}.{}.yaml", release.values_profile);
        let Some(text) = release.profile_values.get(&file) else {
            return subject.failed(Aspect::Values, format!("the release has no values of `{of}`"));
        };
        let expected = values_hash(text, &release.settings(&file, of, config), release.image_values());
        match split_hash(name) {
            Some((_, hash)) if hash == expected => subject.ok(Aspect::Values),
            _ => subject.not_checked(
                Aspect::Values,
                format!(
                    "the present configuration gives the hash `{expected}`: the release may have been published with another configuration"
                ),
            ),
        }
    };
    release.values_config_maps.iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::release::values_names;
    use crate::verify::Outcome;

    const VALUES: &str = "x: 1\n";

    fn release(maps: &[(&str, &str)]) -> Release {
        let json = serde_json::json!({
            "schema": crate::release::SCHEMA, "version": "1", "channel": "stable", "valuesProfile": "p",
            "images": { "algaCore": "62cdce38" }, "charts": {},
            "config": { "repository": "r.io/x/config", "version": "1", "digest": Digest::of(b"bundle").to_string() },
            "profileValues": { "alga-core.p.yaml": VALUES },
            "valuesConfigMaps": maps.iter().copied().collect::<BTreeMap<&str, &str>>(),
        });
        Release::parse(json.to_string().as_bytes()).expect("a release")
    }

    fn hashed() -> String {
        let plain = release(&[]);
        let names = values_names(&Config::default(), "p", &plain.profile_values, plain.image_values());
        names["alga-core"].clone()
    }

    fn outcomes(release: &Release, read: &str) -> Vec<(Outcome, String)> {
        let text = format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {{valuesFrom: [{{kind: Secret, name: s}}, {{kind: ConfigMap, name: '{read}'}}]}}\n"
        );
        let files = [("base/a.yaml".to_owned(), text.into_bytes())].into();
        let checks = checks(&Bundle::open(files), release, &Config::default());
        checks.into_iter().map(|check| (check.outcome, check.reason.unwrap_or_default())).collect()
    }

    fn only(outcomes: &[(Outcome, String)]) -> Vec<Outcome> {
        outcomes.iter().map(|(outcome, _)| *outcome).collect()
    }

    #[test]
    fn the_overlay_must_read_the_config_map_that_the_appliance_makes() {
        let (plain, name) = ("appliance-values-alga-core", hashed());
        assert_eq!(only(&outcomes(&release(&[("alga-core", &name)]), &name)), [Outcome::Ok, Outcome::Ok]);
        assert_eq!(only(&outcomes(&release(&[]), plain)), [Outcome::Ok]);
        for (release, read, makes) in [
            (release(&[("alga-core", &name)]), plain, name.as_str()),
            (release(&[("alga-core", &name)]), "appliance-values-alga-core-000000000000", &name),
            (release(&[]), &name, plain),
        ] {
            let found = outcomes(&release, read);
            assert!(found[0].0 == Outcome::Failed && found[0].1.contains(makes), "{read}: {found:?}");
        }
    }

    #[test]
    fn a_config_map_that_does_not_hold_values_of_the_release_is_not_checked() {
        for other in ["customer", "appliance-values-shared", "appliance-values-alga-core-more"] {
            assert_eq!(outcomes(&release(&[]), other), [], "{other}");
        }
    }

    #[test]
    fn a_name_with_another_hash_is_reported_and_a_name_without_values_fails() {
        let other = "appliance-values-alga-core-000000000000";
        let found = outcomes(&release(&[("alga-core", other)]), other);
        assert_eq!(only(&found), [Outcome::Ok, Outcome::NotChecked]);
        let hash = hashed().rsplit_once('-').expect("a hash").1.to_owned();
        assert!(found[1].1.contains(&hash), "{found:?}");
        let found = outcomes(&release(&[("ghost", other)]), "appliance-values-alga-core");
        assert_eq!(only(&found), [Outcome::Ok, Outcome::Failed]);
    }
}
