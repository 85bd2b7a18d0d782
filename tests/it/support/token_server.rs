//! A token server that docker-registry accepts: over TLS, with Basic authentication and signed tokens.
//!
//! <https://distribution.github.io/distribution/spec/auth/jwt/>

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::SigningKey as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::docker_registry::{PASSWORD, USER};

/// A running token server, which ends with the test.
#[derive(Debug)]
pub struct TokenServer {
    /// The URL of token requests.
    pub realm: String,
    /// The certificate that signs tokens, which is also the one that TLS must trust.
    pub ca: String,
    queries: Arc<Mutex<Vec<String>>>,
}

impl TokenServer {
    /// Starts a server that gives everyone a token to pull, and [`USER`] with [`PASSWORD`] a token for any scope.
    pub fn start() -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![own.cert.der().clone()], key).expect("a pair"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let realm = format!("https://{}/token", listener.local_addr().expect("an address"));
        let (queries, ca) = (Arc::new(Mutex::new(Vec::new())), own.cert.pem());
        let log = Arc::clone(&queries);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                // The test does not fail when a client closes the connection.
                let _ = answer(StreamOwned::new(connection, stream), &own, &log);
            }
        });
        Self { realm, ca, queries }
    }

    /// Returns the queries of all token requests, in order.
    pub fn queries(&self) -> Vec<String> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers one request on each connection.
fn answer(
    stream: StreamOwned<ServerConnection, std::net::TcpStream>,
    own: &rcgen::CertifiedKey<rcgen::KeyPair>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let target = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let query = target.split_once('?').map_or("", |(_, query)| query).replace("%3A", ":").replace("%2F", "/");
    let query = query.replace("%2C", ",");
    log.lock().unwrap_or_else(PoisonError::into_inner).push(query.clone());
    let known = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let given = lines.iter().find_map(|line| line.split_once(": ").filter(|(name, _)| *name == "authorization"));
    let token = token(&query, given.is_some_and(|(_, value)| value == known), own);
    let body = serde_json::json!({ "token": token, "expires_in": 300 }).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let stream = reader.get_mut();
    stream.write_all((head + &body).as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn token(query: &str, known: bool, own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let scope = parameter("scope").and_then(|scope| scope.strip_prefix("repository:")?.rsplit_once(':'));
    let access = scope.map(|(repository, actions)| {
        let actions: Vec<&str> = actions.split(',').filter(|action| known || *action == "pull").collect();
        serde_json::json!({ "type": "repository", "name": repository, "actions": actions })
    });
    #[expect(clippy::disallowed_methods, reason = "docker-registry compares tokens with the clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let certificate = BASE64_STANDARD.encode(own.cert.der());
    let header = serde_json::json!({ "typ": "JWT", "alg": "ES256", "x5c": [certificate] });
    let claims = serde_json::json!({
        "iss": "tests", "sub": if known { USER } else { "" }, "aud": parameter("service"), "jti": format!("{now}-{query}"),
        "iat": now, "nbf": now - 60, "exp": now + 300, "access": access.into_iter().collect::<Vec<_>>(),
    });
    let encode = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = own.signing_key.sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(fixed(&signature)))
}

/// Converts an ECDSA signature to the form of JWS: two numbers of 32 bytes each, where ASN.1 has a sequence of two
/// integers.
fn fixed(signature: &[u8]) -> Vec<u8> {
    let mut rest = &signature[2..];
    let mut bytes = Vec::new();
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let number = &number[number.len().saturating_sub(32)..];
        bytes.extend(std::iter::repeat_n(0, 32 - number.len()));
        bytes.extend_from_slice(number);
        rest = after;
    }
    bytes
}
