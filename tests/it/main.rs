//! The program from outside, and held against the programs that it must agree with.

mod chart_helm;
mod rewrite_cases;
mod support;
