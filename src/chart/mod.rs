//! A Helm chart on disk becomes an artifact.
