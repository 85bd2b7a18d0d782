//! Converts the flags of a move to the requests of the library.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alga_release::config::Config;
use alga_release::ops::{self, Access, Context, MoveTerms, Signing, SigningTerms, TrustError};
use alga_release::plan::Approved;
use alga_release::signing::SigningRequest;

use crate::connect;
use crate::environment;
use crate::failure::Failure;
use crate::flags::Approval;
use crate::signing::SigningArgs;

impl Approval {
    pub fn access(&self) -> Access {
        self.signing.access(self.dry_run)
    }

    pub fn terms(
        &self,
        (config, root): (&Config, &Path),
        allow_unordered: bool,
        reason: Option<&String>,
        context: &Context,
    ) -> Result<MoveTerms, Failure> {
        let if_current = match self.if_current.as_deref() {
            None => None,
            Some("none") => Some(None),
            Some(text) => Some(Some(connect::parsed("--if-current", text)?)),
        };
        let (by, reason) = (self.signing.by(self.by.as_ref()), reason.cloned());
        let (approved, accept_sequence) = (self.approved()?, self.accept_sequence);
        let signing = signing(&self.signing, (config, root), context)?;
        Ok(MoveTerms { approved, if_current, allow_unordered, accept_sequence, by, reason, signing })
    }

    fn approved(&self) -> Result<Option<Approved>, Failure> {
        if let Some(path) = &self.approved {
            return Ok(Some(ops::approved(&environment::read(path)?)?));
        }
        let digest = self.if_plan.as_deref().map(|text| connect::parsed("--if-plan", text)).transpose()?;
        Ok(digest.map(|digest| Approved { digest, content: None, sequence: None }))
    }
}

impl SigningArgs {
    /// Returns how the store is opened: what is only prepared writes nothing.
    pub fn access(&self, dry_run: bool) -> Access {
        if dry_run || self.prepare.is_some() { Access::Read } else { Access::Write }
    }

    /// Returns who moves the channel: the person named, else the user. What was signed elsewhere has its own maker.
    pub fn by(&self, named: Option<&String>) -> Option<String> {
        named.cloned().or_else(|| if self.signature.is_empty() { environment::user() } else { None })
    }
}

/// Reads the trust document and the keys, if a flag, a variable or the configuration names a trust document.
pub fn signing(
    args: &SigningArgs,
    (config, root): (&Config, &Path),
    context: &Context,
) -> Result<Option<Arc<Signing>>, Failure> {
    let signers = SigningRequest { key_files: args.sign_key.clone(), commands: args.signer.clone() };
    let Some(trust) = SigningTerms::document(args.trust.as_deref(), &signers, config, root)? else {
        let is_detached = args.prepare.is_some() || !args.signature.is_empty();
        return if is_detached { Err(ops::Error::Trust(TrustError::NoDocument).into()) } else { Ok(None) };
    };
    let record = args.signing_record.clone().or_else(record);
    let (prepare, signatures) = (args.prepare.clone(), args.signature.clone());
    Ok(Some(Arc::new(Signing::open(&SigningTerms { trust, signers, record, prepare, signatures }, context)?)))
}

/// Returns the default place of the record of signed statements.
///
/// <https://specifications.freedesktop.org/basedir-spec/latest/>
fn record() -> Option<PathBuf> {
    let state = environment::path_variable("XDG_STATE_HOME");
    let state = state.or_else(|| Some(environment::path_variable("HOME")?.join(".local/state")));
    state.map(|state| state.join("alga-release/signed.json"))
}
