//! Command lines are completed by the real bash, zsh and fish, and manual pages are read by the real man.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::programs::{Source, alga, release, run, stdout};
use crate::support::published::{complete, publish, store, with_images};
use crate::support::registry::{Action, Fault, Registry};
use crate::support::require;

/// The directory of the program that is tested.
fn program_directory() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_alga-release")).parent().expect("a directory")
}

/// A shell on a terminal of its own, driven as a person drives it.
pub struct Terminal {
    child: Child,
    /// What the shell has shown so far.
    shown: String,
}

impl Terminal {
    /// Starts a shell, and waits until it has done `setup`.
    pub fn start(script: &Path, shell: &str, home: &Path, setup: &str) -> Self {
        let path = format!("{}:/usr/bin:/bin", program_directory().display());
        // Where something goes wrong, the shell ends, and the test fails.
        let mut command = Command::new("timeout");
        command.args(["120"]).arg(script).args(["-qfc", shell, "/dev/null"]).current_dir(home).env_clear();
        command.env("PATH", path).env("HOME", home).env("TERM", "dumb").env("SHELL", "/bin/sh").env("COLUMNS", "1000");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a terminal");
        let mut terminal = Self { child, shown: String::new() };
        terminal.types(&format!("stty columns 1000; {setup}; echo rea''dy\n"));
        terminal.waits_for("ready");
        terminal
    }

    /// Types keys, of which a line end is one.
    pub fn types(&mut self, keys: &str) {
        let input = self.child.stdin.as_mut().expect("a pipe");
        input.write_all(keys.as_bytes()).and_then(|()| input.flush()).expect("typed");
    }

