//! Layers: which there are, and what becomes of bare ones.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md>

use std::collections::BTreeMap;
use std::io;

use super::input::Form;
use super::{Error, Layers, Settings, compress};
use crate::oci::{Content, Descriptor, Digest, FileRange, Hasher};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const DOCKER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const DOCKER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// Layers that may not be distributed begin so.
const FOREIGN: [&str; 2] =
    ["application/vnd.oci.image.layer.nondistributable.v1.", "application/vnd.docker.image.rootfs.foreign."];

/// How the bytes of a layer are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// As they are.
    Packed,
    /// Bare, and of this media type once compressed.
    Bare(&'static str),
}

/// By its media type.
///
/// # Errors
/// For layers that no registry may have, and what is none.
pub(super) fn packing(media_type: &str) -> Result<Packing, Error> {
    match media_type {
        GZIP | ZSTD | DOCKER_GZIP | DOCKER_ZSTD => Ok(Packing::Packed),
        TAR => Ok(Packing::Bare(GZIP)),
        DOCKER_TAR => Ok(Packing::Bare(DOCKER_GZIP)),
        _ if FOREIGN.iter().any(|foreign| media_type.starts_with(foreign)) => Err(Error::refused(format!(
            "a layer is a foreign one (`{media_type}`): it may not be distributed, and a registry without it serves no whole image"
        ))),
        _ => Err(Error::refused(format!("a layer has an unknown media type: `{}`", media_type.escape_debug()))),
    }
}

/// Layers that are compressed already, by what they are without compression: platforms share them.
#[derive(Debug, Default)]
pub(super) struct Done(BTreeMap<Digest, (Digest, FileRange)>);

impl Done {
    /// The content of a bare layer, whose digest is its diff ID; `described` says how it is named in a manifest.
    pub(super) fn bare(
        &mut self,
        described: &Descriptor,
        layer: &FileRange,
        media_type: &str,
        settings: &Settings<'_>,
    ) -> Result<Content, Error> {
        if settings.layers == Layers::AsTheyAre {
            return Ok(Content::in_file(described.clone(), layer.clone()));
        }
        let diff_id = &described.digest;
        if !self.0.contains_key(diff_id) {
            let what = format!("compressing a layer of {} bytes into {}", layer.length(), settings.scratch.display());
            (settings.say)(&what);
            let made = compress::gzip(layer, diff_id, settings.scratch)?;
            self.0.insert(diff_id.clone(), (made.digest, made.range));
        }
        let (digest, range) = self.0[diff_id].clone();
        let (size, media_type) = (range.length(), media_type.to_owned());
        Ok(Content::in_file(Descriptor { media_type, digest, size, ..described.clone() }, range))
    }

    /// The content of a layer of which only the diff ID is known.
    pub(super) fn found(
        &mut self,
        layer: &FileRange,
        diff_id: &Digest,
        settings: &Settings<'_>,
    ) -> Result<Content, Error> {
        let form = Form::of(&layer.read_at(0, 4).map_err(Error::reading)?);
        let mut described = Descriptor::of(TAR, b"");
        described.size = layer.length();
        described.digest = diff_id.clone();
        if form == Form::Plain {
            return self.bare(&described, layer, GZIP, settings);
        }
        let digest = unpacks_to(layer, form, diff_id)?;
        let media_type = if form == Form::Gzip { GZIP } else { ZSTD }.to_owned();
        let described = Descriptor { media_type, digest, ..described };
        Ok(Content::in_file(described, layer.clone()))
    }
}

/// Holds the bare form of a layer against its diff ID, since nobody else vouches for it; gives the digest of the layer as it is.
fn unpacks_to(layer: &FileRange, form: Form, diff_id: &Digest) -> Result<Digest, Error> {
    std::thread::scope(|scope| {
        let own = scope.spawn(|| compress::digest_of(layer));
        let mut bare = Hasher::new();
        io::copy(&mut form.decode(Reader { range: layer, position: 0 }), &mut bare).map_err(Error::reading)?;
        let found = bare.finish();
        if found != *diff_id {
            return Err(Error::damaged(format!("a layer should unpack to {diff_id} and unpacks to {found}")));
        }
        own.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(Error::reading)
    })
}

/// Reads a range from its start.
struct Reader<'a> {
    range: &'a FileRange,
    position: u64,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.range.read_at(self.position, buffer.len() as u64)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}
