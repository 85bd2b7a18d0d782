//! The value itself, by `docs/schemas/diff.json`.

use super::Diff;

/// Indented JSON with a line end.
///
/// # Panics
/// Never: it has text keys alone.
pub fn render(diff: &Diff) -> Vec<u8> {
    let json = serde_json::to_string_pretty(diff).expect("a diff has text keys alone");
    (crate::text::json(json) + "\n").into_bytes()
}
