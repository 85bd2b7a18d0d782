//! Flags that name the trust document, and what signs.

use std::path::{Path, PathBuf};

use alga_release::config::Config;
use alga_release::ops::{self, SigningTerms};
use alga_release::signing::{SignerCommand, SigningRequest};
use alga_release::trust::SignedDocument;

use crate::failure::Failure;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signatures")]
pub struct TrustArgs {
    /// Trust document: signatures are verified by it, and by its later versions in the store [default: `signing.trust` of the
    /// configuration]
    #[arg(long, value_name = "FILE", env = "ALGA_TRUST_FILE")]
    trust: Option<PathBuf>,
}

impl TrustArgs {
    /// Reads the trust document, if a flag, a variable or the configuration names one.
    pub fn document(&self, config: &Config, root: &Path) -> Result<Option<SignedDocument>, Failure> {
        let path = SigningTerms::document(self.trust.as_deref(), &SigningRequest::default(), config, root)?;
        Ok(path.as_deref().map(ops::trust_document).transpose()?)
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signatures")]
pub struct SigningArgs {
    /// Trust document: what is written is signed, and what is promoted is verified by its keys [default: `signing.trust` of the
    /// configuration]
    #[arg(long, value_name = "FILE", env = "ALGA_TRUST_FILE")]
    pub trust: Option<PathBuf>,
    /// Private key that signs; repeat the flag for several keys [default: `ALGA_SIGNING_KEY`, or the file in `ALGA_SIGNING_KEY_FILE`]
    #[arg(long, value_name = "FILE")]
    pub sign_key: Vec<PathBuf>,
    /// Program that signs its standard input as `release`, `channel` or `refresh`; repeat the flag for several programs
    #[arg(long, value_name = "ROLE[@KEYID]=COMMAND", value_parser = SignerCommand::parse)]
    pub signer: Vec<SignerCommand>,
    /// File that keeps which statements were signed here, so that no second one is signed in their place [default:
    /// alga-release/signed.json in the state directory of the user]
    #[arg(long, value_name = "FILE", env = "ALGA_SIGNING_RECORD")]
    pub signing_record: Option<PathBuf>,
    /// Write what must be signed to this file, and nothing to the store; sign it with `alga-release sign FILE`
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    pub prepare: Option<PathBuf>,
    /// Prepared file with signatures that were made elsewhere; repeat the flag for the files of several signers
    #[arg(long, value_name = "FILE")]
    pub signature: Vec<PathBuf>,
}
