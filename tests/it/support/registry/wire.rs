//! HTTP/1.1 connections, and the faults on them.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;

use super::{Action, Received, Shared, distribution, fault};

/// A parsed HTTP request.
#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns a parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        parameters(&self.query).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// Parses a query or a form.
pub fn parameters(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(key, value)| (key.to_owned(), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        if let (b'%', Some(value)) = (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            bytes.push(value);
            rest = &after[2..];
        } else {
            bytes.push(if byte == b'+' { b' ' } else { byte });
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A response before it is sent.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    fn reset_on_close(&self);
}

impl Stream for TcpStream {
    fn reset_on_close(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Stream for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}

/// Creates a certificate for this host and the hosts that a proxy may lead here. Also returns the PEM to trust.
pub fn certify() -> (Option<TlsAcceptor>, String) {
    let names = ["127.0.0.1", super::ELSEWHERE, "localhost", "ghcr.io", "registry.example"];
    let names = names.map(ToOwned::to_owned).to_vec();
    let own = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a pair");
    (Some(TlsAcceptor::from(Arc::new(config))), own.cert.pem())
}

/// Accepts connections until it is dropped.
pub async fn serve(shared: Arc<Shared>, listener: std::net::TcpListener, tls: Option<TlsAcceptor>, elsewhere: bool) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        let number = {
            let mut state = shared.state();
            state.connections += 1;
            state.connections - 1
        };
        tokio::spawn(async move {
            let stream: Pin<Box<dyn Stream>> = match tls {
                None => Box::pin(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::pin(stream),
                    Err(_) => return,
                },
            };
            // The test does not fail when a client closes the connection.
            let _ = Conversation { shared: &shared, stream, elsewhere }.hold(number).await;
        });
    }
}

/// One connection with a client.
struct Conversation<'a> {
    shared: &'a Shared,
    stream: Pin<Box<dyn Stream>>,
    elsewhere: bool,
}

impl Conversation<'_> {
    async fn hold(mut self, connection: usize) -> io::Result<()> {
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut self.stream, &mut buffer).await? {
            let action = {
                let mut state = self.shared.state();
                state.log.push(received(&request, connection, self.elsewhere));
                fault::next(&mut state, &request)
            };
            if !self.respond(&request, action).await? {
                return self.stream.shutdown().await;
            }
        }
        Ok(())
    }

    /// Sends the response, and returns whether the connection stays open.
    async fn respond(&mut self, request: &Request, action: Option<Action>) -> io::Result<bool> {
        match &action {
            Some(Action::CloseBeforeResponse) => return Ok(false),
            Some(Action::ResetBefore) => return self.reset(),
            Some(Action::CatchBefore(notice)) => {
                notice.give();
                return self.until_gone().await;
            }
            Some(Action::EndlessHeader) => return self.endless_header().await,
            Some(Action::Delay(duration)) => tokio::time::sleep(*duration).await,
            Some(Action::Hold(gate)) => gate.pass().await,
            _ => {}
        }
        let mut response = match &action {
            Some(Action::Status(status, headers, body)) => {
                Response { status: *status, headers: headers.clone(), body: body.clone() }
            }
            Some(Action::Redirect(url)) => Response::new(307).header("Location", url),
            Some(Action::RedirectToItself) => {
                Response::new(307).header("Location", format!("{}?{}", request.path, request.query))
            }
            _ => distribution::answer(self.shared, request, self.elsewhere),
        };
        let missing = spoil(&mut response, action.as_ref());
        match &action {
            Some(Action::Endless) => return self.endless(&response).await,
            Some(Action::Drip(pause)) => return self.drip(&response, *pause).await,
            Some(Action::CatchAfter(notice)) => {
                notice.give();
                return self.until_gone().await;
            }
            _ => {}
        }
        self.send(request, &response, missing, action.as_ref()).await
    }

    async fn send(
        &mut self,
        request: &Request,
        response: &Response,
        missing: usize,
        action: Option<&Action>,
    ) -> io::Result<bool> {
        let mut bytes = head(response, Some(response.body.len()));
        if request.method != "HEAD" {
            bytes.extend_from_slice(&response.body[..response.body.len() - missing]);
            self.shared.state().sent += (response.body.len() - missing) as u64;
        }
        if let Some(Action::Reset(at)) = action {
            self.stream.write_all(&bytes[..(*at).min(bytes.len())]).await?;
            self.stream.flush().await?;
            return self.reset();
        }
        self.stream.write_all(&bytes).await?;
        if matches!(action, Some(Action::Duplicate)) {
            self.stream.write_all(&bytes).await?;
        }
        self.stream.flush().await?;
        Ok(missing == 0 || request.method == "HEAD")
    }

    fn reset(&self) -> io::Result<bool> {
        self.stream.reset_on_close();
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// Waits without an answer until the client closes the connection.
    async fn until_gone(&mut self) -> io::Result<bool> {
        let mut buffer = Vec::new();
        while fill(&mut self.stream, &mut buffer).await? > 0 {
            buffer.clear();
        }
        Ok(false)
    }

    /// Sends the whole response, with a pause after each byte.
    async fn drip(&mut self, response: &Response, pause: Duration) -> io::Result<bool> {
        let mut bytes = head(response, Some(response.body.len()));
        bytes.extend_from_slice(&response.body);
        for byte in bytes {
            self.stream.write_all(&[byte]).await?;
            self.stream.flush().await?;
            tokio::time::sleep(pause).await;
        }
        Ok(true)
    }

    async fn endless(&mut self, response: &Response) -> io::Result<bool> {
        let piece = if response.body.is_empty() { vec![b'x'; 1024] } else { response.body.clone() };
        self.stream.write_all(&head(response, None)).await?;
        loop {
            self.stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            self.stream.write_all(&piece).await?;
            self.stream.write_all(b"\r\n").await?;
            self.shared.state().sent += piece.len() as u64;
        }
    }

    async fn endless_header(&mut self) -> io::Result<bool> {
        let piece = vec![b'x'; 1024];
        self.stream.write_all(b"HTTP/1.1 200 -\r\nX-Long: ").await?;
        loop {
            self.stream.write_all(&piece).await?;
            self.shared.state().sent += piece.len() as u64;
        }
    }
}

