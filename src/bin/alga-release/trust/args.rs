//! The flags of the commands `alga-release trust …`.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use alga_release::oci::Tag;
use alga_release::ops::{InvalidRoleName, RoleName, TrustExpiry};
use clap::Subcommand;

use super::file::{FileArgs, KeysArgs, NewArgs, StoreFlags};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the first version of a trust document
    #[command(after_help = include_str!("../help/trust-init.txt"))]
    Init(InitArgs),
    /// Show the document: roles and keys, what changes, and whose signatures are missing
    #[command(after_help = include_str!("../help/trust-show.txt"))]
    Show(ShowArgs),
    /// Add public keys to a role
    #[command(after_help = include_str!("../help/trust-change.txt"))]
    AddKey(AddKeyArgs),
    /// Remove keys from a role, and list what they alone signed
    #[command(after_help = include_str!("../help/trust-change.txt"))]
    RemoveKey(RemoveKeyArgs),
    /// Set how many keys of a role must sign
    #[command(after_help = include_str!("../help/trust-change.txt"))]
    Threshold(ThresholdArgs),
    /// Set how long what a role signs may count
    #[command(after_help = include_str!("../help/trust-change.txt"))]
    Lifetime(LifetimeArgs),
    /// Give the document a later expiry
    #[command(after_help = include_str!("../help/trust-change.txt"))]
    Renew(RenewArgs),
    /// Forbid a release on every appliance
    #[command(after_help = include_str!("../help/trust-withdraw.txt"))]
    Withdraw(WithdrawArgs),
    /// Start the statements of a channel again, after one of its keys was stolen
    #[command(after_help = include_str!("../help/trust-new-epoch.txt"))]
    NewEpoch(NewEpochArgs),
    /// Sign the next version with root keys
    #[command(after_help = include_str!("../help/trust-sign.txt"))]
    Sign(SignArgs),
    /// Publish the next version to the store, where appliances find it
    #[command(after_help = include_str!("../help/trust-publish.txt"))]
    Publish(PublishArgs),
    /// Replace the file by the newest version that the store serves and that follows it
    #[command(after_help = include_str!("../help/trust-update.txt"))]
    Update(UpdateArgs),
    /// Verify the signatures of the document, and compare it with the store
    #[command(after_help = include_str!("../help/trust-verify.txt"))]
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Product that the keys are for [default: the product of the configuration]
    #[arg(long, value_name = "NAME")]
    pub product: Option<String>,
    /// Public key and its role: `root`, `release`, `channel:NAME` or `refresh:NAME` (repeatable)
    #[arg(long = "key", value_name = "ROLE=FILE", value_parser = of_role::<PathBuf>, required = true)]
    pub keys: Vec<(RoleName, PathBuf)>,
    /// Number of keys of a role that must sign (repeatable) [default: 1]
    #[arg(long = "threshold", value_name = "ROLE=N", value_parser = of_role::<usize>)]
    pub thresholds: Vec<(RoleName, usize)>,
    /// How long what a role signs may count (repeatable) [default: 180d for a channel, 14d for its refresh]
    #[arg(long = "lifetime", value_name = "ROLE=DAYS", value_parser = lifetime)]
    pub lifetimes: Vec<(RoleName, u64)>,
    #[command(flatten)]
    pub new: NewArgs,
}

#[derive(Debug, clap::Args)]
pub struct RoleArgs {
    /// Role: `root`, `release`, `channel:NAME` or `refresh:NAME`
    #[arg(long)]
    pub role: RoleName,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Trust document [default: the file of `--trust`]
    #[arg(value_name = "FILE")]
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub file: FileArgs,
}

#[derive(Debug, clap::Args)]
pub struct AddKeyArgs {
    #[command(flatten)]
    pub role: RoleArgs,
    /// File with a public key
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Create the role if the document does not have it
    #[arg(long)]
    pub new_role: bool,
    #[command(flatten)]
    pub new: NewArgs,
}

#[derive(Debug, clap::Args)]
pub struct RemoveKeyArgs {
    #[command(flatten)]
    pub role: RoleArgs,
    /// ID of a key, at least its first 8 digits, or a file with the public key
    #[arg(value_name = "KEY", required = true)]
    pub keys: Vec<String>,
    #[command(flatten)]
    pub new: NewArgs,
    #[command(flatten)]
    pub store: StoreFlags,
}

#[derive(Debug, clap::Args)]
pub struct ThresholdArgs {
    #[command(flatten)]
    pub role: RoleArgs,
    /// Number of keys that must sign
    #[arg(value_name = "N")]
    pub threshold: usize,
    #[command(flatten)]
    pub new: NewArgs,
}

#[derive(Debug, clap::Args)]
pub struct LifetimeArgs {
    #[command(flatten)]
    pub role: RoleArgs,
    /// Longest lifetime, such as `90d`
    #[arg(value_name = "DAYS", value_parser = days)]
    pub days: u64,
    #[command(flatten)]
    pub new: NewArgs,
}

#[derive(Debug, clap::Args)]
pub struct RenewArgs {
    #[command(flatten)]
    pub new: NewArgs,
}

#[derive(Debug, clap::Args)]
pub struct WithdrawArgs {
    /// Version or digest of the release, or the channel that serves it
    #[arg(value_name = "RELEASE")]
    pub release: String,
    /// Reason, for those who sign the document and for the published artifact
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub new: NewArgs,
    #[command(flatten)]
    pub store: StoreFlags,
}

#[derive(Debug, clap::Args)]
pub struct NewEpochArgs {
    /// Name of the channel
    pub channel: Tag,
    #[command(flatten)]
    pub new: NewArgs,
}

#[derive(Debug, clap::Args)]
pub struct SignArgs {
    #[command(flatten)]
    pub keys: KeysArgs,
    #[command(flatten)]
    pub file: FileArgs,
}

#[derive(Debug, clap::Args)]
pub struct PublishArgs {
    /// Check everything, and say what would be published; write nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub file: FileArgs,
    #[command(flatten)]
    pub store: StoreFlags,
}

#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    pub file: FileArgs,
    #[command(flatten)]
    pub store: StoreFlags,
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Trust document [default: the file of `--trust`]
    #[arg(value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// Do not compare the document with the store
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    pub file: FileArgs,
    #[command(flatten)]
    pub store: StoreFlags,
}

/// Parses a value of a role, `ROLE=VALUE`.
fn of_role<T: FromStr<Err: Display>>(text: &str) -> Result<(RoleName, T), String> {
    let (role, value) = text.split_once('=').ok_or("expected the role before the value, `ROLE=VALUE`")?;
    let role = role.parse().map_err(|cause: InvalidRoleName| cause.to_string())?;
    Ok((role, value.parse().map_err(|cause: T::Err| cause.to_string())?))
}

/// Parses the lifetime of what a role signs, `ROLE=90d`.
fn lifetime(text: &str) -> Result<(RoleName, u64), String> {
    let (role, value) = of_role::<String>(text)?;
    Ok((role, days(&value)?))
}

fn days(text: &str) -> Result<u64, String> {
    TrustExpiry::days(text).ok_or_else(|| "expected 1 to 3650 days, such as `90d`".to_owned())
}
