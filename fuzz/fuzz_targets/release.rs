//! Whatever bytes a registry sends for a manifest or a release, they are refused or read, and what is read renders to objects that
//! are YAML, or to an error.
#![no_main]

use alga_release::appliance::{HostInputs, Options, State, check_names, render};
use alga_release::config::Config;
use alga_release::oci::{Digest, Index, Manifest, media_type};
use alga_release::release::Release;
use libfuzzer_sys::fuzz_target;

fn objects(release: &Release) {
    let Ok(described) = release.described(&Config::default()) else { return };
    let digest = Digest::of(b"");
    let host = HostInputs::of(None, Some("alga.example"), None, None).expect("a name");
    let options = Options {
        described: &described,
        channel: Some("stable"),
        registry_host: "r.io",
        repository: "a/releases",
        manifest: &digest,
        release_digest: &digest,
        plain_http: false,
        host: host.as_ref(),
        settings: &[],
        image_digests: true,
    };
    let Ok(rendering) = render(release, &options) else { return };
    assert_eq!(render(release, &options).expect("as before"), rendering);
    for object in &rendering.objects {
        assert_eq!(alga_release::yaml::parse(&object.text).expect("YAML").len(), 1, "{}", object.text);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Manifest::parse(media_type::IMAGE_MANIFEST, bytes);
    let _ = Index::parse(media_type::IMAGE_INDEX, bytes);
    let _ = State::parse(bytes);
    let Ok(release) = Release::parse(bytes) else { return };
    if check_names(&release, &[]).is_ok() {
        let _ = release.control_plane_image(&Config::default());
        objects(&release);
    }
});
