//! How much CPU this process may use, and how much of that is used: the figure that "peak CPU"
//! is judged by.

use super::cgroup::CgroupReading;
use super::cpu::CpuReading;
use super::process::ProcessReading;
use super::reading::{Reading, percent};

/// The CPU granted in one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuGrant {
    /// CPUs' worth of time that this process may use.
    pub effective_cpus: Reading<f64>,
    /// Used share of it.
    pub percent: Reading<f64>,
    /// What sets it: a file of the control group, or `cpus`.
    pub source: &'static str,
}

impl CpuGrant {
    /// A quota below the number of CPUs binds, and its group's use counts. Otherwise the CPUs that
    /// the process may run on are the grant, and their busy share counts, whoever keeps them busy.
    pub fn decide(cgroup: &CgroupReading, cpu: &CpuReading, process: &ProcessReading) -> Self {
        let allowed = process.allowed_cpus.as_ref().map(|cpus| cpus.len() as f64);
        let allowed = allowed.map_err(Clone::clone);
        let quota = cgroup.quota_cpus.as_ref().ok().copied();
        let binding = quota.filter(|quota| allowed.as_ref().is_ok_and(|cpus| quota < cpus));
        let Some(quota) = binding else {
            return Self {
                effective_cpus: allowed,
                percent: cpu.allowed_percent.clone(),
                source: "cpus",
            };
        };
        Self {
            effective_cpus: Ok(quota),
            percent: cgroup.used_cpus.clone().map(|used| percent(used, quota)),
            source: cgroup.quota_source.clone().unwrap_or("cgroup"),
        }
    }
}
