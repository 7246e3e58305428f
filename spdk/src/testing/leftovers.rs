//! What SPDK and DPDK leave behind on purpose, or when a process of theirs is killed.

use std::fs;

/// Removes the files of a process that has ended: SPDK keeps its trace buffer in shared memory for a
/// look after a crash, 3 MB a process, and DPDK an empty folder. Hundreds of tests would fill the
/// memory with them.
pub fn remove(pid: u32) {
    let trace = format!("_trace.pid{pid}");
    let entries = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().ends_with(&trace) {
            // What cannot be removed stays; the test has its result.
            let _ = fs::remove_file(entry.path());
        }
    }
    // Fails unless it is empty, or not there at all.
    let _ = fs::remove_dir(format!("/var/run/dpdk/spdk_pid{pid}"));
}
