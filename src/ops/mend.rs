//! Applies the mechanical fixes of findings to a source tree: whole lines, so that nothing else of a file changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Error;
use crate::lint::{Fix, Report};
use crate::source::{self, Place};
use crate::text::{clean, shown};

/// Replaces the lines of a source tree for which findings offer a fix, unless it is a dry run. Returns the lines before and after, as
/// text for people.
///
/// # Errors
/// When it is not a source tree; when a file cannot be written: files before it are mended then.
pub fn mend(report: &Report, tree: &Path, dry_run: bool) -> Result<String, Error> {
    if !tree.is_dir() {
        let reason = "`--fix` changes the files of a source tree: expected a directory";
        return Err(source::Error::usage(Place::file(report.subject.clone()), reason).into());
    }
    let mut files: BTreeMap<&str, BTreeMap<usize, &Fix>> = BTreeMap::new();
    for finding in &report.findings {
        if let Some(fix) = &finding.fix {
            files.entry(&finding.file).or_default().entry(finding.line).or_insert(fix);
        }
    }
    let mut lines = String::new();
    for (file, fixes) in &files {
        let path = tree.join(file);
        // A file in the archive of a subchart is not in the tree.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let mended = replaced(file, &text, fixes, &mut lines);
        if !dry_run && mended != text {
            let failed = |cause| source::Error::io(Place::file(*file), "write the file", cause);
            write(&path, &mended).map_err(failed)?;
        }
    }
    Ok(lines)
}

/// Returns a text with lines replaced, and adds the lines before and after. A line that the author wrote otherwise stays.
fn replaced(file: &str, text: &str, fixes: &BTreeMap<usize, &Fix>, lines: &mut String) -> String {
    let mut mended = String::with_capacity(text.len());
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let content = line.trim_end_matches(['\n', '\r']);
        match fixes.get(&(at + 1)).filter(|fix| fix.from == content) {
            Some(fix) => {
                *lines += &[&shown(file), ":", &(at + 1).to_string(), "\n- ", &clean(&fix.from)].concat();
                *lines += &["\n+ ", &clean(&fix.to), "\n"].concat();
                mended += &fix.to;
                mended += &line[content.len()..];
            }
            None => mended += line,
        }
    }
    mended
}

/// Replaces a file as a whole, with the permissions that it has.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.mended"));
    let written = fs::metadata(path).and_then(|file| {
        fs::write(&beside, text)?;
        fs::set_permissions(&beside, file.permissions())?;
        fs::rename(&beside, path)
    });
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}
