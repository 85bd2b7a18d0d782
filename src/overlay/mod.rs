//! A Flux overlay: what it uses, how it is rewritten, the bundle.
