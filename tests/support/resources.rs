//! What a process uses, as Linux tells.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// At one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Bytes resident in memory.
    pub(crate) memory: usize,
    /// The most that it ever was.
    pub(crate) peak_memory: usize,
    /// Time that its threads had on a CPU.
    pub(crate) cpu: Duration,
}

impl Resources {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| name.to_owned())?;
            Ok::<_, anyhow::Error>(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
        };
        // utime and stime, in ticks of 10 ms, stand 12th and 13th behind the name in its parentheses.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap_or_default()).sum();
        Ok(Resources {
            cpu: Duration::from_millis(ticks * 10),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: fs::read_dir(format!("/proc/{pid}/task"))?.count(),
            memory: kilobytes("VmRSS:")?,
            peak_memory: kilobytes("VmHWM:")?,
        })
    }
}
