//! A name is refused, or is the same name again once it was written and read.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use alga_release::oci::{Digest, Pinned, Prefix, Reference, Repository, Selector, Tag};
use libfuzzer_sys::fuzz_target;

fn round_trip<T>(text: &str)
where
    T: FromStr + Display + Debug + PartialEq,
    T::Err: Debug + Display,
{
    match text.parse::<T>() {
        Ok(name) => {
            assert_eq!(name.to_string(), text);
            assert_eq!(name.to_string().parse::<T>().expect("what was written is read"), name);
        }
        Err(invalid) => assert!(!invalid.to_string().is_empty()),
    }
}

fn prefix(text: &str) {
    let Ok(prefix) = Prefix::parse(text, false) else { return };
    let again = Prefix::parse(&prefix.to_string(), prefix.plain_http()).expect("what was written is read");
    assert_eq!((again.host(), again.to_string()), (prefix.host(), prefix.to_string()));
    let repository: Repository = "charts/sebastian".parse().expect("a path of two words is a repository");
    assert_eq!(prefix.strip(&prefix.name_of(&repository)), Some(repository));
}

fn reference(text: &str) {
    let Ok(reference) = text.parse::<Reference>() else { return };
    let mut written = reference.repository.clone();
    if let Some(tag) = &reference.tag {
        written.push_str(&format!(":{tag}"));
    }
    if let Some(digest) = &reference.digest {
        written.push_str(&format!("@{digest}"));
    }
    assert_eq!(written, text);
    assert_eq!(written.parse::<Reference>().expect("what was written is read"), reference);
}

fn pinned(text: &str) {
    let Ok(pinned) = Pinned::try_from(text.to_owned()) else { return };
    assert_eq!(Pinned::try_from(pinned.to_string()).expect("what was written is read"), pinned);
}

fuzz_target!(|text: &str| {
    round_trip::<Repository>(text);
    round_trip::<Tag>(text);
    round_trip::<Selector>(text);
    round_trip::<Digest>(text);
    prefix(text);
    reference(text);
    pinned(text);
});
