//! `alga-release config`: the effective configuration and where each value came from.

use std::path::PathBuf;

use alga_release::config::FILE_NAME;
use serde_json::{Map, Value, json};

use crate::environment;
use crate::failure::Failure;
use crate::flags::{ConfigurationArgs, Format, ProfileArgs};
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Root of the source tree
    #[arg(default_value = ".")]
    source: PathBuf,
    #[command(flatten)]
    configuration: ConfigurationArgs,
    #[command(flatten)]
    profile: ProfileArgs,
    /// Format
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = environment::configuration(&args.source, &args.configuration, args.profile.profile.as_deref())?;
    let file = environment::configuration_text(&args.source, &args.configuration)?;
    let name = file.as_ref().map_or(FILE_NAME, |(_, name)| name.as_str()).to_owned();
    let given = file.map(|(text, _)| alga_release::yaml::parse(&text).unwrap_or_default()).unwrap_or_default();
    let given = given.iter().find_map(|document| document.root.as_ref());
    let origin = |path: &[&str]| {
        if path == ["profile"] && args.profile.profile.is_some() {
            return "--profile".to_owned();
        }
        let line = given.and_then(|root| root.get(path)).map(|node| node.line);
        line.map_or_else(|| "default".to_owned(), |line| format!("{name}:{line}"))
    };
    let effective = serde_json::to_value(&config).map_err(|cause| Failure::io("to print the configuration", cause))?;
    let mut entries = Vec::new();
    flatten(&effective, &mut Vec::new(), &mut |path, value| {
        entries.push((path.join("."), value.clone(), origin(path)));
    });
    match args.output {
        Format::Json => {
            let entry = |(key, value, from): (String, Value, String)| (key, json!({ "value": value, "from": from }));
            output::write_json(&entries.into_iter().map(entry).collect::<Map<_, _>>())
        }
        Format::Text => {
            let width = entries.iter().map(|(key, ..)| key.len()).max().unwrap_or(0);
            let line = |(key, value, from): &(String, Value, String)| format!("{key:width$} = {value}  # {from}\n");
            output::write_stdout(entries.iter().map(line).collect::<String>().as_bytes())
        }
    }
}

/// The keys of [`Config`] that are groups of settings; every other object is a value.
const GROUPS: [&str; 3] = ["repositories", "manifest", "appliance"];

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
    fn every_group_is_one_of_the_configuration() {
        let effective = serde_json::to_value(Config::default()).unwrap();
        for group in GROUPS {
            assert!(effective[group].is_object(), "{group}");
        }
    }
}
