//! How a command line goes on: flags, commands, possible values, and what only the program knows, such as the channels of a store.

use clap::builder::PossibleValue;
use clap::{Arg, Command, ValueHint};

use crate::text::cut;

/// Longest description of a candidate in characters.
const DESCRIPTION: usize = 80;

/// The values of an argument that only the program knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    /// Words from the name of the program to that of the command, for example `["alga-release", "promote"]`.
    pub command: Vec<String>,
    /// Identifier of the argument.
    pub argument: String,
}

/// What may follow on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Words that fit, each with a description that may be empty.
    pub candidates: Vec<(String, String)>,
    /// Whether paths of files fit, which the shell completes better.
    pub files: bool,
    /// Argument whose values fit, beside the candidates. A value begins with [`Self::start`].
    pub values: Option<Values>,
    /// What is typed of the value already.
    pub start: String,
    /// What precedes a value in the same word, for example `--channel=`.
    pub before: String,
    /// Flags on the line with their values, by their long names.
    pub flags: Vec<(String, Option<String>)>,
}

impl Completed {
    /// Adds the values that fit to the candidates.
    pub fn add(&mut self, values: impl IntoIterator<Item = String>) {
        let Self { candidates, start, before, .. } = self;
        let fit = values.into_iter().filter(|value| value.starts_with(start.as_str()));
        candidates.extend(fit.map(|value| (format!("{before}{value}"), String::new())));
    }

    /// Returns the lines that the scripts of the shells read: a word, a tab, and its description. A line with `:files` says that paths
    /// fit.
    pub fn lines(&self) -> String {
        let line = |(word, description): &(String, String)| format!("{word}\t{description}\n");
        let files = if self.files { ":files\t\n" } else { "" };
        self.candidates.iter().map(line).collect::<String>() + files
    }
}

/// Where a command line is after its first words.
struct Line<'a> {
    command: &'a Command,
    path: Vec<String>,
    /// Flag that the next word is the value of.
    pending: Option<&'a Arg>,
    /// Number of positional arguments so far.
    positionals: usize,
    /// Whether `--` was given, after which no word is a flag.
    escaped: bool,
    flags: Vec<(String, Option<String>)>,
}

/// Says how a command line goes on. `words` are those after the name of the program, up to the cursor; the last one may be empty.
pub fn complete(program: &Command, words: &[String]) -> Completed {
    // Only a built command knows the flags that its commands inherit.
    let mut program = program.clone();
    program.build();
    let (current, before) = words.split_last().map_or(("", words), |(current, before)| (current.as_str(), before));
    let mut line = Line {
        command: &program,
        path: vec![program.get_name().to_owned()],
        pending: None,
        positionals: 0,
        escaped: false,
        flags: Vec::new(),
    };
    for word in before {
        line.take(word);
    }
    line.complete(current)
}

impl<'a> Line<'a> {
    fn take(&mut self, word: &str) {
        if let Some(flag) = self.pending.take() {
            self.note(flag, Some(word));
        } else if self.escaped {
            self.positionals += 1;
        } else if word == "--" {
            self.escaped = true;
        } else if let Some((flag, value)) = self.flag(word) {
            if value.is_none() && needs_value(flag) {
                self.pending = Some(flag);
            } else {
                self.note(flag, value);
            }
        } else if word.starts_with('-') && word.len() > 1 {
            // An unknown flag.
        } else if let Some(next) = self.command.find_subcommand(word).filter(|_| self.positionals == 0) {
            self.path.push(next.get_name().to_owned());
            self.command = next;
        } else {
            self.positionals += 1;
        }
    }

    fn note(&mut self, flag: &Arg, value: Option<&str>) {
        if let Some(long) = flag.get_long() {
            self.flags.push((long.to_owned(), value.map(str::to_owned)));
        }
    }

    /// Returns the flag that a word is, and the value behind `=`. Of several short flags in one word, that is the last one.
    fn flag<'w>(&self, word: &'w str) -> Option<(&'a Arg, Option<&'w str>)> {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let mut arguments = self.command.get_arguments();
        let found = if let Some(long) = name.strip_prefix("--") {
            arguments.find(|flag| flag.get_long() == Some(long))
        } else {
            let short = name.strip_prefix('-')?.chars().next_back()?;
            arguments.find(|flag| flag.get_short() == Some(short))
        };
        Some((found?, value))
    }

    fn complete(self, current: &str) -> Completed {
        if let Some(flag) = self.pending {
            return self.value(flag, "", current);
        }
        if !self.escaped && current.starts_with('-') {
            return match (self.flag(current), current.split_once('=')) {
                (Some((flag, Some(_))), Some((name, value))) => self.value(flag, &format!("{name}="), value),
                _ => self.flags_from(current),
            };
        }
        let commands = self.command.get_subcommands().filter(|command| !command.is_hide_set());
        let commands = commands.filter(|command| self.positionals == 0 && command.get_name().starts_with(current));
        let commands: Vec<_> = commands
            .map(|command| (command.get_name().to_owned(), described(command.get_about().map(ToString::to_string))))
            .collect();
        let last = self.command.get_positionals().last().filter(|last| last.get_num_args().is_some_and(many));
        match self.command.get_positionals().nth(self.positionals).or(last) {
            Some(positional) => self.value(positional, "", current),
            None if commands.is_empty() && current.is_empty() && !self.escaped => self.flags_from(current),
            None => Completed { candidates: commands, ..self.nothing() },
        }
    }

    fn nothing(self) -> Completed {
        let (start, before) = (String::new(), String::new());
        Completed { candidates: Vec::new(), files: false, values: None, start, before, flags: self.flags }
    }

    /// Returns the flags that begin with `start` and may still be given.
    fn flags_from(self, start: &str) -> Completed {
        let given = |flag: &&Arg| {
            let repeats = matches!(flag.get_action(), clap::ArgAction::Append | clap::ArgAction::Count);
            !repeats && self.flags.iter().any(|(long, _)| flag.get_long() == Some(long))
        };
        let flags = self.command.get_arguments().filter(|flag| !flag.is_hide_set() && !given(flag));
        let candidates = flags.filter_map(|flag| {
            let equals = if flag.is_require_equals_set() && needs_any(flag) { "=" } else { "" };
            let name = format!("--{}{equals}", flag.get_long()?);
            Some((name, described(flag.get_help().map(ToString::to_string))))
                .filter(|(name, _)| name.starts_with(start))
        });
        let candidates = candidates.collect();
        Completed { candidates, ..self.nothing() }
    }

    fn value(self, argument: &Arg, before: &str, start: &str) -> Completed {
        let words = argument.get_possible_values();
        let fits = |word: &&PossibleValue| !word.is_hide_set() && word.get_name().starts_with(start);
        let words = words.iter().filter(fits).map(|word| {
            let description = described(word.get_help().map(ToString::to_string));
            (format!("{before}{}", word.get_name()), description)
        });
        let hint = argument.get_value_hint();
        Completed {
            candidates: words.collect(),
            files: matches!(hint, ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath),
            values: Some(Values { command: self.path.clone(), argument: argument.get_id().to_string() }),
            start: start.to_owned(),
            before: before.to_owned(),
            ..self.nothing()
        }
    }
}

