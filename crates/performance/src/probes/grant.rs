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

/// A limit of the control group.
#[derive(Debug, Clone)]
struct Quota {
    cpus: f64,
    used_cpus: Reading<f64>,
    source: &'static str,
}

impl CpuGrant {
    pub fn of(cgroup: &CgroupReading, cpu: &CpuReading, process: &ProcessReading) -> Self {
        let quota = cgroup.quota_cpus.as_ref().ok().map(|cpus| Quota {
            cpus: *cpus,
            used_cpus: cgroup.used_cpus.clone(),
            source: cgroup.quota_source.clone().unwrap_or("cgroup"),
        });
        let allowed_cpus = process.allowed_cpus.as_ref().map(|cpus| cpus.len() as f64);
        Self::decide(
            quota,
            allowed_cpus.map_err(Clone::clone),
            cpu.allowed_percent.clone(),
        )
    }

    /// A quota below the number of CPUs binds, and its group's use counts. Otherwise the CPUs that
    /// the process may run on are the grant, and their busy share counts, whoever keeps them busy.
    fn decide(
        quota: Option<Quota>,
        allowed_cpus: Reading<f64>,
        allowed_percent: Reading<f64>,
    ) -> Self {
        // Where the CPUs are unknown, a quota is the best that is known.
        let binds = |quota: &Quota| {
            allowed_cpus
                .as_ref()
                .map_or(true, |cpus| quota.cpus < *cpus)
        };
        match quota.filter(binds) {
            Some(Quota {
                cpus,
                used_cpus,
                source,
            }) => Self {
                effective_cpus: Ok(cpus),
                percent: used_cpus.map(|used| percent(used, cpus)),
                source,
            },
            None => Self {
                effective_cpus: allowed_cpus,
                percent: allowed_percent,
                source: "cpus",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reading::Absence;
    use super::*;

    fn quota(cpus: f64, used_cpus: Reading<f64>) -> Option<Quota> {
        Some(Quota {
            cpus,
            used_cpus,
            source: "cgroup2:cpu.max",
        })
    }

    #[test]
    fn a_quota_counts_only_where_it_binds() {
        let unknown = Absence::because("unknown");
        for (quota, allowed_cpus, effective_cpus, percent, source) in [
            (None, Ok(4.0), Ok(4.0), Ok(30.0), "cpus"),
            (
                quota(1.5, Ok(0.75)),
                Ok(4.0),
                Ok(1.5),
                Ok(50.0),
                "cgroup2:cpu.max",
            ),
            (quota(4.0, Ok(0.75)), Ok(4.0), Ok(4.0), Ok(30.0), "cpus"),
            (quota(8.0, Ok(0.75)), Ok(4.0), Ok(4.0), Ok(30.0), "cpus"),
            (
                quota(1.5, Err(unknown.clone())),
                Ok(4.0),
                Ok(1.5),
                Err(unknown.clone()),
                "cgroup2:cpu.max",
            ),
            (
                quota(1.5, Ok(0.75)),
                Err(unknown.clone()),
                Ok(1.5),
                Ok(50.0),
                "cgroup2:cpu.max",
            ),
            (
                None,
                Err(unknown.clone()),
                Err(unknown.clone()),
                Ok(30.0),
                "cpus",
            ),
        ] {
            let told = CpuGrant::decide(quota, allowed_cpus, Ok(30.0));
            assert_eq!(
                told,
                CpuGrant {
                    effective_cpus,
                    percent,
                    source
                }
            );
        }
    }
}
