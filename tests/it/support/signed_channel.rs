//! Signed channels that are built by hand, so that a test can change any part of them, and an appliance that reads them.

use alga_release::oci::media_type::COSIGN_SIGNATURE;
use alga_release::oci::{Digest, Tag};
use alga_release::release::MoveKind;
use alga_release::signing::PrivateKey;
use alga_release::trust::{
    ChannelStatement, Claim, DOCUMENT_ARTIFACT_TYPE, DOCUMENT_MEDIA_TYPE, DOCUMENT_TYPE, Envelope, RefreshStatement,
    Signature, SignatureBundle, Statement, TrustDocument, statement_message,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::programs::{Run, alga, resolve};
use super::published::{RELEASES, digest_of, store};
use super::registry::Registry;
use super::trust::{DAY, Vendor, ago, now};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const RELEASE_TYPE: &str = "application/vnd.alga.appliance.release.v1";
pub const RELEASE_CONFIG: &str = "application/vnd.alga.appliance.release.config.v1+json";
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const RECORD: &str = "vnd.alga.appliance.channel.";

/// Returns the JSON of a release, as it was published to a channel.
pub fn release_json(version: &str, channel: &str) -> Vec<u8> {
    let digest = format!("sha256:{}", "0".repeat(64));
    format!(
        "{{\"schema\":\"alga.appliance.release/v1\",\"version\":\"{version}\",\"channel\":\"{channel}\",\
         \"valuesProfile\":\"p\",\"images\":{{\"algaCore\":\"1\",\"workflowWorker\":\"2\",\"emailService\":\"3\",\
         \"temporalWorker\":\"4\"}},\"controlPlane\":\"ghcr.io/x/plane@{digest}\",\
         \"config\":{{\"repository\":\"ghcr.io/x/config\",\"version\":\"{version}\",\"digest\":\"{digest}\"}},\
         \"charts\":{{}}}}"
    )
    .into_bytes()
}

/// Stores a blob, and returns its descriptor.
pub fn blob(registry: &Registry, media_type: &str, bytes: &[u8]) -> Value {
    registry.put_blob(RELEASES, &digest_of(bytes), bytes);
    json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
}

/// Stores a manifest under a tag, and returns its digest.
pub fn manifest(registry: &Registry, tag: &str, manifest: &Value) -> Digest {
    let bytes = manifest.to_string().into_bytes();
    registry.put_manifest(RELEASES, Some(tag), &digest_of(&bytes), MANIFEST, &bytes);
    Digest::of(&bytes)
}

/// Publishes a release to the version tag. It is not signed yet.
pub fn put_release(registry: &Registry, version: &str) -> Digest {
    let config = blob(registry, RELEASE_CONFIG, &release_json(version, "nightly"));
    let release = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": RELEASE_TYPE, "config": config, "layers": [config],
    });
    manifest(registry, version, &release)
}

/// Signs a digest in the older form, once by each key.
pub fn put_claims(registry: &Registry, digest: &Digest, keys: &[&PrivateKey]) {
    let claim = Claim { reference: "r.io/x".to_owned(), digest: digest.clone() }.to_bytes();
    let layers: Vec<Value> = keys
        .iter()
        .map(|key| {
            let mut layer = blob(registry, "application/vnd.dev.cosign.simplesigning.v1+json", &claim);
            layer["annotations"] = json!({ COSIGN_SIGNATURE: BASE64_STANDARD.encode(key.sign(&claim)) });
            layer
        })
        .collect();
    put_claim_layers(registry, digest, &layers);
}

/// Stores an image of layers under the tag of the older form.
pub fn put_claim_layers(registry: &Registry, digest: &Digest, layers: &[Value]) {
    let config = blob(registry, "application/vnd.oci.image.config.v1+json", b"{}");
    let image = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    manifest(registry, &format!("sha256-{}.sig", digest.hex()), &image);
}

/// Attaches the signature of a release by a key to the release, as a Sigstore bundle in a referrer.
pub fn put_bundle(registry: &Registry, release: &Digest, key: &PrivateKey) {
    let signed = bundle(&Statement::Artifact(release.clone()).to_payload(), key);
    let config = blob(registry, "application/vnd.oci.empty.v1+json", b"{}");
    let (media_type, subject) = registry.manifest(RELEASES, release.as_str()).expect("a release");
    let referrer = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": config,
        "layers": [blob(registry, BUNDLE, &signed)],
        "subject": { "mediaType": media_type, "digest": release, "size": subject.len() },
    });
    let bytes = referrer.to_string().into_bytes();
    let referrer =
        json!({ "mediaType": MANIFEST, "digest": digest_of(&bytes), "size": bytes.len(), "artifactType": BUNDLE });
    registry.put_manifest(RELEASES, None, &digest_of(&bytes), MANIFEST, &bytes);
    let index = "application/vnd.oci.image.index.v1+json";
    let list = json!({ "schemaVersion": 2, "mediaType": index, "manifests": [referrer] }).to_string().into_bytes();
    let tag = format!("sha256-{}", release.hex());
    registry.put_manifest(RELEASES, Some(&tag), &digest_of(&list), index, &list);
}

