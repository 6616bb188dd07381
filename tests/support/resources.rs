//! What a process uses, as Linux tells.

use std::fs;

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
}

impl Resources {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| name.to_owned())?;
            Ok::<_, anyhow::Error>(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
        };
        Ok(Resources {
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: fs::read_dir(format!("/proc/{pid}/task"))?.count(),
            memory: kilobytes("VmRSS:")?,
            peak_memory: kilobytes("VmHWM:")?,
        })
    }
}
