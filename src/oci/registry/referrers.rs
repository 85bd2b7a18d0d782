//! Lists the manifests that refer to a manifest.

use super::auth::Access;
use super::client::{Answer, Operation};
use super::pages::Pages;
use super::read::stated_type;
use super::{Error, Registry, Repository};
use crate::oci::{Descriptor, Digest, Index, Kind, media_type};

/// Most manifests that may refer to one manifest.
const REFERRERS: usize = 1000;

impl Registry {
    /// Lists the manifests that refer to `subject`. Returns `None` when the registry keeps no such lists: the endpoint
    /// is missing, or answers with something else.
    pub(crate) async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let operation = self.operation("list the referrers of", repository, subject, Access::Pull);
        let mut pages = Pages::new(self, &operation, &format!("referrers/{subject}"));
        let mut referrers = Vec::new();
        while let Some(answer) = pages.next().await? {
            if !answer.status.is_success() {
                return Ok(None);
            }
            let Some(page) = referrers_page(&operation, &answer)? else { return Ok(None) };
            referrers.extend(page.manifests);
            if referrers.len() > REFERRERS {
                let reason = format!("the registry lists more than {REFERRERS} manifests, which is the limit");
                return Err(operation.error(Kind::TooLarge, reason));
            }
        }
        Ok(Some(referrers))
    }
}

/// Parses one page of a list of referrers. Returns `None` for a body that neither is an index nor is declared as one.
fn referrers_page(operation: &Operation, answer: &Answer) -> Result<Option<Index>, Error> {
    let stated = stated_type(&answer.headers);
    let media_type = stated.as_deref().unwrap_or(media_type::IMAGE_INDEX);
    match Index::parse(media_type, &answer.body) {
        Ok(page) => Ok(Some(page)),
        Err(cause) if stated.is_some_and(|stated| stated == media_type::IMAGE_INDEX) => {
            Err(operation.error(Kind::Malformed, format!("invalid list of referrers: {cause}")))
        }
        Err(_) => Ok(None),
    }
}
