//! Text from outside, for people: nothing that another side wrote may steer a terminal or hide what stands around it.

/// Characters of foreign text in a message.
const SHOWN: usize = 300;

/// Control characters escaped, and what reorders or hides the text around it; lines stay.
pub fn clean(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut escaped, character, character == '\n');
    }
    escaped
}

/// As [`clean`], in one line, and cut.
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

fn push(escaped: &mut String, character: char, keep: bool) {
    let hidden =
        matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if !keep && (character.is_control() || hidden) {
        escaped.extend(character.escape_unicode());
    } else {
        escaped.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(shown("a\u{1b}[31mb\r\n\u{202e}c"), "a\\u{1b}[31mb\\u{d}\\u{a}\\u{202e}c");
        assert_eq!(shown(&"x".repeat(5000)).chars().count(), SHOWN + 1);
        assert_eq!(clean("a\n\u{1b}[2Jb\u{9b}c\u{feff}"), "a\n\\u{1b}[2Jb\\u{9b}c\\u{feff}");
    }
}
