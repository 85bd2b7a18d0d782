//! What the verifiers in the field do with the signatures of an artifact: Flux, cosign, and policy engines. Each of them
//! looks for signatures in its own way, so an artifact that is signed can still be refused.

use serde::Serialize;

use super::attached::{BundleContent, FoundBundle, FoundSignatures};
use crate::oci::Digest;
use crate::release::NamedKind;
use crate::text::shown;

/// Most layers of the older form that cosign and Flux read. They refuse an artifact with more.
///
/// <https://github.com/sigstore/cosign/blob/v2.6.1/pkg/oci/remote/signatures.go>
const LAYERS: usize = 1000;

/// Flux before it read Sigstore bundles.
const FLUX_OLDER: &str = "Flux up to 2.7";
/// Flux since it reads Sigstore bundles.
const FLUX: &str = "Flux 2.8 and later";
/// cosign since it reads Sigstore bundles.
const COSIGN: &str = "cosign 2.6 and later";
/// Programs that read the older form alone.
const OLDER: &str = "cosign up to 2.5 and policies that read the `.sig` alone";
/// Policies that compare the name in the claim with the name that an image is pulled by.
const PODMAN: &str = "podman and policies that compare names";

/// The decision of a verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The verifier accepts the artifact by a signature of a release key.
    Accepts,
    /// The verifier refuses the artifact.
    Refuses,
    /// The verifier accepts the artifact under another name alone, which is where the artifact was signed.
    UnderAnotherName,
}

/// What a verifier does with an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InField {
    /// Program and its versions.
    pub verifier: &'static str,
    /// Decision of the program.
    pub verdict: Verdict,
    /// The decision and its reason as a sentence.
    pub text: String,
}

/// The artifact that verifiers judge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged<'a> {
    /// Role of the artifact in the release.
    pub kind: NamedKind,
    /// Digest of the manifest of the artifact.
    pub digest: &'a Digest,
    /// Repository that the artifact is read from, `HOST/PATH`.
    pub name: &'a str,
}

/// Returns what each verifier does with an artifact, by what is attached to it.
pub(super) fn in_field(judged: &Judged<'_>, found: &FoundSignatures) -> Vec<InField> {
    let is_files = matches!(judged.kind, NamedKind::Chart | NamedKind::Bundle);
    let older = if is_files { FLUX_OLDER } else { OLDER };
    let newer: &[&str] = if is_files { &[FLUX, COSIGN] } else { &[COSIGN] };
    let mut all: Vec<InField> = by_claims(judged, found).map(|reason| judged.says(older, reason)).into_iter().collect();
    if let Some(reason) = by_bundles(judged, found) {
        all.extend(newer.iter().map(|verifier| judged.says(verifier, reason.clone())));
    }
    if judged.kind.is_image() {
        all.extend(by_name(judged, found));
    }
    all
}

/// Reason for the decision of a verifier, as the end of a sentence.
type Reason = Result<String, String>;

impl Judged<'_> {
    fn says(&self, verifier: &'static str, reason: Reason) -> InField {
        let what = self.kind.as_str();
        let (verdict, text) = match reason {
            Ok(how) => (Verdict::Accepts, format!("{verifier}: the {what} is accepted {how}")),
            Err(why) => (Verdict::Refuses, format!("{verifier}: the {what} is refused: {why}")),
        };
        InField { verifier, verdict, text }
    }
}

/// Decides as a verifier that reads the tag `sha256-<hex>.sig` alone. Returns `None` where only a claim about another
/// artifact is there, which is a failed check of its own.
fn by_claims(judged: &Judged<'_>, found: &FoundSignatures) -> Option<Reason> {
    if found.layers > LAYERS {
        return Some(Err(format!("the `.sig` has {} layers, and the limit is {LAYERS}", found.layers)));
    }
    if !found.of_claims(judged.digest).is_empty() {
        return Some(Ok("by the `.sig`".to_owned()));
    }
    let reason = if found.layers == 0 { "the `.sig` is missing" } else { "a release key did not sign in the `.sig`" };
    found.misplaced(judged.digest).is_empty().then(|| Err(reason.to_owned()))
}

/// Decides as a verifier that looks for Sigstore bundles first, and for the `.sig` only where it finds no bundle.
fn by_bundles(judged: &Judged<'_>, found: &FoundSignatures) -> Option<Reason> {
    let read = |bundle: &&FoundBundle| bundle.is_listed && bundle.content != BundleContent::NotABundle;
    let bundles: Vec<&FoundBundle> = found.bundles.iter().filter(read).collect();
    if bundles.is_empty() {
        return of_unlisted(judged, found);
    }
    let passing: Vec<&&FoundBundle> = bundles.iter().filter(|bundle| bundle.passes_elsewhere()).collect();
    if passing.iter().any(|bundle| bundle.content == BundleContent::Signature) {
        return Some(Ok("by the signature bundle".to_owned()));
    }
    match passing.first().map(|bundle| &bundle.content) {
        Some(BundleContent::Attestation(predicate)) => {
            let predicate = shown(predicate);
            return Some(Ok(format!("by an attestation of the type `{predicate}`, which it takes for a signature")));
        }
        Some(_) => return Some(Ok("by a signature bundle with several subjects".to_owned())),
        None => {}
    }
    let older = if found.of_claims(judged.digest).is_empty() { "" } else { ", so the `.sig` is not looked for" };
    Some(Err(format!("{}{older}", why_none(&bundles))))
}

/// Says why none of the bundles counts.
fn why_none(bundles: &[&FoundBundle]) -> String {
    for bundle in bundles {
        match &bundle.content {
            BundleContent::NotVerifiable(reason) => {
                return format!("a bundle is attached that does not verify: {reason}");
            }
            BundleContent::OtherSubject if bundle.signer.is_some() => {
                return "a bundle by a release key is attached that is about another artifact".to_owned();
            }
            _ => {}
        }
    }
    "a signature bundle by another key is attached and ours is not".to_owned()
}

/// Decides where no bundle is found: the `.sig` counts. A list of referrers without types hides its bundles.
fn of_unlisted(judged: &Judged<'_>, found: &FoundSignatures) -> Option<Reason> {
    let hidden = found.bundles.iter().any(|bundle| !bundle.is_listed && bundle.passes_elsewhere());
    match by_claims(judged, found)? {
        Err(_) if hidden => Some(Err("the list of referrers names the signature bundle without its type".to_owned())),
        Err(reason) if found.layers <= LAYERS => Some(Err(format!("a signature bundle is missing, and {reason}"))),
        decided => Some(decided),
    }
}

/// Decides as a policy that compares the name in the claim with the name of the image.
fn by_name(judged: &Judged<'_>, found: &FoundSignatures) -> Option<InField> {
    let ours =
        found.claims.iter().filter(|claim| claim.signer.is_some() && claim.digest.as_ref() == Some(judged.digest));
    let names: Vec<&str> = ours.map(|claim| claim.reference.as_str()).collect();
    if names.contains(&judged.name) {
        return Some(judged.says(PODMAN, Ok(format!("under the name `{}`", judged.name))));
    }
    let signed = shown(names.first()?);
    let text = format!("{PODMAN}: the image was signed as `{signed}` and is accepted under that name alone");
    Some(InField { verifier: PODMAN, verdict: Verdict::UnderAnotherName, text })
}

#[cfg(test)]
#[path = "verifiers_tests.rs"]
mod tests;
