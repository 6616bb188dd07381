//! What a process has used, as the kernel counts it. On systems without `/proc` nothing is known, and nothing is claimed.

use std::fs;
use std::time::Duration;

/// Nanoseconds on a CPU, of all its threads that still live.
pub(super) fn cpu(pid: u32) -> Option<Duration> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let schedstat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        total += schedstat.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(total))
}

/// On a CPU, of all its children that have ended, and theirs.
pub(super) fn cpu_of_ended_children(pid: u32) -> Option<Duration> {
    /// In a second: what the kernel calls USER_HZ, on every Linux.
    const TICKS: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: state is the 3rd field, cutime and cstime are the 16th and 17th.
    let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(13).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}

/// How often its threads that still live went to sleep, and so were woken.
pub(super) fn wake_ups(pid: u32) -> Option<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        let times = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        total += times.trim().parse::<u64>().ok()?;
    }
    Some(total)
}

/// The most memory it ever had resident, in bytes.
pub(super) fn peak_memory(pid: u32) -> Option<u64> {
    memory(pid, "VmHWM:")
}

/// The memory it has resident now, in bytes.
pub(super) fn resident_memory(pid: u32) -> Option<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}
