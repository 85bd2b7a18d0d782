//! Text for people: makes text from outside safe to show, so that it cannot control a terminal or hide the text around it, suggests the
//! nearest word for a misspelt one, and holds the small forms that several reports share.

use std::fmt::Write as _;

/// Most characters of foreign text in a message.
const SHOWN: usize = 300;

/// Escapes control characters, and characters that reorder or hide the text around them. Line ends stay.
pub fn clean(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut escaped, character, character == '\n');
    }
    escaped
}

/// Escapes as [`clean`] does, on one line, and truncates to 300 characters.
pub fn shown(text: &str) -> String {
    let mut escaped = String::new();
    for (count, character) in text.trim().chars().enumerate() {
        if count == SHOWN {
            escaped.push('…');
            break;
        }
        push(&mut escaped, character, false);
    }
    escaped
}

/// Returns JSON with the same meaning in which nothing controls a terminal. Such characters are valid in JSON strings
/// and become escapes.
pub fn json(text: String) -> String {
    // The JSON may be printed to the log of a CI job, whose runner executes commands in it.
    let text = COMMANDS.iter().fold(text, |text, command| {
        if text.contains(command) { text.replace(command, &format!("#\\u0023{}", &command[2..])) } else { text }
    });
    let steers = |character: char| character != '\n' && is_unseen(character);
    if !text.contains(steers) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 64);
    for character in text.chars() {
        if steers(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Start of a command to the runner of GitHub Actions and of Azure Pipelines, at any position in a line.
const COMMANDS: [&str; 2] = ["##[", "##vso["];

/// Escapes commands to the runner of a CI job, which it would execute when they are in the job's log.
///
/// <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>
pub fn inert(text: &str) -> String {
    let line = |line: &str| {
        let rest = line.trim_start();
        let start = &line[..line.len() - rest.len()];
        let line = rest.strip_prefix("::").map_or_else(|| line.to_owned(), |rest| format!("{start}\\u{{3a}}:{rest}"));
        COMMANDS.iter().fold(line, |line, command| line.replace(command, &format!("#\\u{{23}}{}", &command[2..])))
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Returns whether a character controls a terminal, or is invisible and changes how the text around it is shown.
pub(crate) fn is_unseen(character: char) -> bool {
    let hidden = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    hidden || character.is_control()
}

/// Escapes text for an element or a quoted attribute of HTML and XML.
pub fn markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Returns the text with at most `length` characters, the last of them `…` when the text is longer.
pub fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}

/// Returns a count with its noun: `1 blob`, `2 blobs`.
pub fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// Returns an error with all of its causes, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}

fn push(escaped: &mut String, character: char, keep: bool) {
    if !keep && is_unseen(character) {
        escaped.extend(character.escape_unicode());
    } else {
        escaped.push(character);
    }
}

/// Most characters of a word that is compared with the known ones.
const LONGEST: usize = 200;

/// Returns the candidate that is most similar to a word, if the two differ only by a typing error: by one edit in a word of three to five
/// letters, two in a word of up to eight, three in a longer one. Upper and lower case are the same.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let letters = |text: &str| text.to_lowercase().chars().take(LONGEST).collect::<Vec<char>>();
    let word = letters(word);
    let most = (word.len() / 3).min(3);
    let near = candidates.filter_map(|candidate| {
        let other = letters(candidate);
        let close = word.len().abs_diff(other.len()) <= most;
        let edits = close.then(|| distance(&word, &other)).filter(|edits| *edits <= most)?;
        Some((edits, candidate))
    });
    near.min().map(|(_, candidate)| candidate.to_owned())
}

/// Returns how many letters must be inserted, removed, replaced or swapped with their neighbour to turn one word into the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut above = vec![0; to.len() + 1];
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, one) in from.iter().enumerate() {
        let mut next = vec![i + 1; to.len() + 1];
        for (j, other) in to.iter().enumerate() {
            let replaced = row[j] + usize::from(one != other);
            let mut least = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *one == to[j - 1] && from[i - 1] == *other {
                least = least.min(above[j - 1] + 1);
            }
            next[j + 1] = least;
        }
        above = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_that_differs_by_a_typing_error_is_suggested() {
        let channels = ["nightly", "stable", "or", "edge"];
        for (word, near) in [
            ("stabel", Some("stable")),
            ("Stable", Some("stable")),
            ("nigthly", Some("nightly")),
            ("nighly", Some("nightly")),
            ("egde", Some("edge")),
            ("edge2", Some("edge")),
            ("foo", None),
            ("o", None),
            ("", None),
            ("table", Some("stable")),
            ("able", None),
            ("weekly", None),
        ] {
            assert_eq!(nearest(word, channels.into_iter()).as_deref(), near, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), channels.into_iter()), None);
        assert_eq!(nearest("chart_pin", ["chartPin", "charts"].into_iter()).as_deref(), Some("chartPin"));
    }

    #[test]
    fn foreign_text_is_escaped_and_truncated() {
        assert_eq!(shown("a\u{1b}[31mb\r\n\u{202e}c"), "a\\u{1b}[31mb\\u{d}\\u{a}\\u{202e}c");
        assert_eq!(shown(&"x".repeat(5000)).chars().count(), SHOWN + 1);
        assert_eq!(shown("p\u{ad}ay\u{61c}\u{e0041}"), "p\\u{ad}ay\\u{61c}\\u{e0041}");
        assert_eq!(clean("a\n\u{1b}[2Jb\u{9b}c\u{feff}"), "a\n\\u{1b}[2Jb\\u{9b}c\\u{feff}");
    }

    #[test]
    fn escaped_json_has_the_same_meaning_and_controls_no_terminal() {
        let value = serde_json::json!({ "a\u{9b}": "\u{1b}[2J \u{9b}31m\u{7f}\u{202e}\u{e0041} é → 😀\n\t\"\\" });
        let plain = serde_json::to_string_pretty(&value).expect("JSON");
        let escaped = json(plain.clone());
        assert!(plain.contains('\u{9b}') && !escaped.contains(|c| c != '\n' && is_unseen(c)), "{escaped:?}");
        assert!(escaped.contains("\\u009b31m\\u007f\\u202e\\udb40\\udc41 é → 😀"), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).expect("JSON"), value);
        assert_eq!(json("{}\n".to_owned()), "{}\n");
        assert_eq!(json("{\"a\":\"x ##[error]\"}".to_owned()), "{\"a\":\"x #\\u0023[error]\"}");
    }

    #[test]
    fn no_line_of_an_escaped_log_is_a_command_to_the_runner() {
        let text = "a :: b\n  ::set-output name=x::y\n::error::z\n\t ::a\n+##[set-output name=x]y ##vso[a]\n## [a]\n";
        let expected = "a :: b\n  \\u{3a}:set-output name=x::y\n\\u{3a}:error::z\n\t \\u{3a}:a\n\
                        +#\\u{23}[set-output name=x]y #\\u{23}vso[a]\n## [a]\n";
        assert_eq!(inert(text), expected);
    }
}
