//! The progress of large uploads: on a terminal one bar for each blob and one for all, elsewhere a line every ten seconds.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use alga_release::oci::{Descriptor, Digest, Repository};
use indicatif::{BinaryBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

const OF_ALL: &str = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
const OF_ONE: &str = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg:.dim}";
/// Time between two lines of progress.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// The progress bars. Hidden bars still measure the speed, for the lines of progress.
#[derive(Debug)]
pub struct Bars {
    screen: MultiProgress,
    all: ProgressBar,
    sent: Mutex<Sent>,
}

/// The number of bytes in the store, and the blobs that are being sent.
#[derive(Debug, Default)]
struct Sent {
    stored: u64,
    sending: BTreeMap<(Repository, Digest), ProgressBar>,
    /// Number of lines that were due until now.
    lines: u128,
}

impl Bars {
    pub fn new(target: ProgressDrawTarget) -> Self {
        let screen = MultiProgress::with_draw_target(target);
        let all = screen.add(ProgressBar::no_length().with_style(style(OF_ALL)));
        Self { screen, all, sent: Mutex::default() }
    }

    /// Reports whether the bars are hidden, as without a terminal.
    pub fn are_hidden(&self) -> bool {
        self.all.is_hidden()
    }

    /// Calls `write` while the bars are cleared from the screen.
    pub fn suspend(&self, write: impl FnOnce()) {
        self.screen.suspend(write);
    }

    /// Sets the number of bytes to send; fewer are sent if the store has some of them.
    pub fn start(&self, bytes: u64) {
        self.all.set_length(bytes);
    }

    /// Shows a message next to the bar of all blobs.
    pub fn say(&self, what: impl Into<String>) {
        self.all.set_message(what.into());
    }

    /// Records how many bytes of a blob were sent; the number falls when the upload starts again.
    pub fn sending(&self, repository: &Repository, blob: &Descriptor, bytes: u64) {
        let Ok(mut sent) = self.sent.lock() else { return };
        let key = (repository.clone(), blob.digest.clone());
        // A blob that waits for a free connection has no bar.
        if bytes == 0 && !sent.sending.contains_key(&key) {
            return;
        }
        let bar = sent.sending.entry(key).or_insert_with(|| {
            let bar = ProgressBar::new(blob.size).with_style(style(OF_ONE));
            self.screen.insert_before(&self.all, bar.with_message(format!("{repository} {}", blob.digest.short())))
        });
        bar.set_position(bytes);
        self.all.set_position(sent.bytes());
    }

    /// Records that a blob is in the store, and removes its bar.
    pub fn stored(&self, repository: &Repository, blob: &Digest, bytes: u64) {
        let Ok(mut sent) = self.sent.lock() else { return };
        if let Some(bar) = sent.sending.remove(&(repository.clone(), blob.clone())) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
        sent.stored += bytes;
        self.all.set_position(sent.bytes());
    }

    /// Returns a line of progress if ten seconds have passed since the last one.
    pub fn line(&self) -> Option<String> {
        let mut sent = self.sent.lock().ok()?;
        sent.is_due(self.all.elapsed()).then(|| {
            let rate = self.all.per_sec();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bytes in a second, to be read"
            )]
            let rate = BinaryBytes(rate as u64);
            let (bytes, length) = (sent.bytes(), self.all.length().unwrap_or_default());
            let percent = bytes * 100 / length.max(1);
            let left = HumanDuration(self.all.eta());
            format!("sent {} of {} ({percent} %), {rate}/s, {left} left", BinaryBytes(bytes), BinaryBytes(length))
        })
    }

    pub fn clear(&self) {
        if let Ok(mut sent) = self.sent.lock() {
            for bar in std::mem::take(&mut sent.sending).into_values() {
                bar.finish_and_clear();
            }
        }
        self.all.finish_and_clear();
    }
}

impl Sent {
    fn bytes(&self) -> u64 {
        self.stored + self.sending.values().map(ProgressBar::position).sum::<u64>()
    }

    fn is_due(&mut self, elapsed: Duration) -> bool {
        let lines = elapsed.as_millis() / BETWEEN_LINES.as_millis();
        let due = lines > self.lines;
        self.lines = lines.max(self.lines);
        due
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_once_for_each_span_however_often_it_is_asked() {
        let mut sent = Sent::default();
        let due: Vec<u64> = [0, 9, 10, 11, 19, 20, 45, 45, 49, 50]
            .into_iter()
            .filter(|seconds| sent.is_due(Duration::from_secs(*seconds)))
            .collect();
        assert_eq!(due, [10, 20, 45, 50]);
    }

    #[test]
    fn all_is_what_is_stored_and_what_is_on_its_way() {
        let bars = Bars::new(ProgressDrawTarget::hidden());
        let (here, there): (Repository, Repository) = ("here".parse().unwrap(), "there".parse().unwrap());
        let one = Descriptor { size: 100, ..Descriptor::of("application/octet-stream", b"one") };
        let other = Descriptor { size: 50, ..Descriptor::of("application/octet-stream", b"other") };
        bars.start(250);
        let position = |what: &str, expected| assert_eq!(bars.all.position(), expected, "{what}");
        bars.sending(&here, &one, 0);
        assert!(bars.sent.lock().unwrap().sending.is_empty(), "it waits");
        bars.sending(&here, &one, 70);
        bars.sending(&there, &one, 10);
        bars.sending(&here, &other, 20);
        position("three at once", 100);
        bars.sending(&here, &one, 0);
        position("one starts again", 30);
        bars.sending(&here, &one, 100);
        bars.stored(&here, &one.digest, 100);
        bars.stored(&here, &other.digest, 50);
        position("one is still on its way", 160);
        bars.stored(&there, &one.digest, 100);
        position("all are stored", 250);
        assert!(bars.sent.lock().unwrap().sending.is_empty());
    }
}
