//! The value itself, by `docs/schemas/diff.json`.

use super::Diff;

/// Indented JSON with a line end.
///
/// # Panics
/// Never: it has text keys alone.
pub fn render(diff: &Diff) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(diff).expect("a diff has text keys alone");
    json.push(b'\n');
    json
}
