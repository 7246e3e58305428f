//! Progress on standard error: a live line on a terminal, plain lines elsewhere.

use std::cell::Cell;
use std::time::{Duration, Instant};

use console::style;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// How often a step that does not run on a terminal says how far it is.
const PLAIN_INTERVAL: Duration = Duration::from_secs(20);

/// What a step counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes of a file.
    Bytes,
    /// Work items whose number is known.
    Items,
    /// Work items whose number is an estimate.
    AboutItems,
}

/// One step of a task: what it does, how far it is, how long it takes.
pub(crate) struct Step {
    place: String,
    title: String,
    started: Instant,
    view: View,
}

enum View {
    Live(ProgressBar),
    Plain { last: Cell<Instant> },
}

impl Step {
    /// Begins step `index` of `count`.
    pub(crate) fn begin(index: usize, count: usize, title: &str) -> Self {
        let place = format!("[{index}/{count}]");
        let view = if console::Term::stderr().is_term() {
            let bar = ProgressBar::new_spinner();
            bar.set_style(template("{prefix} {spinner} {elapsed} {wide_msg:.dim}"));
            bar.set_prefix(format!("{} {title:<10}", style(&place).dim()));
            bar.enable_steady_tick(Duration::from_millis(120));
            View::Live(bar)
        } else {
            eprintln!("{place} {title} ...");
            View::Plain {
                last: Cell::new(Instant::now()),
            }
        };
        Self {
            place,
            title: title.to_owned(),
            started: Instant::now(),
            view,
        }
    }

    /// Says what the step is doing now.
    pub(crate) fn detail(&self, text: &str) {
        if let View::Live(bar) = &self.view {
            bar.set_message(text.trim().to_owned());
        }
    }

    /// Says how far the step is.
    pub(crate) fn progress(&self, unit: Unit, position: u64, total: u64) {
        let total = total.max(position);
        match &self.view {
            View::Live(bar) => {
                if bar.length() != Some(total) {
                    bar.set_length(total);
                    bar.set_style(template(match unit {
                        Unit::Bytes => {
                            "{prefix} [{bar:24}] {bytes} of {total_bytes} {elapsed}, {eta} left {wide_msg:.dim}"
                        }
                        Unit::Items => {
                            "{prefix} [{bar:24}] {percent}% {elapsed}, {eta} left {wide_msg:.dim}"
                        }
                        Unit::AboutItems => {
                            "{prefix} [{bar:24}] {pos} of about {len} {elapsed}, {eta} left {wide_msg:.dim}"
                        }
                    }));
                }
                bar.set_position(position);
            }
            View::Plain { last } if last.get().elapsed() >= PLAIN_INTERVAL => {
                last.set(Instant::now());
                let far = match unit {
                    Unit::Bytes => format!("{} of {}", HumanBytes(position), HumanBytes(total)),
                    Unit::Items => format!("{}%", 100 * position / total.max(1)),
                    Unit::AboutItems => format!("{position} of about {total}"),
                };
                eprintln!("{} {}: {far}, {}", self.place, self.title, self.elapsed());
            }
            View::Plain { .. } => {}
        }
    }

    /// Prints a line that stays.
    pub(crate) fn note(&self, text: &str) {
        match &self.view {
            View::Live(bar) => bar.println(text),
            View::Plain { .. } => eprintln!("{text}"),
        }
    }

    /// Ends the step well.
    pub(crate) fn done(self, summary: &str) {
        let line = format!(
            "{} {:<10} {} {summary}",
            style(&self.place).dim().for_stderr(),
            self.title,
            style(self.elapsed()).dim().for_stderr()
        );
        if let View::Live(bar) = &self.view {
            bar.finish_and_clear();
        }
        eprintln!("{}", line.trim_end());
    }

    fn elapsed(&self) -> String {
        duration(self.started.elapsed())
    }
}

/// A short duration for people: `0.4 s`, `17 s`, `4 min 05 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// Prints a headline.
pub(crate) fn headline(text: &str) {
    eprintln!("{}", style(text).bold().for_stderr());
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(Duration::from_millis(430)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(17)), "17 s");
        assert_eq!(duration(Duration::from_secs(245)), "4 min 05 s");
    }
}
