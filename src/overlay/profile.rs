//! The values of an overlay's profiles, in `profiles/NAME/values/`. Helm reads these files; Flux never reads them as objects.

use std::collections::BTreeMap;

use crate::path::has_extension;

/// Reports whether a file of the overlay is in the values directory of a profile.
pub(crate) fn is_values(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    parts.len() > 3 && parts[0] == "profiles" && parts[2] == "values"
}

/// Returns the values files of a profile, by name, from the files of an overlay or bundle.
pub(crate) fn profile_values<'f>(files: &'f BTreeMap<String, Vec<u8>>, profile: &str) -> BTreeMap<&'f str, &'f [u8]> {
    let start = format!("profiles/{profile}/values/");
    let named = files.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&start)?, bytes.as_slice())));
    named.filter(|(name, _)| !name.contains('/') && has_extension(name, &["yaml", "yml"])).collect()
}
