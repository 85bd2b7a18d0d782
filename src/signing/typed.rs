//! Reads a password as it is typed, key by key, from a terminal that shows nothing and edits nothing.

use std::io::{self, Read};

use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretString};

use crate::system::SecretBytes;

/// Longest password, in bytes. The memory is allocated at once, so that no copies are left behind.
const LIMIT: usize = 4096;

/// Keys that are not part of a password: Ctrl-C, Ctrl-D, Ctrl-U and both codes of Backspace.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const CLEAR: u8 = 21;
const BACKSPACE: [u8; 2] = [8, 127];

/// Reads a line. Backspace takes a character back, Ctrl-U all of them.
///
/// # Errors
/// With the kind `Interrupted` after Ctrl-C, and after Ctrl-D on an empty line.
pub fn typed_line(mut terminal: impl Read) -> io::Result<SecretString> {
    let mut line: SecretBytes = SecretBox::new(Box::new(Vec::with_capacity(LIMIT)));
    loop {
        let mut key = [0];
        let (ended, line) = (terminal.read(&mut key)? == 0, line.expose_secret_mut());
        match key[0] {
            key if key == INTERRUPT || key == END && line.is_empty() => {
                return Err(io::ErrorKind::Interrupted.into());
            }
            b'\r' | b'\n' | END => break,
            _ if ended => break,
            CLEAR => line.clear(),
            // The last character may have several bytes.
            key if BACKSPACE.contains(&key) => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            _ if line.len() == LIMIT => return Err(io::Error::other("the password is longer than 4096 bytes")),
            key => line.push(key),
        }
    }
    let text = str::from_utf8(line.expose_secret()).map_err(|_| io::Error::other("the password is not UTF-8 text"))?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_typed_with_corrections() {
        for (keys, expected) in [
            ("word\nmore", "word"),
            ("word\r", "word"),
            ("word", "word"),
            ("wordx\u{7f}\n", "word"),
            ("wor\u{e9}\u{8}d\u{4}", "word"),
            ("other\u{15}word\n", "word"),
            ("\u{7f}\n", ""),
        ] {
            let line = typed_line(keys.as_bytes()).expect(keys);
            assert_eq!(line.expose_secret(), expected, "{keys:?}");
        }
    }

    #[test]
    fn ctrl_c_and_ctrl_d_end_the_program_and_other_lines_are_refused() {
        for keys in ["\u{4}", "wo\u{3}rd\n"] {
            let error = typed_line(keys.as_bytes()).expect_err("an interrupt");
            assert_eq!(error.kind(), io::ErrorKind::Interrupted, "{keys:?}");
        }
        assert!(typed_line(&b"\xff\n"[..]).expect_err("not text").to_string().contains("UTF-8"));
        let long = "x".repeat(LIMIT + 1);
        assert!(typed_line(long.as_bytes()).expect_err("too long").to_string().contains("4096"));
    }
}
