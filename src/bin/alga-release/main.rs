//! The publisher: arguments in, library calls, output and exit code out.

#![allow(clippy::disallowed_methods, reason = "the one place that reads clock and environment")]

mod cli;
mod config;
mod connect;
mod copy;
mod diff;
mod doctor;
mod environment;
mod failure;
mod flags;
mod history;
mod image;
mod in_use;
mod lint;
mod output;
mod outputs;
mod pager;
mod progress;
mod promote;
mod publish;
mod rollback;
mod system;
mod terms;
mod verify;

use std::process::ExitCode;

use clap::CommandFactory;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let args = match cli::parse(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 });
        }
    };
    match run(args) {
        Ok(code) => code,
        Err(failure) => {
            output::say(&output::in_log(&failure.text()));
            outputs::annotate("error", &failure.text());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(args: Cli) -> Result<ExitCode, Failure> {
    let done = match args.command {
        Command::Publish(publish) => publish::run(&publish),
        Command::Diff(diff) => return diff::run(&diff),
        Command::Lint(lint) => lint::run(&lint),
        Command::Image(image) => image::run(&image),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Promote(promote) => promote::run(&promote),
        Command::Rollback(rollback) => rollback::run(&rollback),
        Command::History(history) => history::run(&history),
        Command::Verify(verify) => verify::run(&verify),
        Command::InUse(in_use) => in_use::run(&in_use),
        Command::Copy(copy) => copy::run(&copy),
        Command::Config(config) => config::run(&config),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "alga-release", &mut script);
            output::write_stdout(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(|cause| Failure::io("writing the page", cause))?;
            output::write_stdout(&page)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
