//! Keys for signatures: made, shown, and shared with cosign and openssl.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use alga_release::trust::Key;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::completions::Terminal;
use crate::schemas::valid;
use crate::support::programs::{Run, after, release, run, stdout};
use crate::support::require;

/// The password of every key here. `run` checks that no output contains it.
const PASSWORD: &str = "hunter2";
const COMMANDS: [&str; 2] = ["cosign2", "cosign3"];

/// A directory of key files.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }

    fn key(&self, name: &str) -> Key {
        Key::from_pem(self.text(name).as_bytes()).expect(name)
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).expect(name).permissions().mode() & 0o777
    }

    /// Returns a command of this program in the directory, without a password.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = release();
        command.arg("key").args(arguments).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        run(self.command(arguments).env("ALGA_SIGNING_PASSWORD", PASSWORD))
    }

    /// Runs another program in the directory, and returns its standard output.
    fn other(&self, program: &Path, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.0.path()).env("COSIGN_PASSWORD", PASSWORD).env("HOME", self.0.path());
        stdout(&mut command)
    }

    /// Returns whether a program accepts what it is asked to verify.
    fn accepts(&self, program: &Path, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        let output = command.args(arguments).current_dir(self.0.path()).env("HOME", self.0.path()).output();
        output.expect("a program that runs").status.success()
    }
}

#[test]
fn a_key_is_made_and_shown_from_each_of_its_files() {
    let directory = Directory::new();
    for (prefix, more, content) in
        [("locked", &[][..], "encrypted-private-key"), ("open", &["--plain"][..], "private-key")]
    {
        let arguments = [&["generate", "--output-prefix", prefix, "--output", "json"], more].concat();
        let made = directory.run(&arguments).ends(0).json();
        valid("key.json", &made);
        let [private, public] = ["key", "pub"].map(|extension| format!("{prefix}.{extension}"));
        assert_eq!(made["files"][0], serde_json::json!({ "path": private, "content": content }));
        assert_eq!(made["files"][1], serde_json::json!({ "path": public, "content": "public-key" }));
        assert_eq!(directory.text(&public), made["publicKey"].as_str().expect("text"));
        assert_eq!(directory.key(&public).id().to_string(), made["id"].as_str().expect("text"));
        for name in [&private, &public] {
            let shown = directory.run(&["show", name, "--output", "json"]).ends(0).json();
            valid("key.json", &shown);
            assert_eq!((&shown["id"], &shown["publicKey"]), (&made["id"], &made["publicKey"]), "{name}");
            directory.run(&["show", name]).ends(0).prints(&[
                made["id"].as_str().expect("text"),
                name,
                &directory.text(&public),
            ]);
        }
    }
}

#[test]
fn a_private_key_is_for_its_owner_alone_whatever_the_umask() {
    for (umask, public) in [("0000", 0o644), ("0077", 0o600)] {
        let directory = Directory::new();
        let mut shell = after(&format!("umask {umask}"), &directory.command(&["generate", "--plain"]));
        run(shell.current_dir(directory.path("."))).ends(0);
        assert_eq!((directory.mode("signing.key"), directory.mode("signing.pub")), (0o600, public), "{umask}");
    }
}

#[test]
fn a_key_file_is_replaced_only_on_demand() {
    for lost in ["signing.key", "signing.pub"] {
        let directory = Directory::new();
        directory.run(&["generate", "--plain"]).ends(0);
        let before = directory.key("signing.pub");
        fs::remove_file(directory.path(lost)).expect("removed");
        let left: Vec<_> = fs::read_dir(directory.path(".")).expect("a directory").collect();
        directory.run(&["generate", "--plain"]).ends(3).says(&[
            "cannot write signing.",
            "the file exists",
            "`--force`",
        ]);
        assert_eq!(fs::read_dir(directory.path(".")).expect("a directory").count(), left.len());
        directory.run(&["generate", "--plain", "--force"]).ends(0);
        assert_ne!(directory.key("signing.pub"), before);
    }
}

