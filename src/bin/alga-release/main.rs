//! The publisher: arguments in, library calls, output and exit code out.

#![allow(clippy::disallowed_methods, reason = "the one place that reads clock and environment")]

mod cli;
mod completions;
mod config;
mod connect;
mod copy;
mod diff;
mod doctor;
mod environment;
mod extent;
mod failure;
mod flags;
mod history;
mod image;
mod in_use;
mod key;
mod lint;
mod log;
mod ls;
mod man;
mod next;
mod output;
mod outputs;
mod pager;
mod progress;
mod promote;
mod publish;
mod refresh;
mod rollback;
mod show;
mod sign;
mod signing;
mod system;
mod terminal;
mod terms;
mod trust;
mod verify;

use std::process::ExitCode;

use clap::CommandFactory;

use cli::{Cli, Command};
use failure::Failure;
use flags::LogArgs;
use log::Log;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let (log, done) = match cli::parse(&arguments) {
        Ok(Some(args)) => {
            let log = Log::new(&args.log);
            (log.clone(), run(args, &log))
        }
        Ok(None) => return ExitCode::SUCCESS,
        Err(failure) => (Log::new(&LogArgs::of_mistaken(&arguments)), Err(failure)),
    };
    done.unwrap_or_else(|failure| {
        log.failed(&failure);
        outputs::annotate("error", &failure.text());
        ExitCode::from(failure.exit_code())
    })
}

fn run(args: Cli, log: &Log) -> Result<ExitCode, Failure> {
    let done = match args.command {
        Command::Publish(publish) => publish::run(&publish, log),
        Command::Diff(diff) => return diff::run(&diff, log),
        Command::Lint(lint) => lint::run(&lint, log),
        Command::Image(image) => image::run(&image, log),
        Command::Doctor(doctor) => doctor::run(&doctor, log),
        Command::Promote(promote) => promote::run(&promote, log),
        Command::Refresh(refresh) => refresh::run(&refresh, log),
        Command::Rollback(rollback) => rollback::run(&rollback, log),
        Command::History(history) => history::run(&history, log),
        Command::Ls(ls) => ls::run(&ls, log),
        Command::Show(show) => show::run(&show, log),
        Command::Verify(verify) => verify::run(&verify, log),
        Command::InUse(in_use) => in_use::run(&in_use, log),
        Command::Copy(copy) => copy::run(&copy, log),
        Command::Sign(sign) => sign::run(&sign, log),
        Command::Key(key) => key::run(&key, log),
        Command::Trust(trust) => trust::run(&trust, log),
        Command::Config(config) => config::run(&config),
        Command::Completions(args) => completions::run(&args),
        Command::Complete(line) => completions::complete_line(&Cli::command(), &line, log),
        Command::Man(man) => man::run(&man, &Cli::command()),
    };
    done.map(|()| ExitCode::SUCCESS)
}
