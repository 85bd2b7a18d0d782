//! A proxy in this process, as companies have them: it tunnels HTTPS and forwards plain HTTP. All requests go to the
//! one address that the test passes, whatever host they name.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A running proxy, which ends with the test.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy that sends everything to `target` (`HOST:PORT`).
    pub fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (target, log) = (target.to_owned(), Arc::clone(&heads));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (target, log) = (target.clone(), Arc::clone(&log));
                // The test does not fail when one side closes the connection.
                thread::spawn(move || serve(&stream, &target, &log));
            }
        });
        Self { address, heads }
    }

    /// Returns the URL of the proxy, with user and password.
    pub fn url(&self) -> String {
        format!("http://proxy-user:proxy-pass@{}", self.address)
    }

    /// Returns the heads of the requests as they arrived: the first line and the headers, with lowercase names.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut client: &TcpStream, target: &str, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let lines = read_head(&mut reader)?;
    log.lock().unwrap_or_else(PoisonError::into_inner).push(lines.join("\n"));
    let mut upstream = TcpStream::connect(target)?;
    if lines[0].starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        let (mut down, mut back) = (upstream.try_clone()?, client.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut down, &mut back);
            let _ = back.shutdown(Shutdown::Write);
        });
        let copied = io::copy(&mut reader, &mut upstream);
        let _ = upstream.shutdown(Shutdown::Write);
        return copied.map(|_| ());
    }
    forward(&lines, &mut reader, client, &mut upstream)
}

/// Forwards one request and its response. The headers for the proxy are removed.
fn forward(
    lines: &[String],
    reader: &mut BufReader<TcpStream>,
    mut client: &TcpStream,
    upstream: &mut TcpStream,
) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let (method, rest) = lines[0].split_once(" http://").ok_or_else(invalid)?;
    let path = rest.find('/').map(|at| &rest[at..]).ok_or_else(invalid)?;
    write!(upstream, "{method} {path}\r\n")?;
    let mut length = 0;
    for line in &lines[1..] {
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().map_err(|_| invalid())?;
        }
        if !line.starts_with("proxy-") && !line.starts_with("connection:") {
            write!(upstream, "{line}\r\n")?;
        }
    }
    write!(upstream, "connection: close\r\n\r\n")?;
    io::copy(&mut reader.take(length), upstream)?;
    upstream.shutdown(Shutdown::Write)?;
    let mut answer = BufReader::new(upstream);
    for line in read_head(&mut answer)? {
        write!(client, "{line}\r\n")?;
    }
    write!(client, "connection: close\r\n\r\n")?;
    io::copy(&mut answer, &mut client)?;
    client.shutdown(Shutdown::Write)
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        match line.split_once(": ") {
            _ if line.is_empty() => return Ok(lines),
            Some((name, value)) if !lines.is_empty() => lines.push(format!("{}: {value}", name.to_lowercase())),
            _ => lines.push(line.to_owned()),
        }
    }
}
