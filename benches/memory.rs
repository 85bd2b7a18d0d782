//! How long a program runs, and how much memory it takes at the most.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a command to its end: the time, and the peak of its memory in MiB.
pub fn measured(command: &mut Command) -> (Duration, f64) {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kibibytes = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = kibibytes.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0.0) / 1024.0);
        if let Some(exit) = child.try_wait().expect("a child") {
            assert!(exit.success(), "{command:?}");
            return (start.elapsed(), peak);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
