//! Programs that sign. The message is on standard input, and the signature is expected on standard output.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::Signature;
use secrecy::ExposeSecret as _;

use super::{Error, KeySignature, SignerRole};
use crate::oci::Digest;
use crate::system::{Call, Programs, RunError, Variables};
use crate::text;
use crate::trust::{Key, KeyId};

/// Longest time that a program may take to sign.
const PATIENCE: Duration = Duration::from_mins(1);
/// Most bytes that a program may print. A signature has 72 at most, and 96 in base64.
const LIMIT: usize = 4096;
/// Length of a signature as two numbers without a structure.
const RAW: usize = 64;
/// Most characters of a program's own message that are shown.
const SHOWN: usize = 300;

/// Variables that name credentials of registries or keys, beside the secrets that no program gets.
const REMOVED: [&str; 6] = [
    "ALGA_REGISTRY_TOKEN_FILE",
    "ALGA_REGISTRY_USERNAME",
    "ALGA_SIGNING_KEY_FILE",
    "ALGA_SIGNING_PASSWORD_FILE",
    "GH_TOKEN",
    "GITHUB_TOKEN",
];

/// A command line that signs for one role. It may contain a secret, so that no message shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SignerCommand {
    /// What the command signs.
    pub role: SignerRole,
    /// ID of the key that the command signs with, or at least the first 8 digits of the ID; `None` for any key of the role.
    pub key: Option<String>,
    line: String,
}

/// Fewest digits by which a key is named without its whole ID.
const DIGITS: usize = 8;
/// Digits of a whole ID.
const WHOLE: usize = 64;

impl fmt::Debug for SignerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerCommand").field("role", &self.role).field("key", &self.key).finish_non_exhaustive()
    }
}

/// The reason why a program gave no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignerFault {
    /// The program did not run to its end.
    #[error(transparent)]
    Run(RunError),
    /// The program ended with an exit code other than 0. Its own words follow.
    #[error("ended with an error{0}")]
    Failed(String),
    /// The output is not a signature.
    #[error("printed {0} bytes that are not a signature: expected DER, base64 of DER, or 64 bytes (r and s)")]
    Garbage(usize),
    /// The output is a signature that no admissible key verifies.
    #[error("signed with another key or another message: expected a signature by {}", listed(.0))]
    OtherKey(Vec<KeyId>),
}

impl SignerFault {
    /// Returns whether the program may sign when it is asked for another key.
    fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::OtherKey(_))
    }

    /// Returns what a person can do, as an instruction.
    pub(super) fn way_out(&self) -> &'static str {
        match self {
            Self::Run(_) | Self::Failed(_) => {
                "run the command in a shell with ALGA_SIGN_KEY and ALGA_SIGN_SHA256 set and the message on standard input"
            }
            Self::Garbage(_) => "make the command print the signature alone, and its other words on standard error",
            Self::OtherKey(_) => {
                "check that the command signs the whole message, or the digest in ALGA_SIGN_SHA256, with the key in ALGA_SIGN_KEY"
            }
        }
    }
}

