//! Slash-separated paths below a root: the root of the user's tree, or of a bundle.

/// Returns `directory/name`; an empty `directory` is the root.
pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Resolves `text` from `directory` and returns the path below the root, without `.` and `..`. Returns nothing for an absolute path,
/// a URL, and a path that leads above the root.
pub(crate) fn below(directory: &str, text: &str) -> Option<String> {
    if text.contains("://") || text.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Returns the directory of a file: the path before the last `/`, or the empty root.
pub(crate) fn parent(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Tells whether the file's name ends in a dot and one of `extensions`.
pub(crate) fn has_extension(path: &str, extensions: &[&str]) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
}
