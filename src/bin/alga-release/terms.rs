//! Converts the flags of a move to the requests of the library.

use alga_release::ops::{self, Access, MoveTerms, RewriteTo, TransferExtent};
use alga_release::plan::Approved;

use crate::connect;
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Approval, ExtentArgs};

impl Approval {
    pub fn access(&self) -> Access {
        if self.dry_run { Access::Read } else { Access::Write }
    }

    pub fn terms(&self, allow_unordered: bool, reason: Option<&String>) -> Result<MoveTerms, Failure> {
        let if_current = match self.if_current.as_deref() {
            None => None,
            Some("none") => Some(None),
            Some(text) => Some(Some(connect::parsed("--if-current", text)?)),
        };
        let (by, reason) = (self.by.clone().or_else(environment::user), reason.cloned());
        let (approved, accept_sequence) = (self.approved()?, self.accept_sequence);
        Ok(MoveTerms { approved, if_current, allow_unordered, accept_sequence, by, reason })
    }

    fn approved(&self) -> Result<Option<Approved>, Failure> {
        if let Some(path) = &self.approved {
            return Ok(Some(ops::approved(&environment::read(path)?)?));
        }
        let digest = self.if_plan.as_deref().map(|text| connect::parsed("--if-plan", text)).transpose()?;
        Ok(digest.map(|digest| Approved { digest, content: None, sequence: None }))
    }
}

impl ExtentArgs {
    pub fn extent(&self) -> TransferExtent {
        let rewrite = self.rewrite_prefix.as_ref().map(|prefix| match prefix.as_str() {
            "" => RewriteTo::Target,
            prefix => RewriteTo::Prefix(prefix.to_owned()),
        });
        TransferExtent { without_images: self.without_images, platform: self.platform.clone(), rewrite }
    }
}
