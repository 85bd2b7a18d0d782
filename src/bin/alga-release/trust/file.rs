//! Flags that several commands about the trust document share: its file, keys, and the store.

use std::path::PathBuf;

use alga_release::config::Config;
use alga_release::ops::{Access, Connection, Context, TrustExpiry, TrustFile};
use alga_release::signing::{SignerCommand, SigningRequest};

use crate::failure::Failure;
use crate::flags::{ConfigurationArgs, OutputArgs, StoreArgs};

/// Flags that every command has.
#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// Trust document; its next version is prepared beside it, in `trust.next.json` [default: `signing.trust` of the configuration,
    /// else trust.json]
    #[arg(long, value_name = "FILE", env = "ALGA_TRUST_FILE")]
    pub trust: Option<PathBuf>,
    #[command(flatten)]
    pub configuration: ConfigurationArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Flags of the commands that make a version.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// Expiry of the new version: days from now (`365d`), a date or a time [default: as before; a year in `init` and `renew`]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<TrustExpiry>,
    #[command(flatten)]
    pub keys: KeysArgs,
    #[command(flatten)]
    pub file: FileArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signatures")]
pub struct KeysArgs {
    /// Private root key that signs (repeatable)
    #[arg(long, value_name = "FILE")]
    pub sign_key: Vec<PathBuf>,
    /// Program that signs its standard input as `root` (repeatable)
    #[arg(long, value_name = "ROLE[@KEYID]=COMMAND", value_parser = SignerCommand::parse)]
    pub signer: Vec<SignerCommand>,
}

#[derive(Debug, clap::Args)]
pub struct StoreFlags {
    #[command(flatten)]
    pub store: StoreArgs,
}

impl StoreFlags {
    pub async fn open(
        &self,
        file: &FileArgs,
        access: Access,
        context: &Context,
    ) -> Result<(Config, Connection), Failure> {
        let config = file.configuration.load()?;
        let connection = Connection::open(&self.store.request(&config)?, access, context).await?;
        Ok((config, connection))
    }
}

impl FileArgs {
    /// Returns the file: `path` if it is given, else that of the flag, the variable or the configuration.
    pub fn request(&self, path: Option<&PathBuf>) -> Result<TrustFile, Failure> {
        let path = if let Some(path) = path.or(self.trust.as_ref()) {
            path.clone()
        } else {
            let trust = self.configuration.load()?.signing.trust;
            trust.map_or_else(|| PathBuf::from("trust.json"), |trust| self.configuration.root().join(trust))
        };
        Ok(TrustFile { path, signers: SigningRequest::default(), expires: None })
    }
}

impl NewArgs {
    pub fn request(&self) -> Result<TrustFile, Failure> {
        let file = self.file.request(None)?;
        Ok(TrustFile { signers: self.keys.request(), expires: self.expires, ..file })
    }
}

impl KeysArgs {
    pub fn request(&self) -> SigningRequest {
        SigningRequest { key_files: self.sign_key.clone(), commands: self.signer.clone() }
    }
}