    /// Waits until a text is shown, and returns what was shown before it.
    pub fn waits_for(&mut self, text: &str) -> String {
        let output = self.child.stdout.as_mut().expect("a pipe");
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.shown.find(text) {
                let before = self.shown[..at].to_owned();
                self.shown.drain(..at + text.len());
                return before;
            }
            let read = output.read(&mut buffer).expect("readable");
            assert!(read > 0, "`{text}` was not shown: {:?}", self.shown);
            self.shown += &String::from_utf8_lossy(&buffer[..read]);
        }
    }

    /// Types the beginning of a command line and a tab, and returns the words that the line has then.
    fn completes(&mut self, line: &str) -> Vec<String> {
        // To the start of the line, where a command is put that prints the words; to its end; and there the mark of the end.
        self.types(&format!("{line}\t\u{1}printf '<%s>\\n' sta''rt \u{5} e''nd\n"));
        self.waits_for("<start>");
        let words = self.waits_for("<end>");
        let words = words.lines().filter_map(|line| line.trim().strip_prefix('<')?.strip_suffix('>'));
        words.map(str::to_owned).collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A registry with the versions 1.0.3 and 1.0.4 in nightly, and its store.
fn published() -> (Source, Registry, String) {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4"]);
    for version in ["1.0.3", "1.0.4"] {
        publish(&source, &registry, version, "nightly", &[]).ends(0);
    }
    let store = store(&registry);
    (source, registry, store)
}

/// Lines that are completed the same in bash and in zsh: what is typed, and the last word then.
fn lines(store: &str) -> Vec<(String, String)> {
    let line = |typed: &str, last: &str| (format!("alga-release {typed}"), last.to_owned());
    vec![
        line("publ", "publish"),
        line("publish --chann", "--channel"),
        line("publish --output js", "json"),
        line("publish --output=js", "--output=json"),
        line("image pu", "push"),
        line("image push --platf", "--platform"),
        line(&format!("history --store {store} nigh"), "nightly"),
        line(&format!("history --store={store} nigh"), "nightly"),
        line(&format!("verify --store {store} 1.0.4"), "1.0.4"),
        line(&format!("rollback nightly --store {store} --to prev"), "previous"),
        line(&format!("promote --store {store} --from=nigh"), "--from=nightly"),
        line("lint tr", "tree"),
        line("publish --config=tr", "--config=tree"),
    ]
}

/// Compares the last word. Shells put a `/` behind a directory, and zsh takes it away again.
fn is_last(words: &[String], last: &str) -> bool {
    words.last().is_some_and(|word| word.trim_end_matches('/') == last)
}

#[test]
fn bash_completes_flags_values_channels_versions_and_paths() {
    let (Some(script), Some(_)) = (require("script"), require("bash")) else { return };
    let (_source, _registry, store) = published();
    let home = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(home.path().join("tree")).expect("a directory");
    let setup = "set +o history; bind 'set enable-bracketed-paste off'; source <(alga-release completions bash)";
    let mut bash = Terminal::start(&script, "bash --norc --noprofile -i", home.path(), setup);
    for (line, last) in lines(&store) {
        let words = bash.completes(&line);
        assert!(is_last(&words, &last), "{line}: {words:?}");
    }
}

#[test]
fn zsh_completes_flags_values_channels_versions_and_paths() {
    let (Some(script), Some(_)) = (require("script"), require("zsh")) else { return };
    let (_source, _registry, store) = published();
    let home = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(home.path().join("tree")).expect("a directory");
    let setup = "bindkey -e; unset zle_bracketed_paste; autoload -U compinit; compinit -u -D; source <(alga-release completions zsh)";
    let mut zsh = Terminal::start(&script, "zsh -f -i", home.path(), setup);
    for (line, last) in lines(&store) {
        let words = zsh.completes(&line);
        assert!(is_last(&words, &last), "{line}: {words:?}");
    }
}

#[test]
fn fish_completes_flags_values_channels_versions_and_paths() {
    let Some(fish) = require("fish") else { return };
    let (_source, _registry, store) = published();
    let home = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(home.path().join("tree")).expect("a directory");
    for (line, last) in lines(&store) {
        let mut command = Command::new(&fish);
        let path = format!("{}:/usr/bin:/bin", program_directory().display());
        command.env_clear().env("PATH", path).env("HOME", home.path()).env("TERM", "dumb").current_dir(home.path());
        let code = "alga-release completions fish | source; complete --do-complete $argv[1]";
        let found = stdout(command.args(["--no-config", "--command", code, &line]));
        let found = String::from_utf8_lossy(&found).into_owned();
        let words: Vec<&str> = found.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect();
        assert!(words.iter().any(|word| word.trim_end_matches('/') == last), "{line}: {found}");
    }
}

/// The words that may follow.
fn following(arguments: &[&str]) -> Vec<String> {
    let output = alga(&[&["complete", "--"], arguments].concat()).ends(0);
    assert_eq!(output.stderr, "");
    output.stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn channels_and_versions_come_from_the_store_of_the_line_and_from_the_configuration() {
    let (source, _registry, store) = published();
    assert_eq!(following(&["verify", "--store", &store, "1"]), ["1.0.4", "1.0.3"]);
    assert_eq!(following(&["rollback", "nightly", "--store", &store, "--to", ""]), ["previous", "1.0.4", "1.0.3"]);
    assert_eq!(following(&["promote", "--store", &store, "--to", "n"]), ["nightly"]);
    source.write("other.yaml", &format!("prefix: {store}\nchannels: [blue, nightly]\n"));
    let other = source.path("other.yaml").display().to_string();
    assert_eq!(following(&["history", "--config", &other, ""]), ["blue", "nightly"]);
    assert_eq!(following(&["show", "--config", &other, "1.0.4"]), ["1.0.4"]);
    // A word for a flag that has other values.
    assert!(following(&["publish", "--store", &store, "--version", ""]).is_empty());
    assert_eq!(following(&["copy", "nightly", "oci-a"]), ["oci-archive:"]);
}

#[test]
fn a_store_that_does_not_answer_leaves_the_channels_of_the_configuration() {
    let (_source, registry) = complete();
    let store = store(&registry);
    for action in [Action::status(503, ""), Action::status(401, ""), Action::ResetBefore, Action::Endless] {
        registry.fail(Fault::every("GET", "/tags/list", action));
        let channels = following(&["history", "--store", &store, ""]);
        assert!(channels.contains(&"stable".to_owned()) && channels.contains(&"nightly".to_owned()), "{channels:?}");
        assert!(following(&["verify", "--store", &store, "1."]).is_empty());
        registry.heal();
    }
    // Nothing listens there, and what is not a store is not asked.
    assert!(following(&["history", "--store", "127.0.0.1:1/x", ""]).contains(&"stable".to_owned()));
    assert!(following(&["history", "--store", "///", ""]).contains(&"stable".to_owned()));
    // A password is never read for a completion.
    let secret = following(&["history", "--username", "alice", "--password-stdin", "--store", &store, "st"]);
    assert_eq!(secret, ["stable"]);
}

#[test]
fn every_flag_of_every_command_is_completed() {
    for command in
        ["publish", "diff", "lint", "doctor", "promote", "rollback", "history", "ls", "show", "verify", "copy"]
    {
        let help = alga(&[command, "--help"]).ends(0).stdout;
        let words = help.split_whitespace().filter(|word| word.starts_with("--"));
        let flags = words.map(|word| word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-'));
        let offered = following(&[command, "--"]);
        // `--dry-run` is completed as it is written, and `--flag=` where a value needs it.
        let is_offered = |flag: &str| offered.iter().any(|one| one.trim_end_matches('=') == flag);
        let usual = help
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("--").or(line.split_once(", --").map(|(_, rest)| rest)));
        for flag in usual {
            let name = flag.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
            assert!(is_offered(&format!("--{name}")), "{command}: --{name} of {offered:?}");
        }
        assert!(flags.count() > 3, "{command}: {help}");
    }
}

#[test]
fn a_manual_page_for_each_command_is_written_without_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("man1");
    run(release().args(["man", "--output-dir"]).arg(&out)).ends(0);
    let mut names: Vec<_> = std::fs::read_dir(&out).expect("pages").map(|page| page.expect("a page").path()).collect();
    names.sort();
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let files: Vec<String> = names.iter().map(|path| name(path)).collect();
    for page in ["alga-release.1", "alga-release-publish.1", "alga-release-image-push.1", "alga-release-show.1"] {
        assert!(files.contains(&page.to_owned()), "{page}: {files:?}");
    }
    assert!(!files.contains(&"alga-release-complete.1".to_owned()) && !files.iter().any(|name| name.contains("help")));
    let text = |page: &str| std::fs::read_to_string(out.join(page)).expect("a page");
    let publish = text("alga-release-publish.1");
    for word in ["\\-\\-channel", "EXIT STATUS", "75", ".SH EXAMPLES", "\\-\\-store oci\\-layout:out", "SEE ALSO"] {
        assert!(publish.contains(word), "{word}: {publish}");
    }
    assert!(text("alga-release.1").contains("ALGA_REGISTRY_TOKEN_FILE"));
    assert_eq!(alga(&["man", "image", "push"]).ends(0).stdout, text("alga-release-image-push.1"));
    assert_eq!(alga(&["man"]).ends(0).stdout, text("alga-release.1"));
    alga(&["man", "nothing"]).ends(9).says(&["unknown command `nothing`", "--help"]);
    if let Some(groff) = require("groff") {
        for page in &names {
            let output =
                Command::new(&groff).args(["-man", "-ww", "-Tutf8", "-z"]).arg(page).output().expect("started");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", page.display());
        }
    }
    if let Some(mandoc) = require("mandoc") {
        for page in &names {
            let mut command = Command::new(&mandoc);
            let output = command.args(["-T", "lint", "-W", "error"]).arg(page).output().expect("started");
            let found = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && found.is_empty(), "{}: {found}", page.display());
        }
    }
    if let Some(man) = require("man") {
        let mut command = Command::new(man);
        command.arg("-l").arg(out.join("alga-release-show.1")).env("MANWIDTH", "100").env("PAGER", "cat");
        let page = stdout(command.env("LC_ALL", "C.UTF-8"));
        let page = String::from_utf8_lossy(&page).replace('\u{8}', "");
        assert!(page.contains("SIGNATURES") || page.contains("alga-release show"), "{page}");
    }
}