/// Returns a trust document in its envelope, signed by each key.
pub fn sign_document(document: &TrustDocument, keys: &[&PrivateKey]) -> Vec<u8> {
    let mut envelope = Envelope::new(DOCUMENT_TYPE, document.to_bytes());
    let message = envelope.message();
    let signatures = keys.iter().map(|key| Signature { key: Some(key.key().id()), signature: key.sign(&message) });
    envelope.signatures = signatures.collect();
    envelope.to_bytes()
}

/// Publishes bytes under the tag of a trust document.
pub fn put_trust(registry: &Registry, version: u64, envelope: &[u8]) {
    let config = blob(registry, "application/vnd.oci.empty.v1+json", b"{}");
    let layer = blob(registry, DOCUMENT_MEDIA_TYPE, envelope);
    let document = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": DOCUMENT_ARTIFACT_TYPE, "config": config, "layers": [layer],
    });
    manifest(registry, &format!("trust-{version}"), &document);
}

/// Returns the bundle of a payload that a key signed.
pub fn bundle(payload: &[u8], key: &PrivateKey) -> Vec<u8> {
    SignatureBundle::new(payload.to_vec(), &key.key().id(), key.sign(&statement_message(payload))).to_bytes()
}

/// What a channel is to serve. Every part can be changed before it is stored.
pub struct Offer {
    pub channel: &'static str,
    /// JSON of the channel manifest.
    pub json: Vec<u8>,
    /// Bundles in the layers: statements, refresh, release.
    pub bundles: Vec<Vec<u8>>,
    pub annotations: Value,
    /// Statement that the bundles were made of.
    pub statement: ChannelStatement,
}

/// Returns a statement of a vendor that a channel serves a release, made a minute ago.
pub fn statement(vendor: &Vendor, channel: &str, release: &Digest, sequence: u64) -> ChannelStatement {
    let role = vendor.document.channels.get(channel);
    ChannelStatement {
        release: release.clone(),
        product: vendor.document.product.clone(),
        channel: channel.parse().expect("a tag"),
        epoch: role.map_or(1, |role| role.epoch),
        trust_version: vendor.document.version,
        sequence,
        previous: None,
        issued: ago(60),
        expires: now().plus(7 * DAY),
        kind: MoveKind::Publish,
        by: Some("tester".to_owned()),
        from: None,
        reason: None,
    }
}

impl Offer {
    /// Signs a statement by all keys that must sign, with refresh and release.
    pub fn of(vendor: &Vendor, version: &str, statement: ChannelStatement) -> Self {
        let payload = statement.to_payload();
        let channel: &'static str = if statement.channel.as_str() == "stable" { "stable" } else { "nightly" };
        let mut bundles = Vec::new();
        if channel == "stable" {
            bundles.extend(["stable-a", "stable-b"].map(|key| bundle(&payload, vendor.key(key))));
            let refresh =
                RefreshStatement::of(&statement, vendor.document.version, statement.issued, statement.expires);
            bundles.push(bundle(&refresh.to_payload(), vendor.key("refresh")));
        } else {
            bundles.push(bundle(&payload, vendor.key("nightly")));
        }
        let artifact = Statement::Artifact(statement.release.clone()).to_payload();
        bundles.push(bundle(&artifact, vendor.key("release")));
        let json = release_json(version, channel);
        Self { channel, json, bundles, annotations: annotations(&statement), statement }
    }

    /// Stores the channel manifest, and returns its digest.
    pub fn put(&self, registry: &Registry) -> Digest {
        manifest(registry, self.channel, &self.manifest(|media_type, bytes| blob(registry, media_type, bytes)))
    }

    /// Returns the channel manifest. `blob` stores bytes and returns their descriptor.
    pub fn manifest(&self, blob: impl Fn(&str, &[u8]) -> Value) -> Value {
        let config = blob(RELEASE_CONFIG, &self.json);
        let bundles = self.bundles.iter().map(|bytes| blob(BUNDLE, bytes));
        let layers: Vec<Value> = std::iter::once(config.clone()).chain(bundles).collect();
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": RELEASE_TYPE, "config": config, "layers": layers,
            "annotations": self.annotations,
        })
    }
}

/// Returns the annotations that agree with a statement.
pub fn annotations(statement: &ChannelStatement) -> Value {
    let mut annotations = json!({});
    let pairs = [
        ("name", Some(statement.channel.to_string())),
        ("release", Some(statement.release.to_string())),
        ("sequence", Some(statement.sequence.to_string())),
        ("kind", Some(statement.kind.as_str().to_owned())),
        ("moved", Some(statement.issued.to_string())),
        ("by", statement.by.clone()),
        ("from", statement.from.clone()),
        ("reason", statement.reason.clone()),
    ];
    for (key, value) in pairs {
        if let Some(value) = value {
            annotations[format!("{RECORD}{key}")] = value.into();
        }
    }
    annotations
}

/// An appliance with the vendor's trust document, and the registry that it reads.
pub struct Appliance {
    pub vendor: Vendor,
    pub registry: Registry,
    directory: tempfile::TempDir,
}

