use super::super::mounts::parse_mountinfo;
use super::*;
use std::fs;

#[test]
fn membership_is_parsed_for_both_versions() {
    let text =
        "9:name=systemd:/\n4:memory:/a:b\n3:cpu,cpuacct:/x\n0::/user.slice/s\nodd\n1:x\n2:y:no\n";
    let memberships = parse_membership(text);
    let paths: Vec<_> = memberships
        .iter()
        .map(|m| m.path.to_str().unwrap())
        .collect();
    assert_eq!(paths, ["/", "/a:b", "/x", "/user.slice/s"]);
    assert_eq!(memberships[2].controllers, ["cpu", "cpuacct"]);
    assert!(memberships[3].controllers.is_empty());
}

#[test]
fn limits_are_parsed_or_refused() {
    assert_eq!(parse_cpu_max("150000 100000\n"), Some(Some(1.5)));
    assert_eq!(parse_cpu_max("max 100000\n"), Some(None));
    for odd in ["", "max", "0 100000", "1 0", "-1 100000", "a b"] {
        assert_eq!(parse_cpu_max(odd), None, "{odd:?}");
    }
    assert_eq!(
        parse_memory_limit("2147483648\n"),
        Some(Some(2_147_483_648))
    );
    assert_eq!(parse_memory_limit("max\n"), Some(None));
    assert_eq!(parse_memory_limit("9223372036854771712\n"), Some(None));
    assert_eq!(parse_memory_limit("-1"), None);
}

#[test]
fn keyed_lines_are_found_by_their_whole_key() {
    let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\nodd\n";
    assert_eq!(parse_keyed(text, "oom_kill"), Some(3));
    assert_eq!(parse_keyed(text, "oom"), None);
    assert_eq!(parse_keyed(text, "odd"), None);
}

fn mounts(text: &str) -> Vec<Mount> {
    parse_mountinfo(text)
}

#[test]
fn the_hierarchy_is_the_path_below_the_mounted_part() {
    // A container without a cgroup namespace: the host's path, of which the mount shows the end.
    let mounts = mounts(
        "36 31 0:33 /docker/id /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
         41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
    );
    let memberships = parse_membership("4:memory:/docker/id/sub\n1:cpu:/\n0::/a/b\n");
    let memory = find_hierarchy(&mounts, &memberships, "memory").unwrap();
    assert_eq!(memory.version, Version::V1);
    let expected = ["/sys/fs/cgroup/memory/sub", "/sys/fs/cgroup/memory"];
    assert_eq!(memory.levels, expected.map(PathBuf::from));
    // The cpu controller belongs to v1 but is not mounted here: unknown, not v2.
    assert_eq!(find_hierarchy(&mounts, &memberships, "cpu"), None);
    let unified = find_hierarchy(&mounts, &memberships, "io").unwrap();
    assert_eq!((unified.version, unified.levels.len()), (Version::V2, 3));
}

#[test]
fn a_group_outside_the_namespace_falls_back_to_the_mount_itself() {
    let mounts = mounts("41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    for path in ["/../../other", "/"] {
        let memberships = parse_membership(&format!("0::{path}\n"));
        let hierarchy = find_hierarchy(&mounts, &memberships, "memory").unwrap();
        assert_eq!(
            hierarchy.levels,
            [PathBuf::from("/sys/fs/cgroup")],
            "{path}"
        );
    }
}

/// A tree of groups in a temporary directory, with the texts that lead there.
struct Tree {
    root: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn probe(&self, mountinfo: &str, membership: &str) -> CgroupProbe {
        let mountinfo = mountinfo.replace("ROOT", self.root.path().to_str().unwrap());
        CgroupProbe::discover(
            &Ok(parse_mountinfo(&mountinfo)),
            &Ok(parse_membership(membership)),
        )
    }
}

const V2: &str = "41 31 0:38 / ROOT rw - cgroup2 cgroup2 rw\n";

