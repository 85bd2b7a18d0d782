//! Manual pages: one for the program and one for each of its commands.

use std::fmt::Write as _;
use std::io;

use clap::Command;
use clap_mangen::Man;

/// A manual page of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Words of the command, for example `["alga-release", "image", "push"]`.
    pub command: Vec<String>,
    /// The page in the language of man(7).
    pub text: String,
}

impl Page {
    /// Returns the name of the page's file: `alga-release-image-push.1`.
    pub fn file_name(&self) -> String {
        format!("{}.1", self.command.join("-"))
    }
}

/// Writes the pages of a program and of all of its commands that are not hidden. `environment` is the text of the section about
/// variables on the first page: a line for each, the name and two blanks before the description.
///
/// # Errors
/// Never: the pages are written into memory.
pub fn pages(program: &Command, environment: &str) -> io::Result<Vec<Page>> {
    let mut program = program.clone().disable_help_subcommand(true);
    program.build();
    // Every command ends with the same exit codes unless it says otherwise.
    let exit_codes = program.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut pages = Vec::new();
    let mut left = vec![(vec![program.get_name().to_owned()], &program)];
    while let Some((path, command)) = left.pop() {
        let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
        let below: Vec<_> =
            visible.map(|command| ([&path[..], &[command.get_name().to_owned()]].concat(), command)).collect();
        let mut related: Vec<String> = below.iter().map(|(path, _)| path.join("-")).collect();
        related.extend((1..path.len()).map(|length| path[..length].join("-")));
        let environment = if path.len() == 1 { environment } else { "" };
        let text = page(command, &path, &related, &exit_codes, environment)?;
        pages.push(Page { command: path, text });
        left.extend(below.into_iter().rev());
    }
    Ok(pages)
}

fn page(
    command: &Command,
    path: &[String],
    related: &[String],
    exit_codes: &str,
    environment: &str,
) -> io::Result<String> {
    let mut command = command.clone().bin_name(path.join(" ")).display_name(path.join("-"));
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command = command.after_help("").mut_args(|argument| match (argument.get_long_help(), argument.get_help()) {
        (None, Some(help)) => {
            let help = format!("{}.", help.to_string().trim_end_matches('.'));
            argument.help(help)
        }
        _ => argument,
    });
    let man = Man::new(command.clone()).source(format!("{} {}", path[0], env!("CARGO_PKG_VERSION")));
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut bytes)?;
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    commands(&command, path, &mut text);
    let (examples, own_codes) = sections(&after);
    let (_, general) = sections(exit_codes);
    table("EXIT STATUS", if own_codes.is_empty() { &general } else { &own_codes }, &mut text);
    table("ENVIRONMENT", environment, &mut text);
    if !examples.is_empty() {
        let _ = writeln!(text, ".SH EXAMPLES\n.nf\n{}\n.fi", verbatim(&examples));
    }
    if !related.is_empty() {
        let related: Vec<String> = related.iter().map(|name| format!(".BR {} (1)", escaped(name))).collect();
        let _ = writeln!(text, ".SH \"SEE ALSO\"\n{}", related.join(",\n"));
    }
    Ok(ascii(&text))
}

/// Writes every character beyond ASCII as the escape sequence that every formatter knows, whatever the locale.
fn ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let _ = write!(ascii, "\\[u{:04X}]", u32::from(character));
        }
    }
    ascii
}

/// Writes the commands of a command with what each does.
fn commands(command: &Command, path: &[String], text: &mut String) {
    let commands: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    if commands.is_empty() {
        return;
    }
    text.push_str(".SH COMMANDS\n");
    for command in commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let name = format!("{} {}", path.join(" "), command.get_name());
        let _ = writeln!(text, ".TP\n\\fB{}\\fR\n{}.", escaped(&name), escaped(about.trim_end_matches('.')));
    }
}

/// Splits the text after a command's help into the examples, with the text around them, and the exit codes.
fn sections(after: &str) -> (String, String) {
    let (mut examples, mut codes, mut in_codes) = (String::new(), String::new(), false);
    for line in after.lines() {
        if let Some(rest) = line.strip_prefix("Exit codes:") {
            in_codes = true;
            // `Exit codes: 0 this, 3 that` is a table as well.
            for code in rest.split(", ").map(str::trim).filter(|code| !code.is_empty()) {
                let (code, meaning) = code.split_once(' ').unwrap_or((code, ""));
                let _ = writeln!(codes, "{code}  {meaning}");
            }
        } else if in_codes && !line.is_empty() {
            let _ = writeln!(codes, "{line}");
        } else if !line.starts_with("Example") || !line.ends_with(':') {
            in_codes = false;
            let _ = writeln!(examples, "{line}");
        }
    }
    (examples.trim_matches('\n').to_owned(), codes)
}

/// Writes a section of terms: in each line a term, two blanks or more, and what it means. Deeper lines go on.
fn table(heading: &str, lines: &str, text: &mut String) {
    if lines.trim().is_empty() {
        return;
    }
    let _ = writeln!(text, ".SH {heading:?}");
    for line in lines.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        match line.trim_start().split_once("  ") {
            Some((term, meaning)) => {
                let _ = writeln!(text, ".TP\n\\fB{}\\fR\n{}", escaped(term), escaped(meaning.trim_start()));
            }
            None => {
                let _ = writeln!(text, "{}", escaped(line.trim_start()));
            }
        }
    }
}

/// Escapes text so that it is shown as it is, line by line.
fn verbatim(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// Escapes one line: nothing in it is a request or an escape sequence, and a hyphen can be copied.
fn escaped(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_and_exit_codes_are_told_apart() {
        let (examples, codes) = sections("Notes.\n\nExamples:\n  # one\n  program a\n\nExit codes: 0 done, 3 refused");
        assert_eq!((&*examples, &*codes), ("Notes.\n\n  # one\n  program a", "0  done\n3  refused\n"));
        let (examples, codes) = sections("Exit codes:\n  0  done\n  3  refused\n\nExample:\n  program");
        assert_eq!((&*examples, &*codes), ("  program", "  0  done\n  3  refused\n"));
    }

    #[test]
    fn no_line_of_an_example_is_a_request() {
        assert_eq!(verbatim(".TH\n'br\n\\fB --x"), "\\&.TH\n\\&'br\n\\efB \\-\\-x");
    }
}
