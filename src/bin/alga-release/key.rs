//! The commands `alga-release key generate` and `alga-release key show`.

use std::path::PathBuf;

use alga_release::ops::{self, KeyReport, KeyRequest};
use clap::Subcommand;

use crate::failure::Failure;
use crate::flags::{Format, OutputArgs};
use crate::log::Log;
use crate::output;
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key for signatures (ECDSA P-256), and write its private and its public half
    #[command(after_help = include_str!("help/key-generate.txt"))]
    Generate(GenerateArgs),
    /// Show the ID and the public half of a key
    #[command(after_help = include_str!("help/key-show.txt"))]
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct GenerateArgs {
    /// Path of the files without `.key` (private) and `.pub` (public)
    #[arg(long, value_name = "PREFIX", default_value = "signing")]
    output_prefix: PathBuf,
    /// Write the private key without a password (PKCS#8), which `cosign` does not read
    #[arg(long)]
    plain: bool,
    /// Replace files that exist; the key in them is lost
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// File with a public or a private key
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let context = system::context(log);
    match &args.command {
        Command::Generate(args) => {
            let (prefix, is_plain, replaces) = (args.output_prefix.clone(), args.plain, args.force);
            let report = ops::generate_key(&KeyRequest { prefix, is_plain, replaces }, &context)?;
            print(&report, args.output.output)
        }
        Command::Show(args) => print(&ops::show_key(&args.file, &context)?, args.output.output),
    }
}

fn print(report: &KeyReport, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::write_json(report),
        Format::Text => output::write_text(&report.text()),
    }
}
