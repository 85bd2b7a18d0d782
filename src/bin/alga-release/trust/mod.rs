//! The commands `alga-release trust …`: call, report.

mod args;
mod file;

use alga_release::ops::{self, Access, Context, TrustChange, TrustFile, TrustInit, TrustReport};

pub use args::Args;
use args::{Command, InitArgs};
use file::{FileArgs, StoreFlags};

use crate::connect;
use crate::failure::Failure;
use crate::flags::Format;
use crate::log::Log;
use crate::output;
use crate::system;

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let (file, store) = args.command.shared();
    let timeout = store.and_then(|flags| flags.store.timeout);
    let report = connect::block_on(log, timeout, Box::pin(report(&args.command, &system::context(log))))?;
    match file.output.output {
        Format::Json => output::write_json(&report),
        Format::Text => output::write_text(&report.text()),
    }
}

async fn report(command: &Command, context: &Context) -> Result<TrustReport, Failure> {
    let (change, new) = match command {
        Command::Init(args) => return init(args, context).await,
        Command::Show(args) => {
            let file = args.file.request(args.path.as_ref())?;
            return Ok(ops::show_trust(&file, context)?);
        }
        Command::Sign(args) => {
            let file = TrustFile { signers: args.keys.request(), ..args.file.request(None)? };
            return Ok(ops::sign_trust(&file, context).await?);
        }
        Command::Publish(args) => {
            let access = if args.dry_run { Access::Read } else { Access::Write };
            let (config, store) = args.store.open(&args.file, access, context).await?;
            return Ok(ops::publish_trust(&args.file.request(None)?, &config, &store, context).await?);
        }
        Command::Update(args) => {
            let (config, store) = args.store.open(&args.file, Access::Read, context).await?;
            return Ok(ops::update_trust(&args.file.request(None)?, &config, &store, context).await?);
        }
        Command::Verify(args) => {
            let file = args.file.request(args.path.as_ref())?;
            let store =
                if args.offline { None } else { Some(args.store.open(&args.file, Access::Read, context).await?) };
            let store = store.as_ref().map(|(config, store)| (config, store));
            return Ok(ops::verify_trust(&file, store, context).await?);
        }
        Command::Withdraw(args) => {
            let (config, store) = args.store.open(&args.new.file, Access::Read, context).await?;
            let (file, place) = (args.new.request()?, (&config, &store));
            return Ok(ops::withdraw(&args.release, &args.reason, &file, place, context).await?);
        }
        Command::RemoveKey(args) => {
            let (config, store) = args.store.open(&args.new.file, Access::Read, context).await?;
            let change = TrustChange::RemoveKeys { role: args.role.role.clone(), keys: args.keys.clone() };
            let (file, place) = (args.new.request()?, Some((&config, &store)));
            return Ok(ops::change_trust(&change, &file, place, context).await?);
        }
        Command::AddKey(args) => {
            let (role, files, creates) = (args.role.role.clone(), args.files.clone(), args.new_role);
            (TrustChange::AddKeys { role, files, creates }, &args.new)
        }
        Command::Threshold(args) => {
            let (role, threshold) = (args.role.role.clone(), args.threshold);
            (TrustChange::Threshold { role, threshold }, &args.new)
        }
        Command::Lifetime(args) => (TrustChange::Lifetime { role: args.role.role.clone(), days: args.days }, &args.new),
        Command::Renew(args) => (TrustChange::Renew, &args.new),
        Command::NewEpoch(args) => (TrustChange::NewEpoch { channel: args.channel.clone() }, &args.new),
    };
    Ok(ops::change_trust(&change, &new.request()?, None, context).await?)
}

async fn init(args: &InitArgs, context: &Context) -> Result<TrustReport, Failure> {
    let product = match &args.product {
        Some(product) => product.clone(),
        None => args.new.file.configuration.load()?.product,
    };
    let (keys, thresholds, lifetimes) = (args.keys.clone(), args.thresholds.clone(), args.lifetimes.clone());
    let request = TrustInit { product, keys, thresholds, lifetimes };
    Ok(ops::init_trust(&request, &args.new.request()?, context).await?)
}

impl Command {
    /// Returns the flags that every command has, and those of the store where one is read.
    fn shared(&self) -> (&FileArgs, Option<&StoreFlags>) {
        match self {
            Self::Init(args) => (&args.new.file, None),
            Self::Show(args) => (&args.file, None),
            Self::AddKey(args) => (&args.new.file, None),
            Self::RemoveKey(args) => (&args.new.file, Some(&args.store)),
            Self::Threshold(args) => (&args.new.file, None),
            Self::Lifetime(args) => (&args.new.file, None),
            Self::Renew(args) => (&args.new.file, None),
            Self::Withdraw(args) => (&args.new.file, Some(&args.store)),
            Self::NewEpoch(args) => (&args.new.file, None),
            Self::Sign(args) => (&args.file, None),
            Self::Publish(args) => (&args.file, Some(&args.store)),
            Self::Update(args) => (&args.file, Some(&args.store)),
            Self::Verify(args) => (&args.file, Some(&args.store)),
        }
    }
}
