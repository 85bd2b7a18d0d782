//! Programs that sign: openssl with the message and with its digest, a PKCS#11 token, and programs that do it wrong.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use alga_release::ops::{Call, Ended, Environment, NoTerminal, Programs, RunError, Variables};
use alga_release::signing::{KeySignature, Secrets, SignerCommand, SignerRole, Signers, SigningRequest};
use alga_release::system::SECRET_VARIABLES;
use alga_release::trust::Key;
use futures_util::future::BoxFuture;
use secrecy::SecretBox;

use crate::support::programs::stdout;
use crate::support::require;

const MESSAGE: &[u8] = b"a message\n\0";

/// The programs of this machine, run with these variables as those of the process.
#[derive(Debug)]
struct Machine {
    directory: PathBuf,
    variables: Vec<(String, OsString)>,
}

impl Programs for Machine {
    fn run<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended, RunError>> {
        let mut command = Command::new(call.program);
        command.args(call.arguments).current_dir(&self.directory).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let Variables::Inherited { removed, added } = call.variables else { panic!("other variables") };
        for name in SECRET_VARIABLES.iter().chain(removed) {
            command.env_remove(name);
        }
        command.envs(added.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a program");
        // A program that reads nothing has closed the pipe.
        let _ = child.stdin.take().expect("a pipe").write_all(call.input);
        let output = child.wait_with_output().expect("an end");
        let ended = Ended {
            success: output.status.success(),
            output: SecretBox::new(Box::new(output.stdout)),
            errors: output.stderr,
        };
        Box::pin(async { Ok(ended) })
    }

    fn find(&self, _: &str) -> Option<PathBuf> {
        None
    }
}

/// A directory with two keys of openssl, and the variables of a process that works there.
struct Place {
    directory: tempfile::TempDir,
    variables: Vec<(String, OsString)>,
}

impl Place {
    fn new() -> Option<Self> {
        let openssl = require("openssl")?;
        let path = format!("{}:/usr/bin:/bin", openssl.parent().expect("a directory").display());
        let directory = tempfile::tempdir().expect("a directory");
        let variables = vec![("PATH".to_owned(), path.into()), ("HOME".to_owned(), directory.path().into())];
        let place = Self { directory, variables };
        for name in ["one", "two"] {
            place.shell(&format!("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"));
            place.shell(&format!("openssl pkey -in {name}.key -pubout -out {name}.pub"));
        }
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn key(&self, name: &str) -> Key {
        Key::from_pem(&fs::read(self.path(name)).expect(name)).expect(name)
    }

    fn shell(&self, line: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.directory.path()).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        String::from_utf8(stdout(&mut command)).expect("text")
    }

    fn signers(&self, files: &[&str], commands: &[&str]) -> Result<Signers, String> {
        let commands = commands.iter().map(|line| SignerCommand::parse(line).expect("a signer")).collect();
        let key_files = files.iter().map(|name| self.path(name)).collect();
        let variables = self.variables.clone();
        let environment = Environment::new(move |name| {
            variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        });
        let secrets = Secrets { environment: &environment, terminal: &NoTerminal };
        let machine = Machine { directory: self.directory.path().to_owned(), variables: self.variables.clone() };
        let programs: Arc<dyn Programs> = Arc::new(machine);
        Signers::open(&SigningRequest { key_files, commands }, secrets, &programs).map_err(|error| error.to_string())
    }

    /// Signs as the role release, and checks every signature.
    async fn sign(&self, files: &[&str], commands: &[&str], keys: &[Key]) -> Result<Vec<KeySignature>, String> {
        let signers = self.signers(files, commands)?;
        let signed = signers.sign(SignerRole::Release, keys, MESSAGE).await.map_err(|error| error.to_string())?;
        assert!(signed.iter().all(|one| keys.contains(&one.key) && one.key.verify(MESSAGE, &one.der)));
        Ok(signed)
    }