fn listed(keys: &[KeyId]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

impl SignerCommand {
    /// Reads the value `ROLE=COMMAND` or `ROLE@KEYID=COMMAND` of a flag.
    ///
    /// # Errors
    /// When the role is unknown, the key is not the start of an ID, or the command is empty. The error does not show the
    /// command.
    pub fn parse(value: &str) -> Result<Self, Error> {
        // A word with spaces is the start of a command without a role, and is not shown.
        let split = value.split_once('=').filter(|(role, _)| !role.contains(char::is_whitespace));
        let (role, line) = split.ok_or(Error::NoCommand)?;
        let (role, key) = role.split_once('@').map_or((role, None), |(role, key)| (role, Some(key.to_owned())));
        let role = role.parse().map_err(Error::Role)?;
        let is_start = |key: &String| {
            let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            (DIGITS..=WHOLE).contains(&key.len()) && key.bytes().all(is_digit)
        };
        if key.as_ref().is_some_and(|key| !is_start(key)) {
            return Err(Error::KeyId);
        }
        let line = line.trim();
        if line.is_empty() { Err(Error::NoCommand) } else { Ok(Self { role, key, line: line.to_owned() }) }
    }

    /// Reports whether the command may sign with a key.
    pub fn has(&self, id: &KeyId) -> bool {
        self.key.as_ref().is_none_or(|key| id.to_string().starts_with(key))
    }

    /// Asks the program to sign with each key in turn, until there is a signature that one of the keys verifies.
    pub(super) async fn sign(
        &self,
        programs: &dyn Programs,
        keys: &[Key],
        message: &[u8],
    ) -> Result<KeySignature, SignerFault> {
        let mut fault = SignerFault::OtherKey(Vec::new());
        for key in keys {
            match self.ask(programs, key, keys, message).await {
                Err(found) if found.is_of_the_key() => fault = found,
                done => return done,
            }
        }
        Err(fault)
    }

    async fn ask(
        &self,
        programs: &dyn Programs,
        key: &Key,
        keys: &[Key],
        message: &[u8],
    ) -> Result<KeySignature, SignerFault> {
        let digest = Digest::of(message);
        let id = key.id().to_string();
        let added = [("ALGA_SIGN_SHA256", OsStr::new(digest.hex())), ("ALGA_SIGN_KEY", OsStr::new(&id))];
        let call = Call {
            program: Path::new("sh"),
            arguments: &["-c", &self.line],
            input: message,
            variables: Variables::Inherited { removed: &REMOVED, added: &added },
            directory: None,
            limit: LIMIT,
            patience: PATIENCE,
            // The program was named by the user and has none of the secrets of this one, so its words may be shown.
            keeps_errors: true,
        };
        let ended = programs.run(call).await.map_err(SignerFault::Run)?;
        if !ended.success {
            return Err(SignerFault::Failed(words(&ended.errors)));
        }
        let output = ended.output.expose_secret();
        let candidates = candidates(output);
        if candidates.is_empty() {
            return Err(SignerFault::Garbage(output.len()));
        }
        let verified = |key: &Key| {
            let der = candidates.iter().find(|der| key.verify(message, der))?;
            Some(KeySignature { key: *key, der: der.clone() })
        };
        // The program may know one key alone and ignore which one was asked for.
        let signature = [key].into_iter().chain(keys).find_map(verified);
        signature.ok_or_else(|| SignerFault::OtherKey(keys.iter().map(Key::id).collect()))
    }
}

/// Returns the signatures, as DER, that an output may mean. 64 bytes may be DER as well as two numbers.
fn candidates(output: &[u8]) -> Vec<Vec<u8>> {
    let raw = (output.len() == RAW).then(|| Signature::from_slice(output).ok()).flatten();
    let text: Vec<u8> = output.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(text).ok().and_then(|der| Signature::from_der(&der).ok());
    let all = [Signature::from_der(output).ok(), decoded, raw];
    all.into_iter().flatten().map(|signature| signature.to_der().as_bytes().to_vec()).collect()
}

/// Returns the program's own message as the end of a sentence.
fn words(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { String::new() } else { format!(": {}", text::cut(&text, SHOWN)) }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::future::BoxFuture;
    use secrecy::SecretBox;

    use super::*;
    use crate::signing::{PrivateKey, Signers, SigningRequest};
    use crate::system::{Ended, Environment, NoTerminal};

    type Answer = dyn Fn(&Call<'_>) -> Result<Vec<u8>, RunError> + Send + Sync;

    /// Programs that answer with the output of a function, or fail when it is empty. Keeps the IDs that were asked for.
    struct Answering(Box<Answer>, Mutex<Vec<String>>);

    impl fmt::Debug for Answering {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Answering")
        }
    }

    impl Programs for Answering {
        fn run<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended, RunError>> {
            self.1.lock().expect("a lock").push(variable(&call, "ALGA_SIGN_KEY"));
            let ended = (self.0)(&call).map(|output| Ended {
                success: !output.is_empty(),
                output: SecretBox::new(Box::new(output)),
                errors: b"no such\n key \n".to_vec(),
            });
            Box::pin(async { ended })
        }

        fn find(&self, _: &str) -> Option<std::path::PathBuf> {
            None
        }
    }

    fn variable(call: &Call<'_>, name: &str) -> String {
        let Variables::Inherited { added, .. } = call.variables else { return String::new() };
        let found = added.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_string_lossy().into_owned()).unwrap_or_default()
    }

    async fn sign(
        commands: &[&str],
        keys: &[Key],
        answer: impl Fn(&Call<'_>) -> Result<Vec<u8>, RunError> + Send + Sync + 'static,
    ) -> (Result<Vec<KeySignature>, String>, Vec<String>) {
        let programs = Arc::new(Answering(Box::new(answer), Mutex::default()));
        let commands = commands.iter().map(|line| SignerCommand::parse(line).expect("a signer")).collect();
        let request = SigningRequest { key_files: Vec::new(), commands };
        let secrets = crate::signing::Secrets { environment: &Environment::default(), terminal: &NoTerminal };
        let shared: Arc<dyn Programs> = programs.clone();
        let signers = Signers::open(&request, secrets, &shared).expect("signers");
        let signed = signers.sign(SignerRole::Channel, keys, b"message").await.map_err(|error| error.to_string());
        let asked = programs.1.lock().expect("a lock").clone();
        (signed, asked)
    }

    fn keys() -> (Vec<PrivateKey>, Vec<Key>) {
        let private: Vec<PrivateKey> = (0..3).map(|_| PrivateKey::generate()).collect();
        let public = private.iter().map(|key| *key.key()).collect();
        (private, public)
    }

    #[tokio::test]
    async fn a_program_gets_the_message_its_digest_and_the_key_and_answers_in_three_forms() {
        let (private, public) = keys();
        let der = private[1].sign(b"message");
        let raw = Signature::from_der(&der).expect("a signature").to_bytes().to_vec();
        let text = STANDARD.encode(&der);
        let lines = format!("{}\n{}\n", &text[..40], &text[40..]);
        for output in [der.clone(), raw, text.into_bytes(), lines.into_bytes()] {
            let (signed, asked) = sign(&["channel=sign it"], &public, move |call| {
                assert_eq!((call.input, call.arguments), (&b"message"[..], &["-c", "sign it"][..]));
                assert_eq!(variable(call, "ALGA_SIGN_SHA256"), Digest::of(b"message").hex());
                Ok(output.clone())
            })
            .await;
            assert_eq!(signed.expect("a signature"), [KeySignature { key: public[1], der: der.clone() }]);
            assert_eq!(asked, [public[0].id().to_string()], "a signature by another admissible key is one");
        }
    }

    #[tokio::test]
    async fn a_program_is_asked_for_each_key_until_it_has_one() {
        let (private, public) = keys();
        let key = private[2].clone();
        let (signed, asked) = sign(&["channel=x"], &public, move |call| {
            let has = variable(call, "ALGA_SIGN_KEY") == key.key().id().to_string();
            Ok(if has { key.sign(call.input) } else { Vec::new() })
        })
        .await;
        assert_eq!(signed.expect("a signature")[0].key, public[2]);
        assert_eq!(asked, [0, 1, 2].map(|at| public[at].id().to_string()));
        let (signed, _) = sign(&["channel=x"], &public, |_| Ok(Vec::new())).await;
        assert_eq!(signed.expect_err("none"), "the signer for channel ended with an error: no such key");
    }

    #[tokio::test]
    async fn two_programs_of_a_role_sign_with_two_keys_and_one_of_another_role_is_not_asked() {
        let (private, public) = keys();
        let (signed, _) = sign(&["channel=1", "release=x", "channel=0"], &public, move |call| {
            let at: usize = call.arguments[1].parse().expect("the number of a key");
            Ok(private[at].sign(call.input))
        })
        .await;
        let signed: Vec<Key> = signed.expect("signatures").into_iter().map(|signature| signature.key).collect();
        let mut expected = public[..2].to_vec();
        expected.sort_by_key(Key::id);
        assert_eq!(signed, expected);
    }

    #[tokio::test]
    async fn a_program_with_a_named_key_is_asked_for_that_key_alone_and_before_the_others() {
        let (private, public) = keys();
        let named = format!("channel@{}=2", &public[2].id().to_string()[..12]);
        let (signed, asked) = sign(&["channel=0", &named], &public, move |call| {
            let at: usize = call.arguments[1].parse().expect("the number of a key");
            Ok(private[at].sign(call.input))
        })
        .await;
        assert_eq!(signed.expect("signatures").len(), 2);
        assert_eq!(asked[0], public[2].id().to_string());
        let (signed, asked) = sign(&[&named], &public[..2], |_| Ok(Vec::new())).await;
        assert_eq!((signed.expect("none").len(), asked.len()), (0, 0), "its key may not sign this");
    }

    #[tokio::test]
    async fn the_same_key_does_not_sign_twice() {
        let (private, public) = keys();
        let (signed, _) = sign(&["channel=x", "channel=x"], &public, move |call| Ok(private[0].sign(call.input))).await;
        assert!(signed.expect_err("one key").contains("signed with another key or another message"));
    }

    #[tokio::test]
    async fn a_program_that_hangs_prints_garbage_or_has_another_key_is_refused_by_name() {
        let (private, public) = keys();
        let other = PrivateKey::generate();
        let digest = private[0].sign(Digest::of(b"message").hex().as_bytes());
        let mut twice = private[0].sign(b"message");
        twice.extend(twice.clone());
        let answers: [(Box<Answer>, &str, usize); 7] = [
            (Box::new(|call| Err(RunError::TimedOut(call.patience))), "did not end within 60 s and was stopped", 1),
            (Box::new(|call| Err(RunError::TooLong(call.limit))), "printed more than 4096 bytes and was stopped", 1),
            (Box::new(|_| Err(RunError::Start(std::io::ErrorKind::NotFound.into()))), "cannot be started", 1),
            (Box::new(|_| Ok(b"signed!\n".to_vec())), "printed 8 bytes that are not a signature", 1),
            (Box::new(move |_| Ok(twice.clone())), "that are not a signature", 1),
            (Box::new(move |call| Ok(other.sign(call.input))), "signed with another key", 3),
            (Box::new(move |_| Ok(digest.clone())), "or another message", 3),
        ];
        for (answer, words, times) in answers {
            let (signed, asked) = sign(&["channel=x"], &public, answer).await;
            let error = signed.expect_err(words);
            assert!(error.starts_with("the signer for channel ") && error.contains(words), "{error}");
            assert_eq!(asked.len(), times, "{words}");
        }
    }

    #[test]
    fn a_signer_is_a_role_and_a_command_and_the_command_is_never_shown() {
        let signer = SignerCommand::parse("release= sign --pin=hunter2 ").expect("a signer");
        assert_eq!((signer.role, signer.line.as_str()), (SignerRole::Release, "sign --pin=hunter2"));
        assert!(!format!("{signer:?}").contains("hunter2"));
        for value in ["", "release", "release=", "release= ", "=sign", "sign --pin hunter2", "sign hunter2 --x=y"] {
            let error = SignerCommand::parse(value).expect_err(value).to_string();
            assert!(error.starts_with("invalid signer: ") && !error.contains("hunter2"), "{value}: {error}");
        }
        let named = SignerCommand::parse("release@0123abcd=sign a=b").expect("a signer");
        assert_eq!((named.key.as_deref(), named.line.as_str()), (Some("0123abcd"), "sign a=b"));
        let long = "0".repeat(65);
        for key in ["", "0123abc", "0123ABCD", "hunter2hunter2", &long] {
            let error = SignerCommand::parse(&format!("release@{key}=sign")).expect_err(key).to_string();
            assert_eq!(error, "invalid signer: invalid ID of a key: expected 8 to 64 lowercase hex digits after `@`");
        }
        let error = SignerCommand::parse("chanel=x").expect_err("a misspelt role").to_string();
        assert!(error.contains("unknown role `chanel`"), "{error}");
    }
}
