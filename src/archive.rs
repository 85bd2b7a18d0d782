//! Reproducible tar and gzip, both directions.