fn many(range: clap::builder::ValueRange) -> bool {
    range.max_values() > 1
}

/// Says whether the next word is the value of a flag.
fn needs_value(flag: &Arg) -> bool {
    !flag.is_require_equals_set() && flag.get_num_args().is_some_and(|range| range.min_values() > 0)
}

/// Says whether a flag is useless without a value.
fn needs_any(flag: &Arg) -> bool {
    flag.get_num_args().is_some_and(|range| range.min_values() > 0)
}

/// Returns the first sentence of a help text in one line.
fn described(help: Option<String>) -> String {
    let help = help.unwrap_or_default();
    let line = help.lines().next().unwrap_or_default().replace('\t', " ");
    cut(&line, DESCRIPTION)
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::*;

    fn program() -> Command {
        let channel = Arg::new("channel").long("channel").short('c').help("The channel");
        let output = Arg::new("output").long("output").value_parser(["text", "json"]);
        let dry = Arg::new("dry").long("dry-run").num_args(0..=1).require_equals(true);
        let quiet = Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).global(true);
        let file = Arg::new("file").long("file").value_hint(ValueHint::FilePath);
        let tree = Arg::new("tree");
        let publish = Command::new("publish").about("Publish a tree").args([channel, output, dry, file, tree]);
        let push = Command::new("push").arg(Arg::new("archives").num_args(1..));
        let image = Command::new("image").subcommand(push);
        Command::new("program").arg(quiet).subcommands([publish, image, Command::new("secret").hide(true)])
    }

    fn completed(line: &str) -> Completed {
        complete(&program(), &line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    fn words(line: &str) -> Vec<String> {
        completed(line).candidates.into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn commands_flags_and_possible_values_are_completed() {
        for (line, expected) in [
            ("", &["publish", "image", "help"][..]),
            ("pu", &["publish"]),
            ("image ", &["push", "help"]),
            ("publish --o", &["--output"]),
            ("publish --output ", &["text", "json"]),
            ("publish --output j", &["json"]),
            ("publish --output=t", &["--output=text"]),
            ("publish --dry", &["--dry-run"]),
            ("publish --q", &["--quiet"]),
            ("publish --quiet --q", &[]),
            ("publish --unknown --o", &["--output"]),
            ("nothing --o", &[]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
        assert_eq!(completed("pu").candidates, [("publish".to_owned(), "Publish a tree".to_owned())]);
    }

    #[test]
    fn values_that_the_program_knows_are_asked_for_by_command_and_argument() {
        let values = |command: &[&str], argument: &str| {
            let command = command.iter().map(|word| (*word).to_owned()).collect();
            Some(Values { command, argument: argument.to_owned() })
        };
        for (line, expected, before, start) in [
            ("publish --channel st", values(&["program", "publish"], "channel"), "", "st"),
            ("publish --channel=st", values(&["program", "publish"], "channel"), "--channel=", "st"),
            ("publish -qc st", values(&["program", "publish"], "channel"), "", "st"),
            ("publish --dry-run tr", values(&["program", "publish"], "tree"), "", "tr"),
            ("publish -- --ch", values(&["program", "publish"], "tree"), "", "--ch"),
            ("image push a b c", values(&["program", "image", "push"], "archives"), "", "c"),
            ("publish tree more", None, "", ""),
        ] {
            let completed = completed(line);
            assert_eq!((completed.values, &*completed.before, &*completed.start), (expected, before, start), "{line}");
        }
        let mut completed = completed("publish --output json --channel=s");
        completed.add(["stable", "nightly"].map(str::to_owned));
        assert_eq!(completed.candidates, [("--channel=stable".to_owned(), String::new())]);
        assert_eq!(completed.flags, [("output".to_owned(), Some("json".to_owned()))]);
    }

    #[test]
    fn paths_are_left_to_the_shell() {
        assert!(completed("publish --file ").files && completed("publish --file=").files);
        assert!(!completed("publish --channel ").files);
        assert_eq!(completed("publish --file ").lines(), ":files\t\n");
    }
}
