//! The renderings of a [`Diff`]: text for a terminal, JSON for programs, Markdown for a pull request, and an HTML page. None of them
//! reads the environment: the caller says how wide the terminal is.

mod html;
mod json;
mod markdown;
mod outline;
mod stat;
mod text;

pub use html::render as html;
pub use json::render as json;
pub use markdown::{LIMIT as MARKDOWN_LIMIT, render as markdown, render_within as markdown_within};
pub use stat::{name_only, stat};
pub use text::{Style, render as text};

#[cfg(test)]
mod tests;

use super::side::Identity;
use super::value::Diff;
use crate::oci::Digest;

/// Escapes what steers a terminal in one line of a file; tabs stay.
fn line(text: &str) -> String {
    let parts: Vec<String> = text.split('\t').map(crate::text::clean).collect();
    parts.join("\t").replace('\n', "\\u{a}")
}

/// Returns the title of a report: the product, both releases, and the store or stores that they are in.
fn title(diff: &Diff) -> String {
    let release = |side: &Identity| format!("{} ({})", crate::text::shown(&side.version), side.digest.short());
    let place =
        |store: Option<&String>| store.map_or_else(String::new, |store| format!(" in {}", crate::text::shown(store)));
    let (from, to) = (diff.from.as_ref(), &diff.to);
    let before = from.map_or_else(|| "no release".to_owned(), release);
    let (first, second) = match (from.and_then(|from| from.store.as_ref()), to.store.as_ref()) {
        (Some(from), Some(to)) if from != to => (Some(from), Some(to)),
        (from, to) => (None, to.or(from)),
    };
    let product = crate::text::shown(&to.product);
    format!("{product}: {before}{} → {}{}", place(first), release(to), place(second))
}

/// Returns a text with each digest in it shortened.
fn short_digests(text: &str) -> String {
    let mut pieces = text.split("sha256:");
    let mut short = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let hex = piece.bytes().take_while(u8::is_ascii_hexdigit).count();
        match format!("sha256:{}", &piece[..hex]).parse::<Digest>() {
            Ok(digest) => short += digest.short(),
            Err(_) => short = short + "sha256:" + &piece[..hex],
        }
        short += &piece[hex..];
    }
    short
}