#[test]
fn the_password_comes_from_the_first_place_that_has_one() {
    let directory = Directory::new();
    directory.run(&["generate"]).ends(0);
    fs::write(directory.path("password"), format!("{PASSWORD}\n")).expect("written");
    fs::write(directory.path("wrong"), "another\n").expect("written");
    fs::write(directory.path("two-lines"), "hunter2\nsecret-pass\n").expect("written");
    let show =
        |variables: &[(&str, &str)]| run(directory.command(&["show", "signing.key"]).envs(variables.iter().copied()));
    show(&[("ALGA_SIGNING_PASSWORD", PASSWORD), ("ALGA_SIGNING_PASSWORD_FILE", "wrong")]).ends(0);
    show(&[("ALGA_SIGNING_PASSWORD_FILE", "password"), ("COSIGN_PASSWORD", "another")]).ends(0);
    show(&[("COSIGN_PASSWORD", PASSWORD)]).ends(0);
    show(&[("ALGA_SIGNING_PASSWORD_FILE", "wrong"), ("COSIGN_PASSWORD", PASSWORD)])
        .ends(4)
        .says(&["error: wrong password for signing.key"]);
    show(&[("ALGA_SIGNING_PASSWORD_FILE", "none")]).ends(9).says(&["none (ALGA_SIGNING_PASSWORD_FILE)"]);
    show(&[("ALGA_SIGNING_PASSWORD_FILE", "two-lines")]).ends(9).says(&["expected one line"]);
}

#[test]
fn without_a_password_and_a_terminal_a_locked_key_is_not_made_and_not_read() {
    let directory = Directory::new();
    directory.run(&["generate"]).ends(0);
    let alone = |arguments: &[&str]| {
        // A session of its own has no terminal, wherever the tests run.
        let command = directory.command(arguments);
        let mut apart = Command::new("setsid");
        apart.args(["--wait"]).arg(command.get_program()).args(command.get_args()).current_dir(directory.path("."));
        run(&mut apart)
    };
    alone(&["show", "signing.key"])
        .ends(4)
        .says(&["error: missing password for signing.key", "ALGA_SIGNING_PASSWORD_FILE"]);
    alone(&["generate", "--output-prefix", "new"]).ends(4).says(&["missing password for new.key"]);
    assert!(!directory.path("new.key").exists());
    fs::write(directory.path("empty"), "\n").expect("written");
    run(directory.command(&["generate", "--output-prefix", "new"]).env("ALGA_SIGNING_PASSWORD_FILE", "empty"))
        .ends(9)
        .says(&["empty password for new.key", "`--plain`"]);
    assert!(!directory.path("new.key").exists());
}

#[test]
fn cosign_signs_with_a_key_that_was_made_here() {
    for name in COMMANDS {
        let Some(cosign) = require(name) else { return };
        let directory = Directory::new();
        directory.run(&["generate"]).ends(0);
        fs::write(directory.path("message"), "a message").expect("written");
        let sign = ["sign-blob", "--key", "signing.key", "--tlog-upload=false", "--yes"];
        let signature = if name == "cosign2" {
            let printed = directory.other(&cosign, &[&sign[..], &["message"]].concat());
            String::from_utf8(printed).expect("text")
        } else {
            let more = ["--use-signing-config=false", "--bundle", "bundle", "message"];
            directory.other(&cosign, &[&sign[..], &more].concat());
            let verify = ["verify-blob", "--insecure-ignore-tlog", "--bundle", "bundle", "--key", "signing.pub"];
            assert!(directory.accepts(&cosign, &[&verify[..], &["message"]].concat()));
            let bundle: serde_json::Value = serde_json::from_str(&directory.text("bundle")).expect("JSON");
            bundle["messageSignature"]["signature"].as_str().expect("text").to_owned()
        };
        let der = BASE64_STANDARD.decode(signature.trim()).expect("base64");
        assert!(directory.key("signing.pub").verify(b"a message", &der), "{name}");
    }
}

#[test]
fn a_key_that_cosign_made_is_read() {
    for name in COMMANDS {
        let Some(cosign) = require(name) else { return };
        let directory = Directory::new();
        directory.other(&cosign, &["generate-key-pair", "--output-key-prefix", "theirs"]);
        let id = directory.key("theirs.pub").id().to_string();
        directory.run(&["show", "theirs.key"]).ends(0).prints(&[&id, "encrypted with a password"]);
        run(directory.command(&["show", "theirs.key"]).env("COSIGN_PASSWORD", "another"))
            .ends(4)
            .says(&["error: wrong password for theirs.key"]);
        let older = directory.text("theirs.key").replace("ENCRYPTED SIGSTORE", "ENCRYPTED COSIGN");
        fs::write(directory.path("older.key"), older).expect("written");
        directory.run(&["show", "older.key"]).ends(0).prints(&[&id]);
    }
}