impl Appliance {
    /// Starts a registry without releases.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { vendor: Vendor::new(), registry: Registry::start(), directory }
    }

    /// Starts a registry in which `stable` serves 1.0.3 as move 5, and follows it once.
    pub fn following() -> Self {
        let appliance = Self::new();
        appliance.offer("1.0.3", 5).put(&appliance.registry);
        appliance.resolve(&[]).ends(0);
        appliance
    }

    /// Publishes a release and returns the signed move of `stable` to it, which is not stored yet.
    pub fn offer(&self, version: &str, sequence: u64) -> Offer {
        self.offer_in("stable", version, sequence)
    }

    /// Returns the signed move of a channel.
    pub fn offer_in(&self, channel: &str, version: &str, sequence: u64) -> Offer {
        let release = put_release(&self.registry, version);
        Offer::of(&self.vendor, version, statement(&self.vendor, channel, &release, sequence))
    }

    /// Returns the path of the state.
    pub fn state_path(&self) -> std::path::PathBuf {
        self.directory.path().join("state.json")
    }

    /// Returns the state as JSON.
    pub fn state(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.state_path()).expect("a state")).expect("JSON")
    }

    /// Changes what the state keeps under the trust document.
    pub fn change_state(&self, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        change(state["trust"].as_object_mut().expect("roots").values_mut().next().expect("a root"));
        std::fs::write(self.state_path(), state.to_string()).expect("written");
    }

    /// Returns the options that every call shares.
    pub fn options(&self) -> Vec<String> {
        let options = [
            "--store",
            &store(&self.registry),
            "--trust",
            &self.vendor.file("trust.json"),
            "--state",
            &self.state_file(),
        ]
        .map(str::to_owned);
        options.to_vec()
    }

    /// Returns the path of the state as an argument.
    pub fn state_file(&self) -> String {
        self.state_path().display().to_string()
    }

    /// Runs a command with the trust document and the state.
    pub fn run(&self, command: &[&str], more: &[&str]) -> Run {
        let options = self.options();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        resolve(&[command, &options, more].concat())
    }

    /// Resolves `stable`.
    pub fn resolve(&self, more: &[&str]) -> Run {
        self.run(&["resolve", "stable"], more)
    }

    /// Returns what the state answers without a request.
    pub fn remembered(&self) -> String {
        self.resolve(&["--offline"]).stdout
    }

    /// Verifies a reference as the publisher does, which has no memory.
    pub fn verify(&self, reference: &str) -> Run {
        self.verify_with(reference, &[])
    }

    /// Verifies a reference with further flags.
    pub fn verify_with(&self, reference: &str, more: &[&str]) -> Run {
        let (at, trust) = (store(&self.registry), self.vendor.file("trust.json"));
        let flags = ["--store", &at, "--prefix", "ghcr.io/x", "--trust", &trust, "--output", "json"];
        alga(&[&["verify", reference, "--retry-for", "0"], &flags[..], more].concat())
    }

    /// Checks that the publisher's verification fails for a reason of the resolver.
    #[track_caller]
    pub fn fails_verification(&self, reference: &str, reason: &str) {
        let run = self.verify(reference).ends(3);
        let report = run.json();
        let checks = report["releases"][0]["checks"].as_array().expect("checks");
        let failed = checks.iter().filter(|check| check["outcome"] == "failed");
        let reasons: Vec<&str> = failed.filter_map(|check| check["reason"].as_str()).collect();
        let named = format!("an appliance refuses it ({reason})");
        assert!(reasons.iter().any(|one| one.starts_with(&named)), "{named}: {reasons:#?}");
    }

    /// Checks that the publisher's verification fails, whether it can read the release or not.
    #[track_caller]
    pub fn does_not_verify(&self, reference: &str) {
        let run = self.verify(reference);
        assert!(matches!(run.code, Some(1 | 3)), "{run:?}");
        let is_said = run.stderr.contains("error: ") || run.json()["ok"] == false;
        assert!(is_said, "{run:?}");
    }

    /// Checks that `stable` is refused for a reason, that nothing is printed, and that the current release and the
    /// running control plane stay.
    #[track_caller]
    pub fn refuses(&self, reason: &str) -> Run {
        let before = self.remembered();
        let run = self.resolve(&[]).ends(3).says(&[&format!("refused ({reason})")]);
        assert_eq!(run.stdout, "");
        let plane = ["control-plane", "stable", "--running", "r.io/plane:now", "--baseline", "r.io/plane:baked"];
        let plane = self.run(&plane, &[]).ends(0).says(&[&format!("refused ({reason})"), "the running image stays"]);
        assert_eq!(plane.stdout, "");
        assert_eq!(self.remembered(), before, "the current release stays");
        run
    }

    /// Checks that a version or a digest is refused for a reason.
    #[track_caller]
    pub fn refuses_pinned(&self, reference: &str, reason: &str) {
        let run = self.run(&["resolve", reference], &[]).ends(3).says(&[&format!("refused ({reason})")]);
        assert_eq!(run.stdout, "");
    }
}

/// Returns a tag from a text that is one.
pub fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}