#[test]
fn version_2_takes_the_least_limit_of_all_ancestors() {
    let tree = Tree::new();
    tree.write("a/cpu.max", "150000 100000\n");
    tree.write("a/cpu.stat", "usage_usec 1000000\nthrottled_usec 5000\n");
    tree.write("a/memory.max", "1000000\n");
    tree.write("a/memory.current", "700000\n");
    tree.write("a/memory.stat", "anon 1\ninactive_file 200000\n");
    tree.write("a/memory.swap.current", "17\n");
    tree.write("a/memory.events", "low 0\noom 2\noom_kill 1\n");
    tree.write("a/b/cpu.max", "max 100000\n");
    tree.write("a/b/memory.max", "2000000\n");
    let mut probe = tree.probe(V2, "0::/a/b\n");
    let mut buffer = Buffer::default();
    probe.refresh_limits(&mut buffer);
    probe.refresh_swap(&mut buffer);
    let first = probe.sample(&mut buffer, &Interval::between(None, 0));
    assert_eq!(
        (first.quota_cpus, first.quota_source),
        (Ok(1.5), Ok("cgroup2:cpu.max"))
    );
    assert_eq!(first.used_cpus, Err(Absence::FIRST_SAMPLE));
    assert_eq!(first.memory_limit_bytes, Ok(1_000_000));
    assert_eq!(first.memory_limit_source, Ok("cgroup2:memory.max"));
    assert_eq!(first.working_set_bytes, Ok(500_000));
    assert_eq!((first.swap_used_bytes, first.oom_kills), (Ok(17), Ok(1)));

    tree.write("a/cpu.stat", "usage_usec 2500000\nthrottled_usec 45000\n");
    let second = probe.sample(&mut buffer, &Interval::between(Some(0), 2_000_000));
    assert_eq!(
        (second.used_cpus, second.throttled_ms_per_s),
        (Ok(0.75), Ok(20.0))
    );

    // A limit changed while the process runs is seen at the next refresh.
    tree.write("a/b/memory.max", "300000\n");
    probe.refresh_limits(&mut buffer);
    probe.refresh_swap(&mut buffer);
    let third = probe.sample(&mut buffer, &Interval::between(Some(0), 1_000_000));
    assert_eq!(third.memory_limit_bytes, Ok(300_000));
}

#[test]
fn version_1_reads_its_own_files() {
    let tree = Tree::new();
    tree.write("cpu/x/cpu.cfs_quota_us", "50000\n");
    tree.write("cpu/x/cpu.cfs_period_us", "100000\n");
    tree.write("cpu/cpu.cfs_quota_us", "-1\n");
    tree.write("cpu/cpu.cfs_period_us", "100000\n");
    tree.write(
        "cpu/x/cpu.stat",
        "nr_periods 9\nnr_throttled 2\nthrottled_time 7000000\n",
    );
    tree.write("cpu/x/cpuacct.usage", "4000000000\n");
    tree.write("memory/memory.limit_in_bytes", "9223372036854771712\n");
    tree.write("memory/memory.usage_in_bytes", "5000\n");
    tree.write("memory/memory.memsw.usage_in_bytes", "6000\n");
    tree.write(
        "memory/memory.stat",
        "inactive_file 1\ntotal_inactive_file 2000\n",
    );
    tree.write(
        "memory/memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
    );
    let mut probe = tree.probe(
        "1 1 0:1 / ROOT/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
         2 1 0:2 / ROOT/memory rw - cgroup cgroup rw,memory\n",
        "3:cpu,cpuacct:/x\n2:memory:/\n",
    );
    let mut buffer = Buffer::default();
    probe.refresh_limits(&mut buffer);
    probe.refresh_swap(&mut buffer);
    probe.sample(&mut buffer, &Interval::between(None, 0));
    tree.write("cpu/x/cpu.stat", "throttled_time 17000000\n");
    tree.write("cpu/x/cpuacct.usage", "4250000000\n");
    let sample = probe.sample(&mut buffer, &Interval::between(Some(0), 1_000_000));
    assert_eq!((sample.quota_cpus, sample.used_cpus), (Ok(0.5), Ok(0.25)));
    assert_eq!(sample.throttled_ms_per_s, Ok(10.0));
    assert_eq!(sample.memory_limit_bytes, Err(NO_MEMORY_LIMIT));
    assert_eq!(sample.working_set_bytes, Ok(3_000));
    assert_eq!(
        (sample.swap_used_bytes, sample.oom_kills),
        (Ok(1_000), Ok(4))
    );
    assert_eq!(probe.pressure_directory(), None);
}

#[test]
fn without_groups_every_figure_says_why_it_is_absent() {
    let mut probe = CgroupProbe::discover(&Ok(vec![]), &Ok(vec![]));
    let mut buffer = Buffer::default();
    probe.refresh_limits(&mut buffer);
    probe.refresh_swap(&mut buffer);
    let sample = probe.sample(&mut buffer, &Interval::between(None, 0));
    let why = "no control group hierarchy is mounted";
    assert_eq!(sample.quota_cpus.unwrap_err().reason(), why);
    assert_eq!(sample.memory_limit_bytes.unwrap_err().reason(), why);
    assert_eq!(sample.oom_kills.unwrap_err().reason(), why);
}
