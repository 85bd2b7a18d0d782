//! Reads the files that the command line names.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use alga_release::config::Config;
use alga_release::oci::Certificates;

use super::args::Args;
use super::{Failure, usage};

/// Largest configuration file that is read, in bytes.
const CONFIG_LIMIT: u64 = 1 << 20;
/// Largest file of certificates that is read, in bytes. The certificates of a whole system take a quarter of a MiB.
const CERTIFICATES_LIMIT: u64 = 4 << 20;

pub fn configuration(args: &Args) -> Result<Config, Failure> {
    let Some(path) = &args.config else { return Ok(Config::default()) };
    let name = path.display().to_string();
    let bytes = read(path, CONFIG_LIMIT).map_err(|cause| usage(format!("cannot read {name}: {cause}")))?;
    let text =
        String::from_utf8(bytes).map_err(|_| usage(format!("cannot read {name}: the text is not valid UTF-8")))?;
    let config = Config::parse(&text, &name).map_err(|cause| usage(cause.to_string()))?;
    Ok(config.named_by_the_caller())
}

/// Reads a file from the command line up to a limit. The file may be a device without an end.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let limit = if limit >> 20 == 0 { format!("{} KiB", limit >> 10) } else { format!("{} MiB", limit >> 20) };
        return Err(io::Error::other(format!("the file is larger than {limit}")));
    }
    Ok(bytes)
}

pub fn certificates(path: Option<&Path>) -> Result<Certificates, Failure> {
    let Some(path) = path else { return Ok(Certificates::default()) };
    let wrong = |cause: &dyn std::fmt::Display| usage(format!("--ca-file {}: {cause}", path.display()));
    let pem = read(path, CERTIFICATES_LIMIT).map_err(|cause| wrong(&cause))?;
    Certificates::parse(&pem).map_err(|cause| wrong(&cause))
}