fn received(request: &Request, connection: usize, elsewhere: bool) -> Received {
    let header = |name: &str| request.header(name).map(ToOwned::to_owned);
    Received {
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        authorization: header("authorization"),
        proxy_authorization: header("proxy-authorization"),
        content_type: header("content-type"),
        content_length: header("content-length"),
        body: request.body.len(),
        connection,
        elsewhere,
    }
}

/// Changes a response by a fault, and returns how many of its last bytes are not sent.
fn spoil(response: &mut Response, action: Option<&Action>) -> usize {
    match action {
        Some(Action::CorruptBody) => {
            if let Some(last) = response.body.last_mut() {
                *last ^= 1;
            }
        }
        Some(Action::Longer(count)) => response.body.resize(response.body.len() + count, 0),
        Some(Action::Truncate(count)) => return (*count).min(response.body.len()),
        Some(Action::WrongDigestHeader) => {
            response.set("Docker-Content-Digest", &format!("sha256:{}", "0".repeat(64)));
        }
        Some(Action::NoDigestHeader) => response.set("Docker-Content-Digest", ""),
        Some(Action::Headers(headers)) => headers.iter().for_each(|(name, value)| response.set(name, value)),
        _ => {}
    }
    0
}

fn head(response: &Response, length: Option<usize>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} -\r\n", response.status);
    for (name, value) in &response.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = match length {
        Some(length) => write!(head, "Content-Length: {length}\r\n\r\n"),
        None => write!(head, "Transfer-Encoding: chunked\r\n\r\n"),
    };
    head.into_bytes()
}

/// Reads the next request. Returns `None` when the client has closed the connection.
async fn read_request(stream: &mut Pin<Box<dyn Stream>>, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let invalid = |cause: httparse::Error| io::Error::new(io::ErrorKind::InvalidData, cause);
    let (mut request, length) = loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(length) = parsed.parse(buffer).map_err(invalid)? {
            break (to_request(&parsed), length);
        }
        if fill(stream, buffer).await? == 0 {
            return Ok(None);
        }
    };
    buffer.drain(..length);
    if request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        while let Some(chunk) = read_chunk(stream, buffer).await? {
            request.body.extend_from_slice(&chunk);
        }
    } else {
        let length = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        request.body = read_exact(stream, buffer, length).await?;
    }
    Ok(Some(request))
}

fn to_request(parsed: &httparse::Request<'_, '_>) -> Request {
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = parsed.headers.iter();
    Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned())).collect(),
        body: Vec::new(),
    }
}

async fn fill(stream: &mut Pin<Box<dyn Stream>>, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let before = buffer.len();
    buffer.resize(before + 64 * 1024, 0);
    let count = stream.read(&mut buffer[before..]).await;
    buffer.truncate(before + *count.as_ref().unwrap_or(&0));
    count
}

async fn read_exact(stream: &mut Pin<Box<dyn Stream>>, buffer: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        if fill(stream, buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let rest = buffer.split_off(length);
    Ok(std::mem::replace(buffer, rest))
}

async fn read_chunk(stream: &mut Pin<Box<dyn Stream>>, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        match httparse::parse_chunk_size(buffer) {
            Ok(httparse::Status::Complete((at, size))) => {
                buffer.drain(..at);
                let chunk = read_exact(stream, buffer, usize::try_from(size).unwrap_or(usize::MAX)).await?;
                read_exact(stream, buffer, 2).await?;
                return Ok((size > 0).then_some(chunk));
            }
            Ok(httparse::Status::Partial) if fill(stream, buffer).await? > 0 => {}
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
