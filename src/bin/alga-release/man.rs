//! The command `alga-release man`.

use std::path::PathBuf;

use alga_release::shell::{Page, pages};
use clap::Command;

use crate::failure::Failure;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Command whose page is printed, for example `publish` or `image push` [default: the page of the program]
    #[arg(value_name = "COMMAND", conflicts_with = "output_dir")]
    command: Vec<String>,
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

pub fn run(args: &Args, program: &Command) -> Result<(), Failure> {
    let pages = pages(program, include_str!("help/environment.txt"));
    let pages = pages.map_err(|cause| Failure::io("to write the manual pages", cause))?;
    if let Some(directory) = &args.output_dir {
        let made = std::fs::create_dir_all(directory);
        made.map_err(|cause| Failure::io(&format!("to create {}", directory.display()), cause))?;
        return pages
            .iter()
            .try_for_each(|page| output::write_file(directory, &page.file_name(), page.text.as_bytes()));
    }
    let page = |page: &&Page| page.command[1..] == args.command[..];
    match pages.iter().find(page) {
        Some(page) => output::write_stdout(page.text.as_bytes()),
        None => Err(Failure::usage_hint(
            format!("unknown command `{}`", args.command.join(" ")),
            "run `alga-release --help` for a list of commands",
        )),
    }
}