    /// Asserts that a command signs with the key of a file.
    async fn signs(&self, command: &str, name: &str) {
        let keys = [self.key("two.pub"), self.key(name)];
        let signed = self.sign(&[], &[command], &keys).await.unwrap_or_else(|error| panic!("{command}: {error}"));
        assert_eq!(signed.iter().map(|one| one.key).collect::<Vec<_>>(), [self.key(name)], "{command}");
    }
}

#[tokio::test]
async fn openssl_signs_the_message_or_its_digest_in_every_form() {
    let Some(place) = Place::new() else { return };
    let digest = "printf %s \"$ALGA_SIGN_SHA256\" | perl -pe '$_ = pack \"H*\", $_'";
    for command in [
        "release=openssl dgst -sha256 -binary | openssl pkeyutl -sign -inkey one.key",
        "release=openssl dgst -sha256 -sign one.key",
        "release=openssl dgst -sha256 -sign one.key | openssl base64",
        "release=openssl dgst -sha256 -sign one.key | openssl base64 -A",
        &format!("release={digest} | openssl pkeyutl -sign -inkey one.key"),
    ] {
        place.signs(command, "one.pub").await;
    }
}

#[tokio::test]
async fn a_command_finds_its_key_by_the_id() {
    let Some(place) = Place::new() else { return };
    for name in ["one", "two"] {
        let id = place.key(&format!("{name}.pub")).id();
        fs::rename(place.path(&format!("{name}.key")), place.path(&format!("{id}.key"))).expect("renamed");
    }
    let keys = ["one.pub", "two.pub"].map(|name| place.key(name));
    let command = "release=openssl dgst -sha256 -sign $ALGA_SIGN_KEY.key";
    assert_eq!(place.sign(&[], &[command, command], &keys).await.expect("two signatures").len(), 2);
    fs::remove_file(place.path(&format!("{}.key", keys[0].id()))).expect("removed");
    assert_eq!(place.sign(&[], &[command], &keys).await.expect("a signature")[0].key, keys[1]);
}

#[tokio::test]
async fn a_pkcs11_token_signs() {
    let (Some(place), Some(softhsm), Some(_)) = (Place::new(), require("softhsm2-util"), require("pkcs11-tool")) else {
        return;
    };
    let mut place = place;
    let tokens = place.path("tokens");
    fs::create_dir(&tokens).expect("a directory");
    fs::write(place.path("softhsm2.conf"), format!("directories.tokendir = {}\n", tokens.display())).expect("written");
    place.variables.push(("SOFTHSM2_CONF".to_owned(), place.path("softhsm2.conf").into()));
    place.variables.push(("TOKEN_PIN".to_owned(), "123456".into()));
    let module = module(&softhsm);
    let tool = format!("pkcs11-tool --module {module} --token-label release --login --pin env:TOKEN_PIN");
    place.shell("softhsm2-util --init-token --free --label release --so-pin 87654321 --pin 123456");
    place.shell(&format!("{tool} --keypairgen --key-type EC:prime256v1 --id 01 --label release"));
    place.shell(&format!("{tool} --read-object --type pubkey --id 01 --output-file token.der"));
    place.shell("openssl pkey -pubin -inform DER -in token.der -pubout -out token.pub");

    let sign = format!("release=openssl dgst -sha256 -binary | {tool} --sign --mechanism ECDSA --id 01");
    place.signs(&sign, "token.pub").await;
    place.signs(&format!("{sign} --signature-format openssl"), "token.pub").await;

    place.variables.retain(|(name, _)| name != "TOKEN_PIN");
    place.variables.push(("TOKEN_PIN".to_owned(), "hunter2".into()));
    let error = place.sign(&[], &[&sign], &[place.key("token.pub")]).await.expect_err("no login");
    assert!(error.contains("CKR_PIN_INCORRECT") && !error.contains("hunter2"), "{error}");
}

/// Returns the path of the token's library, which is in another directory on each kind of machine.
fn module(softhsm: &Path) -> String {
    let prefix = softhsm.parent().and_then(Path::parent).expect("a prefix");
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let directories = [format!("lib/{machine}/softhsm"), "lib/softhsm".to_owned(), "lib64/pkcs11".to_owned()];
    let paths = directories.iter().map(|directory| prefix.join(directory).join("libsofthsm2.so"));
    paths.into_iter().find(|path| path.exists()).expect("the library of SoftHSM").display().to_string()
}

#[tokio::test]
async fn key_files_and_programs_sign_together_and_a_key_file_signs_the_same_each_time() {
    let Some(place) = Place::new() else { return };
    let keys = ["one.pub", "two.pub"].map(|name| place.key(name));
    let two = "release=openssl dgst -sha256 -sign two.key";
    assert_eq!(place.sign(&["one.key"], &[two], &keys).await.expect("two signatures").len(), 2);
    let first = place.sign(&["one.key"], &[], &keys).await.expect("a signature");
    assert_eq!(place.sign(&["one.key"], &[], &keys).await.expect("a signature"), first);
    assert_eq!(first[0].key, keys[0]);
    assert_eq!(place.sign(&["one.key"], &[], &keys[1..]).await.expect("none"), []);
    let error = place.sign(&["one.key"], &[two], &keys[..1]).await;
    assert_eq!(error.expect("the program has nothing left to sign").len(), 1);

    let signers = place.signers(&["one.key", "two.key"], &[]).expect("signers");
    assert_eq!(signers.keys().copied().collect::<Vec<_>>(), keys);
    assert!(signers.check(|id| keys.iter().any(|key| key.id() == *id)).is_ok());
    let error = signers.check(|id| *id == keys[0].id()).expect_err("a key without a role").to_string();
    assert!(error.contains(&keys[1].id().to_string()) && error.contains("two.key"), "{error}");
}

#[tokio::test]
async fn programs_that_do_it_wrong_are_named_and_none_of_their_commands_is_shown() {
    let Some(place) = Place::new() else { return };
    let keys = [place.key("one.pub")];
    for (command, words) in [
        ("echo hunter2", "printed 8 bytes that are not a signature"),
        ("true hunter2", "printed 0 bytes that are not a signature"),
        ("echo why >&2; false hunter2", "ended with an error: why"),
        ("no-such-program", "ended with an error: "),
        ("openssl dgst -sha256 -sign two.key", "signed with another key or another message"),
        ("echo another | openssl dgst -sha256 -sign one.key", "signed with another key or another message"),
        ("openssl dgst -sha384 -sign one.key", "signed with another key or another message"),
    ] {
        let error = place.sign(&[], &[&format!("release={command}")], &keys).await.expect_err(command);
        assert!(error.starts_with("the signer for release ") && error.contains(words), "{command}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_program_gets_none_of_the_secrets() {
    let Some(mut place) = Place::new() else { return };
    let secret = [
        "ALGA_SIGNING_KEY",
        "ALGA_SIGNING_KEY_FILE",
        "ALGA_SIGNING_PASSWORD",
        "ALGA_SIGNING_PASSWORD_FILE",
        "COSIGN_PASSWORD",
        "ALGA_REGISTRY_TOKEN",
        "ALGA_REGISTRY_TOKEN_FILE",
        "GH_TOKEN",
        "GITHUB_TOKEN",
    ];
    place.variables.extend(secret.map(|name| (name.to_owned(), OsString::from("hunter2"))));
    place.variables.push(("AWS_REGION".to_owned(), "eu-central-1".into()));
    let command = "release=env > variables; openssl dgst -sha256 -sign one.key";
    let signed = place.sign(&["two.key"], &[command], &[place.key("one.pub")]).await;
    assert_eq!(signed.expect("a signature").len(), 1);
    let text = fs::read_to_string(place.path("variables")).expect("the variables");
    assert!(!text.contains("hunter2"), "{text}");
    for name in ["PATH=", "HOME=", "AWS_REGION=eu-central-1", "ALGA_SIGN_KEY=", "ALGA_SIGN_SHA256="] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[tokio::test]
async fn a_key_comes_from_the_variables_when_no_flag_names_one() {
    let Some(mut place) = Place::new() else { return };
    let keys = ["one.pub", "two.pub"].map(|name| place.key(name));
    place.variables.push(("ALGA_SIGNING_KEY_FILE".to_owned(), place.path("one.key").into()));
    assert_eq!(place.sign(&[], &[], &keys).await.expect("a signature")[0].key, keys[0]);
    let text = fs::read_to_string(place.path("two.key")).expect("text");
    place.variables.push(("ALGA_SIGNING_KEY".to_owned(), text.into()));
    assert_eq!(place.sign(&[], &[], &keys).await.expect("a signature")[0].key, keys[1]);
    assert_eq!(place.sign(&["one.key"], &[], &keys).await.expect("a signature")[0].key, keys[0]);
    place.variables.push(("ALGA_SIGNING_KEY".to_owned(), "hunter2".into()));
    place.variables.swap_remove(place.variables.len() - 2);
    let error = place.sign(&[], &[], &keys).await.expect_err("no key");
    assert!(error.starts_with("invalid private key ALGA_SIGNING_KEY: ") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_key_file_that_every_user_may_read_is_warned_of() {
    let Some(place) = Place::new() else { return };
    for (mode, warned) in [(0o600, false), (0o640, false), (0o604, true), (0o644, true)] {
        fs::set_permissions(place.path("one.key"), fs::Permissions::from_mode(mode)).expect("set");
        let warnings = place.signers(&["one.key"], &[]).expect("signers").warnings;
        assert_eq!(warnings.iter().any(|text| text.contains("chmod 600") && text.contains("one.key")), warned);
        assert_eq!(warnings.len(), usize::from(warned), "{mode:o}: {warnings:?}");
    }
}

#[test]
fn a_file_that_is_not_a_private_key_signs_nothing() {
    let Some(place) = Place::new() else { return };
    for (file, words) in
        [("one.pub", "expected a private key, found a public key"), ("none", "cannot read "), (".", "cannot read ")]
    {
        let error = place.signers(&[file], &[]).expect_err(file);
        assert!(error.contains(words), "{error}");
    }
    fs::write(place.path("large"), vec![b'-'; 1 << 20]).expect("written");
    let error = place.signers(&["large"], &[]).expect_err("too large");
    assert!(error.contains("large"), "{error}");
}
