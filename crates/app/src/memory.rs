//! The default memory limit, and the peak memory of this process.
//!
//! Promise: the smaller of the machine's memory and its control group's is used; outside Linux a safe
//! default. It does not enforce the limit: that is `flow::Budget`.

use std::fs;

/// The memory that is assumed if the system does not report it.
const ASSUMED_BYTES: u64 = 4 << 30;

/// Half of the memory that this process may use: the smaller of the machine's memory and the limit of its
/// control group.
pub(crate) fn default_budget_bytes() -> u64 {
    let machine = meminfo("MemTotal:").unwrap_or(ASSUMED_BYTES);
    let group = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
    .min()
    .unwrap_or(machine);
    machine.min(group) / 2
}

/// The largest resident size of this process so far.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&status, "VmHWM:")
}

/// The present resident size of this process.
pub(crate) fn rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&status, "VmRSS:")
}

fn meminfo(key: &str) -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, key)
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    let number: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(number * 1024)
}
