//! A signed publication signs the control plane that the store has already, and the application images where the
//! configuration says so.

use alga_release::oci::{Digest, Location, Options, ReadStore};
use alga_release::trust::{Candidate, KeyId};

use crate::support::programs::{Source, alga};
use crate::support::published::{digest_of, publish, put_image, state, store, writes};
use crate::support::registry::Registry;
use crate::support::trust::{Vendor, slices};

const PLANE: &str = "alga-appliance-control-plane";

/// Returns the keys that signed an artifact: those of the older form, and those of the bundles.
fn signers(vendor: &Vendor, registry: &Registry, repository: &str, digest: &str) -> [Vec<KeyId>; 2] {
    let location = Location::parse(&format!("{}/org", registry.url()), true).expect("a store");
    let reader = ReadStore::open(&location, Options::default()).expect("a reader");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (repository, digest): (_, Digest) = (repository.parse().expect("a name"), digest.parse().expect("a digest"));
    let claims = runtime.block_on(reader.claims(&repository, &digest)).expect("claims");
    let bundles = runtime.block_on(reader.bundles(&repository, &digest)).expect("bundles");
    let signer = |candidate: Candidate<'_>| candidate.signer(&vendor.document, &digest);
    let of_claims = claims.iter().map(|one| Candidate::Claim { payload: &one.payload, signature: &one.signature });
    let of_bundles = bundles.iter().map(|bundle| Candidate::Bundle(bundle));
    [of_claims.filter_map(signer).collect(), of_bundles.filter_map(signer).collect()]
}

fn tagged(registry: &Registry, repository: &str, tag: &str) -> String {
    registry.tags(&format!("org/{repository}"))[tag].clone()
}

#[test]
fn images_of_the_store_are_signed_in_both_forms_before_any_version_tag() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    let elsewhere = Registry::start();
    let digest = put_image(&elsewhere, "apps/temporal-worker", "a2cbb43");
    let image = format!("{}/apps/temporal-worker", elsewhere.address());
    let configuration = format!(
        "signing: {{images: true}}\nimages:\n  algaCore: alga-psa-ee\n  workflowWorker: workflow-worker\n  \
         emailService: email-service\n  temporalWorker: {image}\n"
    );
    source.append("alga-release.yaml", &configuration);
    let warning = format!("1 image is not signed (in another registry): {image}@{digest} (temporalWorker)");
    let flags = vendor.flags(&["release", "nightly"]);
    let published = |more: &[&str]| {
        let run = publish(&source, &registry, "1.0.3", "nightly", &[&slices(&flags), more].concat()).ends(0);
        run.says(&[&warning]);
    };
    published(&["--dry-run"]);
    assert_eq!(writes(&registry), 0);
    published(&[]);
    let key = vendor.key("release").key().id();
    for (repository, tag) in
        [("alga-psa-ee", "62cdce38"), ("workflow-worker", "a2cbb43"), ("email-service", "61e4a00e")]
    {
        let digest = tagged(&registry, repository, tag);
        assert_eq!(signers(&vendor, &registry, repository, &digest), [vec![key], vec![key]], "{repository}");
    }
    assert_eq!(registry.tags("org/temporal-worker").len(), 1, "the release does not name this image");
    assert_eq!(writes(&elsewhere), 0);
    let log = registry.log();
    let pushed = |name: &str| log.iter().position(|one| one.method == "PUT" && one.path.ends_with(name));
    let first = pushed("/manifests/1.0.3").expect("a version");
    for (at, one) in log.iter().enumerate() {
        assert!(one.method != "PUT" || !one.path.contains(".sig") || at < first, "{}", one.path);
    }

    let before = state(&registry);
    registry.clear_log();
    published(&[]);
    assert_eq!((writes(&registry), state(&registry)), (0, before));
    // `sign` signs the same artifacts, so there is nothing left for it.
    let (at, tree) = (store(&registry), source.path("alga-release.yaml").display().to_string());
    let arguments = ["sign", "1.0.3", "--store", &at, "--config", &tree];
    alga(&[&arguments[..], &slices(&flags)].concat()).ends(0).prints(&["nothing to do"]);
}

#[test]
fn a_control_plane_that_the_store_has_already_is_signed() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    let digest = put_image(&registry, &format!("org/{PLANE}"), "1");
    let flags = vendor.flags(&["release", "nightly"]);
    let flags = [&slices(&flags)[..], &["--control-plane", "1"]].concat();
    publish(&source, &registry, "1.0.3", "nightly", &flags).ends(0);
    let key = vendor.key("release").key().id();
    assert_eq!(signers(&vendor, &registry, PLANE, &digest), [vec![key], vec![key]]);
    let core = tagged(&registry, "alga-psa-ee", "62cdce38");
    assert_eq!(signers(&vendor, &registry, "alga-psa-ee", &core), [vec![], vec![]]);
    let before = state(&registry);
    registry.clear_log();
    publish(&source, &registry, "1.0.3", "nightly", &flags).ends(0);
    assert_eq!((writes(&registry), state(&registry)), (0, before));

    let at = store(&registry);
    alga(&["verify", "nightly", "--store", &at, "--trust", &vendor.file("trust.json")]).ends(0);
    let keys = vendor.flags(&["stable-a", "stable-b", "refresh"]);
    let arguments = ["promote", "--from", "nightly", "--to", "stable", "--store", &at];
    alga(&[&arguments[..], &slices(&keys)].concat()).ends(0);
}

#[test]
fn a_control_plane_that_the_store_lacks_is_named_in_a_warning() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    source.without_images();
    let (at, digest) = (store(&registry), digest_of(b"elsewhere"));
    let arguments = ["--version", "1.0.3", "--no-channel", "--store", &at, "--image-check", "off"];
    let flags = vendor.flags(&["release"]);
    let run = source.publish(&[&arguments[..], &["--control-plane", &digest], &slices(&flags)].concat()).ends(0);
    run.says(&[&format!("1 image is not signed (missing in the store): {at}/{PLANE}@{digest} (controlPlane)")]);
    assert!(!registry.repositories().contains(&format!("org/{PLANE}")));
}
