//! `alga-release config`: prints the effective configuration and the origin of each value.

use std::path::PathBuf;

use alga_release::config::FILE_NAME;
use alga_release::oci::Prefix;
use serde_json::{Map, Value, json};

use crate::environment;
use crate::failure::Failure;
use crate::flags::{Common, Format, ProfileArgs};
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Root of the source tree
    #[arg(default_value = ".")]
    source: PathBuf,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    profile: ProfileArgs,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let (store, profile) = (&args.common.store, args.profile.profile.as_deref());
    let mut config = environment::configuration(&args.source, &args.common.configuration, profile)?;
    if let Some(prefix) = &store.prefix {
        config.prefix = Prefix::parse(prefix, store.plain_http)?.to_string();
    }
    let file = environment::configuration_text(&args.source, &args.common.configuration)?;
    let name = file.as_ref().map_or(FILE_NAME, |(_, name)| name.as_str()).to_owned();
    let given = file.map(|(text, _)| alga_release::yaml::parse(&text).unwrap_or_default()).unwrap_or_default();
    let given = given.iter().find_map(|document| document.root.as_ref());
    let origin = |path: &[&str]| {
        let flag = match path {
            ["profile"] => flag("--profile", "ALGA_PROFILE", profile),
            ["prefix"] => flag("--prefix", "ALGA_PREFIX", store.prefix.as_deref()),
            ["signing", "trust"] => {
                environment::variable(environment::TRUST_FILE).map(|_| environment::TRUST_FILE.to_owned())
            }
            _ => None,
        };
        let line = || given.and_then(|root| root.get(path)).map(|node| format!("{name}:{}", node.line));
        flag.or_else(line).unwrap_or_else(|| "default".to_owned())
    };
    let effective = serde_json::to_value(&config).map_err(|cause| Failure::io("to print the configuration", cause))?;
    let mut entries = Vec::new();
    flatten(&effective, &mut Vec::new(), &mut |path, value| {
        entries.push((path.join("."), value.clone(), origin(path)));
    });
    if let Some(store) = &store.store {
        let origin = flag("--store", "ALGA_STORE", Some(store)).unwrap_or_default();
        entries.push(("store".to_owned(), store.as_str().into(), origin));
    }
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    match args.common.output.output {
        Format::Json => {
            let entry = |(key, value, from): (String, Value, String)| (key, json!({ "value": value, "from": from }));
            output::write_json(&entries.into_iter().map(entry).collect::<Map<_, _>>())
        }
        Format::Text => {
            let width = entries.iter().map(|(key, ..)| key.len()).max().unwrap_or(0);
            let line = |(key, value, from): &(String, Value, String)| format!("{key:width$} = {value}  # {from}\n");
            output::write_text(&entries.iter().map(line).collect::<String>())
        }
    }
}

/// Returns what gave a flag its value: the environment variable, if that has the same value, else the flag.
fn flag(name: &str, variable: &str, value: Option<&str>) -> Option<String> {
    let value = value?;
    Some(if environment::variable(variable).as_deref() == Some(value) { variable } else { name }.to_owned())
}

/// Keys of the configuration that are groups of settings. Every other object is one value.
const GROUPS: [&str; 4] = ["repositories", "manifest", "appliance", "signing"];

fn flatten<'a>(value: &'a Value, path: &mut Vec<&'a str>, found: &mut impl FnMut(&[&str], &Value)) {
    match value {
        Value::Object(entries) if path.is_empty() || (path.len() == 1 && GROUPS.contains(&path[0])) => {
            for (key, value) in entries {
                path.push(key);
                flatten(value, path, found);
                path.pop();
            }
        }
        value => found(path, value),
    }
}

#[cfg(test)]
mod tests {
    use super::GROUPS;
    use alga_release::config::Config;

    #[test]
    fn every_group_is_a_key_of_the_configuration() {
        let effective = serde_json::to_value(Config::default()).unwrap();
        for group in GROUPS {
            assert!(effective[group].is_object(), "{group}");
        }
    }
}
