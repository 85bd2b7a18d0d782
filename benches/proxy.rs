//! A wire of a known length: a proxy that keeps each request for one round trip, and counts.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What went over the wire.
#[derive(Default)]
struct Traffic {
    connections: usize,
    /// When each request came, and when its answer was gone.
    requests: Vec<(Instant, Instant)>,
}

/// A proxy in front of one address.
pub struct Proxy {
    /// Where it listens.
    pub address: String,
    traffic: Arc<Mutex<Traffic>>,
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    pub requests: usize,
    pub connections: usize,
    /// Requests in the longest chain of which each began after the one before was answered.
    pub depth: usize,
}

impl Proxy {
    /// Forwards to `upstream`, each request after `round_trip`.
    pub fn start(upstream: &str, round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let upstream: SocketAddr = upstream.parse().expect("an address");
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let shared = Arc::clone(&traffic);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                shared.lock().unwrap_or_else(PoisonError::into_inner).connections += 1;
                // A client that goes away ends its thread, not the proxy.
                std::thread::spawn(move || forward(client, upstream, round_trip, &shared));
            }
        });
        Self { address, traffic }
    }

    /// What went over the wire since the last call.
    pub fn count(&self) -> Count {
        let traffic = std::mem::take(&mut *self.traffic.lock().unwrap_or_else(PoisonError::into_inner));
        let mut requests = traffic.requests;
        requests.sort();
        let mut depths: Vec<usize> = Vec::with_capacity(requests.len());
        for (index, (start, _)) in requests.iter().enumerate() {
            let before = requests[..index].iter().zip(&depths).filter(|((_, end), _)| end <= start);
            depths.push(before.map(|(_, depth)| *depth).max().unwrap_or(0) + 1);
        }
        Count {
            requests: requests.len(),
            connections: traffic.connections,
            depth: depths.into_iter().max().unwrap_or(0),
        }
    }
}

fn forward(
    mut client: TcpStream,
    upstream: SocketAddr,
    round_trip: Duration,
    traffic: &Mutex<Traffic>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    while let Some((request, head_only)) = read_request(&mut client, &mut from_client)? {
        let start = Instant::now();
        std::thread::sleep(round_trip);
        server.write_all(&request)?;
        let answer = read_response(&mut server, &mut from_server, head_only)?;
        traffic.lock().unwrap_or_else(PoisonError::into_inner).requests.push((start, Instant::now()));
        client.write_all(&answer)?;
    }
    Ok(())
}

/// A whole request, and whether its answer has no body.
fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<(Vec<u8>, bool)>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(head) = parsed.parse(buffer).map_err(invalid)? {
            let head_only = parsed.method == Some("HEAD");
            let body = Body::of(parsed.headers);
            if has(parsed.headers, "expect") {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            return body.read(stream, buffer, head).map(|message| Some((message, head_only)));
        }
        if !fill(stream, buffer)? {
            return Ok(None);
        }
    }
}

fn read_response(stream: &mut TcpStream, buffer: &mut Vec<u8>, head_only: bool) -> io::Result<Vec<u8>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        if let httparse::Status::Complete(head) = parsed.parse(buffer).map_err(invalid)? {
            let code = parsed.code.unwrap_or_default();
            if code == 100 {
                buffer.drain(..head);
                continue;
            }
            let body = if head_only || code == 204 || code == 304 { Body::Length(0) } else { Body::of(parsed.headers) };
            return body.read(stream, buffer, head);
        }
        if !fill(stream, buffer)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

enum Body {
    Length(usize),
    Chunked,
}

impl Body {
    fn of(headers: &[httparse::Header<'_>]) -> Self {
        if has(headers, "transfer-encoding") {
            return Self::Chunked;
        }
        let length = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
        Self::Length(length.unwrap_or(0))
    }

    /// The message of this body behind a head of so many bytes.
    fn read(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>, head: usize) -> io::Result<Vec<u8>> {
        let mut end = head;
        match self {
            Self::Length(length) => end += length,
            Self::Chunked => loop {
                match httparse::parse_chunk_size(&buffer[end..]) {
                    Ok(httparse::Status::Complete((at, size))) => {
                        end += at + usize::try_from(size).unwrap_or(usize::MAX) + 2;
                        fill_to(stream, buffer, end)?;
                        if size == 0 {
                            break;
                        }
                    }
                    Ok(httparse::Status::Partial) if fill(stream, buffer)? => {}
                    _ => return Err(io::ErrorKind::InvalidData.into()),
                }
            },
        }
        fill_to(stream, buffer, end)?;
        let rest = buffer.split_off(end);
        Ok(std::mem::replace(buffer, rest))
    }
}

fn has(headers: &[httparse::Header<'_>], name: &str) -> bool {
    headers.iter().any(|header| header.name.eq_ignore_ascii_case(name))
}

fn fill_to(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: usize) -> io::Result<()> {
    while buffer.len() < end {
        if !fill(stream, buffer)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// More bytes; false at the end.
fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = vec![0; 64 << 10];
    let count = stream.read(&mut piece)?;
    buffer.extend_from_slice(&piece[..count]);
    Ok(count > 0)
}

fn invalid(cause: httparse::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}
