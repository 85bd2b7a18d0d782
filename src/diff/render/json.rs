//! Renders a comparison as JSON, which `docs/schemas/diff.json` describes.

use super::Diff;

/// Renders a comparison as indented JSON with a line end.
///
/// # Panics
/// Never, because every key of the value is a string.
pub fn render(diff: &Diff) -> Vec<u8> {
    let json = serde_json::to_string_pretty(diff).expect("every key of a diff is a string");
    (crate::text::json(json) + "\n").into_bytes()
}
