//! Flags of a copy: which parts of a release are copied, under which names, and who signed them.

use std::path::PathBuf;

use alga_release::image::Platform;
use alga_release::ops::{RewriteTo, TransferExtent};

/// Flags of a copy: which parts of a release are copied, and under which names.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "What is copied")]
pub struct ExtentArgs {
    /// Do not copy images
    #[arg(long)]
    pub without_images: bool,
    /// Copy only this platform of images that are for several; their indexes are copied unchanged, which few registries accept
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with = "without_images")]
    pub platform: Option<Platform>,
    /// Rewrite bundle and release so that every reference in them is below PREFIX [default: the target if it is a registry]. Without
    /// this flag every byte stays the same and the references still name the original store
    #[arg(long, value_name = "PREFIX", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub rewrite_prefix: Option<String>,
    /// Sign the copies of charts, bundle, control plane and release
    #[arg(long)]
    pub sign: bool,
    /// Copy a signed release with `--rewrite-prefix` without signing bundle and release again
    #[arg(long, requires = "rewrite_prefix", conflicts_with = "sign")]
    pub drop_signatures: bool,
    /// Trust document by which a signed source is verified before other keys sign its copy, or its signatures are dropped [default:
    /// that of `--trust`, unless `--rewrite-prefix` or `--sign` signs the copy by it]
    #[arg(long, value_name = "FILE")]
    pub source_trust: Option<PathBuf>,
}

impl ExtentArgs {
    pub fn extent(&self) -> TransferExtent {
        let rewrite = self.rewrite_prefix.as_ref().map(|prefix| match prefix.as_str() {
            "" => RewriteTo::Target,
            prefix => RewriteTo::Prefix(prefix.to_owned()),
        });
        let (sign, drop_signatures) = (self.sign, self.drop_signatures);
        TransferExtent {
            without_images: self.without_images,
            platform: self.platform.clone(),
            rewrite,
            sign,
            drop_signatures,
            source_trust: self.source_trust.clone(),
        }
    }
}
