//! Layers of an image: their media types, and the compression of uncompressed ones.
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
/// Prefixes of the media types of layers that may not be distributed.
const FOREIGN: [&str; 2] =
    ["application/vnd.oci.image.layer.nondistributable.v1.", "application/vnd.docker.image.rootfs.foreign."];

/// The form of a layer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Compressed: the bytes are published unchanged.
    Packed,
    /// Uncompressed. Holds the media type of the layer once it is compressed.
    Bare(&'static str),
}

/// Returns the form of a layer with this media type.
///
/// # Errors
/// For layers that may not be distributed, and for media types that are not those of layers.
pub(super) fn packing(media_type: &str) -> Result<Packing, Error> {
    match media_type {
        GZIP | ZSTD | DOCKER_GZIP | DOCKER_ZSTD => Ok(Packing::Packed),
        TAR => Ok(Packing::Bare(GZIP)),
        DOCKER_TAR => Ok(Packing::Bare(DOCKER_GZIP)),
        _ if FOREIGN.iter().any(|foreign| media_type.starts_with(foreign)) => Err(Error::refused(format!(
            "a foreign layer (`{media_type}`) may not be distributed, and without the layer the image is incomplete"
        ))),
        _ => Err(Error::refused(format!("unknown media type of a layer: `{}`", media_type.escape_debug()))),
    }
}

/// The layers that were compressed so far, by diff ID. Platforms of one image share layers.
#[derive(Debug, Default)]
pub(super) struct Done(BTreeMap<Digest, (Digest, FileRange)>);

impl Done {
    /// Returns the content of an uncompressed layer, compressed where the settings ask for that. `described` is the layer's
    /// descriptor in the manifest, whose digest is the diff ID.
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
            let what = format!(
                "compressing a layer of {} bytes to a temporary file in {}",
                layer.length(),
                settings.scratch.display()
            );
            (settings.say)(&what);
            let made = compress::gzip(layer, diff_id, settings.scratch)?;
            self.0.insert(diff_id.clone(), (made.digest, made.range));
        }
        let (digest, range) = self.0[diff_id].clone();
        let (size, media_type) = (range.length(), media_type.to_owned());
        Ok(Content::in_file(Descriptor { media_type, digest, size, ..described.clone() }, range))
    }

    /// Returns the content of a layer of which only the diff ID is known.
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

/// Verifies the unpacked bytes of a layer against its diff ID, which is the only digest that `docker save` gives, and returns
/// the digest of the packed bytes.
fn unpacks_to(layer: &FileRange, form: Form, diff_id: &Digest) -> Result<Digest, Error> {
    std::thread::scope(|scope| {
        let own = scope.spawn(|| compress::digest_of(layer));
        let mut bare = Hasher::new();
        io::copy(&mut form.decode(Reader { range: layer, position: 0 }), &mut bare).map_err(Error::reading)?;
        let found = bare.finish();
        if found != *diff_id {
            return Err(Error::damaged(format!(
                "wrong digest of an unpacked layer: expected {diff_id}, found {found}"
            )));
        }
        own.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(Error::reading)
    })
}

/// A sequential reader of a range.
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
