//! The list for people: a table of channels, and one of versions.

use std::fmt::Write as _;

use super::{LsChannel, LsReport, LsVersion};
use crate::oci::{Digest, Tag};
use crate::text::{clean, shown};

impl LsReport {
    /// Returns the report for people.
    pub fn text(&self) -> String {
        let of_channel = self.versions.iter().any(|version| version.served.is_some());
        let channels: Vec<Vec<String>> = self.channels.iter().map(LsChannel::row).collect();
        let mut text = table(&["CHANNEL", "VERSION", "RELEASE", "MOVED", "BY"], &channels);
        if !self.versions.is_empty() {
            let rows: Vec<Vec<String>> = self.versions.iter().map(LsVersion::row).collect();
            let headings: &[&str] = if of_channel {
                &["VERSION", "RELEASE", "CREATED", "SERVED SINCE", "UNTIL", "BY"]
            } else {
                &["VERSION", "RELEASE", "CREATED", "CHANNELS"]
            };
            let _ = write!(text, "\n{}", table(headings, &rows));
        }
        match self.more {
            Some(0) => {}
            Some(more) => {
                let _ = writeln!(text, "\n{more} older versions are not shown: pass a larger `--limit`");
            }
            None if self.notes.is_empty() => text += "\nearlier moves are not shown: pass a larger `--limit`\n",
            None => {}
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{}", shown(note));
        }
        clean(&text)
    }
}

impl LsChannel {
    fn row(&self) -> Vec<String> {
        let mut row = vec![self.name.to_string()];
        match (&self.problem, &self.release) {
            (Some(problem), _) => row.push(shown(problem)),
            (None, None) => row.push("-".to_owned()),
            (None, Some(release)) => {
                row.extend([text(self.version.as_deref()), release.short().to_owned()]);
                row.extend([text(self.moved.as_deref()), text(self.by.as_deref())]);
            }
        }
        row
    }
}

impl LsVersion {
    fn row(&self) -> Vec<String> {
        let release = self.release.as_ref().map(Digest::short);
        let mut row = vec![shown(&self.version), text(release), text(self.created.as_deref())];
        if let Some(problem) = &self.problem {
            row.push(shown(problem));
            return row;
        }
        match &self.served {
            Some(served) => {
                let until = if self.channels.is_empty() { text(served.until.as_deref()) } else { "now".to_owned() };
                row.extend([text(served.since.as_deref()), until, text(served.by.as_deref())]);
            }
            None => row.push(self.channels.iter().map(Tag::as_str).collect::<Vec<_>>().join(", ")),
        }
        row
    }
}

fn text(value: Option<&str>) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}

/// Aligns the columns. The last cell of a row may be longer than its column.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter(|row| row.len() > at + 1).map(|row| row[at].chars().count());
        cells.chain([headings[at].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}
