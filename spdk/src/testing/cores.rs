//! Which core a test gets: SPDK's reactors never sleep, so two on one core share it.

use std::sync::Mutex;

/// How many tests of this process run on each core: the core's number and the count.
static IN_USE: Mutex<Vec<(u32, usize)>> = Mutex::new(Vec::new());

/// A core for one test.
pub(super) struct Core(u32);

impl Core {
    /// The core with the fewest tests. `cargo nextest` runs each test in a process of its own, and
    /// tells in which of its slots.
    pub(super) fn claim() -> Core {
        let allowed = allowed();
        let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT");
        if let Some(slot) = slot.ok().and_then(|slot| slot.parse::<usize>().ok()) {
            return Core(allowed[slot % allowed.len()]);
        }
        let mut in_use = IN_USE.lock().unwrap_or_else(|e| e.into_inner());
        if in_use.is_empty() {
            in_use.extend(allowed.into_iter().map(|core| (core, 0)));
        }
        match in_use.iter_mut().min_by_key(|(_, tests)| *tests) {
            Some((core, tests)) => {
                *tests += 1;
                Core(*core)
            }
            None => Core(0),
        }
    }

    /// As a core mask.
    pub(super) fn mask(&self) -> String {
        mask(self.0)
    }
}

fn mask(core: u32) -> String {
    format!("[{core}]")
}

impl Drop for Core {
    fn drop(&mut self) {
        let mut in_use = IN_USE.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((_, tests)) = in_use.iter_mut().find(|(core, _)| *core == self.0) {
            *tests = tests.saturating_sub(1);
        }
    }
}

/// A core for another process, as a core mask: another one than that of the test which this process runs, if it
/// may use two.
#[cfg(feature = "nvme")]
pub(crate) fn another() -> String {
    let ours = std::env::var(super::CORES).unwrap_or_default();
    let mut masks = allowed().into_iter().rev().map(mask);
    masks.find(|mask| *mask != ours).unwrap_or(ours)
}

/// The cores that this process may use; never empty.
fn allowed() -> Vec<u32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    match parse(list.unwrap_or_default()) {
        cores if cores.is_empty() => vec![0],
        cores => cores,
    }
}

/// The numbers in a list such as `0-3,8`.
fn parse(list: &str) -> Vec<u32> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernels_list_is_read() {
        assert_eq!(super::parse("\t0-2,8\n"), [0, 1, 2, 8]);
        assert!(super::parse("").is_empty());
    }

    #[test]
    fn tests_at_once_get_different_cores() {
        let cores = super::allowed();
        let mut claims: Vec<_> = cores.iter().map(|_| super::Core::claim().0).collect();
        assert!(claims.iter().all(|core| cores.contains(core)));
        claims.dedup();
        // Each was given back before the next was claimed.
        assert_eq!(claims.len(), 1);
        let held: Vec<_> = cores.iter().map(|_| super::Core::claim()).collect();
        let mut numbers: Vec<_> = held.iter().map(|core| core.0).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, cores);
    }
}
