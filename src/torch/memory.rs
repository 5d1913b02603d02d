//! How much memory is free, for plans, and what is said where it was too little.

use std::cell::RefCell;
use std::fs;

use tch::Device;

use super::error::TorchError;
use super::runtime;

thread_local! {
    /// For people; an engine lives on one thread, and so do its notes.
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what a person should know of short memory, and logs what libtorch said.
pub(super) fn note(text: String, error: &TorchError) {
    tracing::warn!("{error}; {text}");
    NOTES.with_borrow_mut(|notes| notes.push(text));
}

/// What was kept on this thread since the last call.
pub(super) fn notes() -> Vec<String> {
    NOTES.take()
}

/// Bytes that a new use could take without displacing another; `None` where the system does not
/// tell.
#[must_use]
pub fn free(device: Device) -> Option<usize> {
    let bytes = match device {
        Device::Cuda(index) => {
            let gpu = runtime::init().cuda.devices().iter().find(|gpu| gpu.index == index)?;
            let used = gpu.load().and_then(|load| load.used);
            // Without the driver's word half of it may be someone else's.
            used.map_or(gpu.memory / 2, |used| gpu.memory.saturating_sub(used))
        }
        _ => {
            let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
            let group = |name: &str| read(&format!("/sys/fs/cgroup/memory.{name}"));
            let number = |name: &str| group(name).trim().parse().ok();
            let current = number("current").map(|n: u64| n.saturating_sub(files(&group("stat"))));
            on_host(&read("/proc/meminfo"), number("max"), current)?
        }
    };
    usize::try_from(bytes).ok()
}

/// Bytes of a container's `memory.stat` that are files' pages nobody has looked at lately: the
/// system takes them back when memory is asked for.
fn files(stat: &str) -> u64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// The lower of `MemAvailable` (kB, `/proc/meminfo`) and what a container's limit leaves.
fn on_host(meminfo: &str, limit: Option<u64>, current: Option<u64>) -> Option<u64> {
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kib| kib.saturating_mul(1024));
    let left = limit.map(|limit| limit.saturating_sub(current.unwrap_or(0)));
    match (available, left) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_may_leave_less_than_the_machine() {
        let meminfo = "MemTotal: 9000 kB\nMemAvailable:    100 kB\n";
        assert_eq!(on_host(meminfo, None, None), Some(102_400));
        assert_eq!(on_host(meminfo, Some(5000), Some(1000)), Some(4000));
        assert_eq!(on_host(meminfo, Some(5000), Some(6000)), Some(0));
        assert_eq!(on_host("", Some(5000), None), Some(5000));
        assert_eq!(on_host("", None, None), None);
        assert_eq!(files("anon 5\ninactive_file 77\nactive_file 8\n"), 77);
        assert_eq!(files(""), 0);
    }
}
