//! `alga-release doctor`: checks whether a release can be published.

use std::path::PathBuf;
use std::time::Duration;

use alga_release::ops::{self, ChartsOf, DoctorRequest};

use crate::connect;
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Common, Format, ProfileArgs};
use crate::log::Log;
use crate::output;
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Root of the source tree whose charts are checked
    #[arg(default_value = ".")]
    source: PathBuf,
    /// Check the charts of the release that this channel serves
    #[arg(long, value_name = "CHANNEL", conflicts_with = "version")]
    channel: Option<String>,
    /// Check the charts of this release
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    profile: ProfileArgs,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let config = environment::configuration(&args.source, &args.common.configuration, args.profile.profile.as_deref())?;
    let mut store = args.common.store.request(&config)?;
    // The answer is needed now, whatever the registry would say later.
    store.retry_for.get_or_insert(Duration::ZERO);
    let charts = match (&args.channel, &args.version) {
        (Some(name), _) => ChartsOf::Release(ops::channel(&config, name)?.to_string()),
        (None, Some(name)) => ChartsOf::Release(name.clone()),
        (None, None) => ChartsOf::Tree(args.source.clone()),
    };
    let (request, context) = (DoctorRequest { store, charts }, system::context(log));
    let work = async { Ok(ops::doctor(&request, &config, &context).await?) };
    let diagnosis = connect::block_on(log, args.common.store.timeout, work)?;
    for warning in &diagnosis.warnings {
        log.warn(warning);
    }
    match args.common.output.output {
        Format::Json => output::write_json(&diagnosis)?,
        Format::Text => output::write_text(&diagnosis.text())?,
    }
    Ok(diagnosis.verdict()?)
}
