//! later
pub(super) fn is_plain_string(_: &str) -> bool {
    true
}
