//! How much memory is left: `/proc/meminfo` for the host, drawn into the control group's limit.

use super::proc_file::{Buffer, ProcFile};
use super::reading::{Absence, Reading};
use std::path::Path;

/// What `/proc/meminfo` says, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meminfo {
    pub total_bytes: u64,
    /// What can be used without swapping. Kernels before 3.14 do not estimate it.
    pub available_bytes: Option<u64>,
    pub swap_total_bytes: Option<u64>,
    pub swap_free_bytes: Option<u64>,
}

/// Parses `/proc/meminfo`; none without a total.
pub fn parse_meminfo(text: &str) -> Option<Meminfo> {
    let bytes = |key: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let mut words = value.split_ascii_whitespace();
        let number: u64 = words.next()?.parse().ok()?;
        // All sizes are in kB of 1024 bytes; another unit would be a format we do not know.
        (words.next() == Some("kB")).then(|| number.saturating_mul(1024))
    };
    Some(Meminfo {
        total_bytes: bytes("MemTotal").filter(|total| *total > 0)?,
        available_bytes: bytes("MemAvailable"),
        swap_total_bytes: bytes("SwapTotal"),
        swap_free_bytes: bytes("SwapFree"),
    })
}

/// Figures of one sample, in bytes.
#[derive(Debug)]
pub struct MemoryReading {
    /// The host's memory or the group's limit, whichever is less.
    pub total_bytes: Reading<u64>,
    pub host_total_bytes: Reading<u64>,
    pub available_bytes: Reading<u64>,
    pub swap_total_bytes: Reading<u64>,
    /// Swap used on the whole host.
    pub swap_used_bytes: Reading<u64>,
}

/// The memory this process can still get: the host's, or what its group's limit leaves.
///
/// `group` is the limit and the working set. A working set that is unknown under a known limit
/// makes the answer unknown, since the host's figure may be far above what is granted.
pub fn available_bytes(host_bytes: u64, group: Option<(u64, Reading<u64>)>) -> Reading<u64> {
    match group {
        None => Ok(host_bytes),
        Some((limit_bytes, working_set_bytes)) => {
            Ok(host_bytes.min(limit_bytes.saturating_sub(working_set_bytes?)))
        }
    }
}

#[derive(Debug)]
pub struct MemoryProbe {
    meminfo: ProcFile,
}

impl MemoryProbe {
    pub fn open(proc_root: &Path) -> Self {
        Self {
            meminfo: ProcFile::open(proc_root.join("meminfo")),
        }
    }

    /// Reads the memory; `limit_bytes` and `working_set_bytes` are of the control group.
    pub fn sample(
        &mut self,
        buffer: &mut Buffer,
        limit_bytes: &Reading<u64>,
        working_set_bytes: &Reading<u64>,
    ) -> MemoryReading {
        let meminfo = self.meminfo.parse(buffer, parse_meminfo);
        let lacks = |what: Option<u64>, reason| what.ok_or(Absence::because(reason));
        let host_total_bytes = meminfo.clone().map(|host| host.total_bytes);
        // A limit above what the machine has limits nothing.
        let limit_bytes = match (limit_bytes, &host_total_bytes) {
            (Ok(limit), Ok(host)) if limit >= host => None,
            (limit, _) => limit.as_ref().ok().copied(),
        };
        let total_bytes = match limit_bytes {
            Some(limit) => Ok(limit),
            None => host_total_bytes.clone(),
        };
        let available_bytes = meminfo.clone().and_then(|host| {
            let host = lacks(host.available_bytes, "/proc/meminfo has no MemAvailable")?;
            available_bytes(
                host,
                limit_bytes.map(|limit| (limit, working_set_bytes.clone())),
            )
        });
        let swap_total_bytes = meminfo
            .clone()
            .and_then(|host| lacks(host.swap_total_bytes, "/proc/meminfo has no SwapTotal"));
        let swap_used_bytes = meminfo.and_then(|host| {
            let free = lacks(host.swap_free_bytes, "/proc/meminfo has no SwapFree")?;
            Ok(swap_total_bytes.clone()?.saturating_sub(free))
        });
        MemoryReading {
            total_bytes,
            host_total_bytes,
            available_bytes,
            swap_total_bytes,
            swap_used_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "\
MemTotal:       24684092 kB
MemFree:        24090776 kB
MemAvailable:   24102340 kB
SwapCached:            0 kB
SwapTotal:          2048 kB
SwapFree:           1024 kB
HugePages_Total:       0
";

    fn sampled(limit_bytes: Reading<u64>, working_set_bytes: Reading<u64>) -> MemoryReading {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("meminfo"), MEMINFO).unwrap();
        let mut probe = MemoryProbe::open(directory.path());
        probe.sample(&mut Buffer::default(), &limit_bytes, &working_set_bytes)
    }

    #[test]
    fn meminfo_is_told_in_bytes() {
        let memory = parse_meminfo(MEMINFO).unwrap();
        assert_eq!(memory.total_bytes, 24_684_092 * 1024);
        assert_eq!(memory.available_bytes, Some(24_102_340 * 1024));
        assert_eq!(memory.swap_total_bytes, Some(2 << 20));
    }

    #[test]
    fn odd_meminfo_is_refused_and_old_one_accepted() {
        let old = parse_meminfo("MemTotal: 1024 kB\n").unwrap();
        assert_eq!(old.available_bytes, None);
        for odd in [
            "",
            "MemTotal",
            "MemTotal:",
            "MemTotal: kB",
            "MemTotal: 0 kB",
            "MemTotal: 5",
            "MemTotal: 5 MB",
            "MemTotal: -5 kB",
            "MemTotalX: 5 kB",
        ] {
            assert_eq!(parse_meminfo(odd), None, "{odd:?}");
        }
        let huge = parse_meminfo("MemTotal: 18446744073709551615 kB\n").unwrap();
        assert_eq!(huge.total_bytes, u64::MAX);
    }

    #[test]
    fn the_host_counts_where_nothing_limits() {
        let memory = sampled(Err(Absence::because("none")), Err(Absence::because("none")));
        assert_eq!(memory.total_bytes, Ok(24_684_092 * 1024));
        assert_eq!(memory.available_bytes, Ok(24_102_340 * 1024));
        assert_eq!(memory.swap_used_bytes, Ok(1 << 20));
    }

    #[test]
    fn a_limit_leaves_what_the_working_set_does_not_take() {
        let memory = sampled(Ok(1_000_000), Ok(400_000));
        assert_eq!(memory.total_bytes, Ok(1_000_000));
        assert_eq!(memory.available_bytes, Ok(600_000));
        assert_eq!(memory.host_total_bytes, Ok(24_684_092 * 1024));
        assert_eq!(sampled(Ok(1_000_000), Ok(1_400_000)).available_bytes, Ok(0));
        let unknown = Absence::because("no memory.stat");
        assert_eq!(
            sampled(Ok(1_000_000), Err(unknown.clone())).available_bytes,
            Err(unknown)
        );
    }

    #[test]
    fn a_limit_beyond_the_machine_is_none() {
        let memory = sampled(Ok(1 << 60), Ok(1 << 59));
        assert_eq!(memory.total_bytes, Ok(24_684_092 * 1024));
        assert_eq!(memory.available_bytes, Ok(24_102_340 * 1024));
    }
}