#[test]
fn openssl_reads_a_plain_key_and_its_public_half_and_its_keys_are_read() {
    let Some(openssl) = require("openssl") else { return };
    let directory = Directory::new();
    directory.run(&["generate", "--plain"]).ends(0);
    let public = directory.other(&openssl, &["pkey", "-in", "signing.key", "-pubout"]);
    assert_eq!(String::from_utf8(public).expect("text"), directory.text("signing.pub"));
    directory.other(&openssl, &["pkey", "-pubin", "-in", "signing.pub", "-pubcheck", "-noout"]);

    let make = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "theirs.key"];
    directory.other(&openssl, &make);
    directory.other(&openssl, &["pkey", "-in", "theirs.key", "-pubout", "-out", "theirs.pub"]);
    let id = directory.key("theirs.pub").id().to_string();
    directory.run(&["show", "theirs.key"]).ends(0).prints(&[&id, "private key without a password"]);
}

#[test]
fn keys_of_other_kinds_are_refused_with_what_they_are() {
    let Some(openssl) = require("openssl") else { return };
    let directory = Directory::new();
    let curve = |name| ["-algorithm", "EC", "-pkeyopt", name];
    let kinds: [(&str, &[&str], &str); 5] = [
        ("rsa", &["-algorithm", "RSA"], "found RSA"),
        ("ed25519", &["-algorithm", "ED25519"], "found Ed25519"),
        ("p384", &curve("ec_paramgen_curve:P-384"), "found ECDSA P-384"),
        ("secp256k1", &curve("ec_paramgen_curve:secp256k1"), "found ECDSA secp256k1"),
        ("p521", &curve("ec_paramgen_curve:P-521"), "found ECDSA P-521"),
    ];
    for (name, arguments, found) in kinds {
        directory.other(&openssl, &[&["genpkey", "-out", name], arguments].concat());
        directory.run(&["show", name]).ends(9).says(&[
            &format!("error: invalid private key {name}: unsupported key for signing: expected ECDSA P-256, {found}"),
            "`alga-release key generate`",
        ]);
        let public = format!("{name}.pub");
        directory.other(&openssl, &["pkey", "-in", name, "-pubout", "-out", &public]);
        directory.run(&["show", &public]).ends(9).says(&[&format!("cannot use {public}: "), found]);
    }
    directory.other(&openssl, &["ecparam", "-name", "prime256v1", "-genkey", "-out", "sec1"]);
    directory.run(&["show", "sec1"]).ends(9).says(&["`EC PRIVATE KEY`", "openssl pkcs8 -topk8 -nocrypt"]);
    directory.other(&openssl, &["pkcs8", "-topk8", "-in", "sec1", "-passout", "pass:hunter2", "-out", "pkcs8"]);
    directory.run(&["show", "pkcs8"]).ends(9).says(&["`ENCRYPTED PRIVATE KEY`", "openssl pkcs8 -topk8 -nocrypt"]);
    directory.other(&openssl, &["pkcs8", "-topk8", "-nocrypt", "-in", "sec1", "-out", "converted"]);
    directory.run(&["show", "converted"]).ends(0);
}

#[test]
fn the_password_is_asked_for_at_the_terminal_and_not_shown() {
    let Some(script) = require("script") else { return };
    let directory = Directory::new();
    let mut terminal = Terminal::start(&script, "sh", &directory.path("."), "PS1=");
    let mut asks = |command: &str, answers: &[&str], end: &str| {
        terminal.types(&format!(
            "alga-release key {command}; echo code=$?, \"$(stty -a | grep -o 'isig icanon iexten echo ')\"\n"
        ));
        let mut shown = String::new();
        for keys in answers {
            shown += &terminal.waits_for(": ");
            terminal.types(keys);
        }
        shown += &terminal.waits_for(&format!("{end}, isig icanon iexten echo"));
        assert!(!shown.contains("hunter2") && !shown.contains("hunter"), "{shown}");
        shown
    };
    let shown = asks("generate", &["hunter2\n", "hunter3\n"], "code=9");
    assert!(shown.contains("the two passwords are different"), "{shown}");
    // Backspace takes one character back, and Ctrl-U the whole line.
    asks("generate", &["hunter2\n", "x\u{15}hunter\u{e9}\u{7f}2\n"], "code=0");
    asks("show signing.key", &["hunter2\n"], "code=0");
    let shown = asks("show signing.key", &["hunter3\n"], "code=4");
    assert!(shown.contains("wrong password for signing.key"), "{shown}");
    let shown = asks("show signing.key", &["hunter2\u{3}"], "code=130");
    assert!(shown.contains("interrupted"), "{shown}");
}
