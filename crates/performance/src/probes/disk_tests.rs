use super::super::mounts::parse_mountinfo;
use super::*;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

const DISKSTATS: &str = "\
   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
 254       0 vda 100 6 2000 950 40 3 800 120 0 500 1070 11 66 9 20 8 24
 254       1 vda1 1 2 3 4 5 6 7 8 9 10 11
";

const VDA: DeviceNumber = DeviceNumber {
    major: 254,
    minor: 0,
};

#[test]
fn a_line_is_found_by_its_numbers_and_parsed_by_column() {
    let disk = parse_diskstats(DISKSTATS, VDA).unwrap();
    assert_eq!(
        (disk.device.as_str(), disk.reads, disk.read_time_ms),
        ("vda", 100, 950)
    );
    assert_eq!((disk.writes, disk.write_time_ms), (40, 120));
    assert_eq!(
        (disk.read_bytes, disk.write_bytes),
        (2_000 * 512, 800 * 512)
    );
    assert_eq!((disk.busy_time_ms, disk.weighted_time_ms), (500, 1_070));
    assert_eq!(disk.flushes, Some((8, 24)));
    // Eleven columns are those of a kernel before 4.18.
    let old = parse_diskstats(
        DISKSTATS,
        DeviceNumber {
            major: 254,
            minor: 1,
        },
    )
    .unwrap();
    assert_eq!((old.writes, old.flushes), (5, None));
}

#[test]
fn odd_diskstats_are_refused() {
    for odd in [
        "",
        "254 0",
        "254 0 vda 1 2 3",
        "254 0 vda -1 2 3 4 5 6 7 8 9 10 11",
        "x 0 vda",
    ] {
        assert_eq!(parse_diskstats(odd, VDA), None, "{odd:?}");
    }
}

/// A probe on a made-up `/proc`, and the directory that stands for it.
fn probe(line: &str) -> (DiskProbe, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("diskstats"), line).unwrap();
    let mounts = Ok(parse_mountinfo("27 1 254:0 / / rw - ext4 /dev/vda rw\n"));
    let probe = DiskProbe::open(root.path(), root.path(), &mounts, root.path());
    (probe, root)
}

#[test]
fn the_own_file_of_the_device_tells_the_same_as_its_line() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("devices/vda");
    let by_number = root.path().join("dev/block");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(&by_number).unwrap();
    std::os::unix::fs::symlink("../../devices/vda", by_number.join("254:0")).unwrap();
    let own = "     100  6  2000  950  40  3  800  120  0  500  1070  11  66  9  20  8  24\n";
    fs::write(folder.join("stat"), own).unwrap();
    let mounts = Ok(parse_mountinfo("27 1 254:0 / / rw - ext4 /dev/vda rw\n"));
    // There is no list of all, so that nothing but the own file can be the source.
    let mut probe = DiskProbe::open(root.path(), root.path(), &mounts, root.path());
    let sample = probe.sample(&mut Buffer::default(), &Interval::between(None, 0));
    assert_eq!(sample.totals.ok(), parse_diskstats(DISKSTATS, VDA));
    assert_eq!(sample.device.as_deref(), Ok("vda"));

    fs::write(folder.join("stat"), "1 2 3\n").unwrap();
    let odd = probe.sample(&mut Buffer::default(), &Interval::between(None, 0));
    assert!(
        odd.totals
            .unwrap_err()
            .reason()
            .contains("unexpected content")
    );
}

#[test]
fn latency_is_the_time_of_the_interval_over_its_operations() {
    let line = |reads, read_ms, writes, write_ms, flushes, flush_ms| {
        format!(
            "254 0 vda {reads} 0 8 {read_ms} {writes} 0 16 {write_ms} 0 70 900 0 0 0 0 {flushes} {flush_ms}\n"
        )
    };
    let (mut probe, root) = probe(&line(10, 100, 20, 300, 5, 50));
    let mut buffer = Buffer::default();
    let first = probe.sample(&mut buffer, &Interval::between(None, 0));
    assert_eq!(first.read_latency_ms, Err(Absence::FIRST_SAMPLE));
    assert_eq!(first.device.as_deref(), Ok("vda"));

    fs::write(root.path().join("diskstats"), line(10, 100, 30, 305, 7, 53)).unwrap();
    let second = probe.sample(&mut buffer, &Interval::between(Some(0), 2_000_000));
    assert_eq!(
        second.read_latency_ms.unwrap_err().reason(),
        "no reads in the interval"
    );
    assert_eq!((second.read_iops, second.write_iops), (Ok(0.0), Ok(5.0)));
    assert_eq!(
        (second.write_latency_ms, second.flush_latency_ms),
        (Ok(0.5), Ok(1.5))
    );
    assert_eq!(
        (second.busy_percent, second.queue_depth),
        (Ok(0.0), Ok(0.0))
    );
}

#[test]
fn a_wrap_of_the_milliseconds_is_no_latency_of_weeks() {
    let line = |writes: u64, write_ms: u64| {
        format!("254 0 vda 0 0 0 0 {writes} 0 0 {write_ms} 0 0 0 0 0 0 0 0 0\n")
    };
    let (mut probe, root) = probe(&line(10, u64::from(u32::MAX) - 9));
    let mut buffer = Buffer::default();
    probe.sample(&mut buffer, &Interval::between(None, 0));
    fs::write(root.path().join("diskstats"), line(20, 10)).unwrap();
    let sample = probe.sample(&mut buffer, &Interval::between(Some(0), 1_000_000));
    assert_eq!(sample.write_latency_ms, Ok(2.0));
}

#[test]
fn without_a_device_every_figure_says_why() {
    let root = tempfile::tempdir().unwrap();
    let mounts = Ok(parse_mountinfo("1 1 0:30 / / rw - overlay overlay rw\n"));
    let mut probe = DiskProbe::open(Path::new("/proc"), Path::new("/sys"), &mounts, root.path());
    let sample = probe.sample(&mut Buffer::default(), &Interval::between(None, 0));
    assert_eq!(
        sample.write_iops.unwrap_err().reason(),
        "overlay has no block device of its own"
    );
}

#[test]
fn figures_under_direct_writes_equal_the_deltas_of_diskstats() {
    const BLOCK_BYTES: usize = 4_096;
    const WRITES: usize = 32;
    // The build's own folder lies on a disk where the temporary one may be memory.
    let build = std::env::current_exe().unwrap();
    let directory = tempfile::tempdir_in(build.parent().unwrap()).unwrap();
    let mounts = Ok(parse_mountinfo(
        &fs::read_to_string("/proc/self/mountinfo").unwrap(),
    ));
    let mut probe = DiskProbe::open(
        Path::new("/proc"),
        Path::new("/sys"),
        &mounts,
        directory.path(),
    );
    let Ok(device) = device_below(&mounts, directory.path()) else {
        // Checked out onto a file system without a device: the probe must say so, not answer.
        let sample = probe.sample(&mut Buffer::default(), &Interval::between(None, 0));
        assert!(sample.write_latency_ms.is_err());
        return;
    };
    let own = || parse_diskstats(&fs::read_to_string("/proc/diskstats").unwrap(), device).unwrap();
    let mut buffer = Buffer::default();
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32)
        .open(directory.path().join("direct"))
        .unwrap();
    // Direct I/O wants memory aligned to the block.
    let memory = vec![7u8; 2 * BLOCK_BYTES];
    let start = memory.as_ptr().align_offset(BLOCK_BYTES);
    let block = &memory[start..start + BLOCK_BYTES];

    // The test's own readings enclose the probe's: other processes write too, and what the probe
    // saw lies between the inner and the outer difference.
    let before_outer = own();
    probe.sample(&mut buffer, &Interval::between(None, 0));
    let before_inner = own();
    for _ in 0..WRITES {
        file.write_all(block).unwrap();
        file.sync_data().unwrap();
    }
    let after_inner = own();
    let sample = probe.sample(&mut buffer, &Interval::between(Some(0), 1_000_000));
    let after_outer = own();

    let totals = sample.totals.unwrap();
    assert!(after_inner.writes <= totals.writes && totals.writes <= after_outer.writes);
    let least = after_inner.writes - before_inner.writes;
    let most = after_outer.writes - before_outer.writes;
    assert!(
        least as usize >= WRITES,
        "{least} writes reached the device"
    );
    let told = sample.write_iops.unwrap();
    assert!(
        (least as f64..=most as f64).contains(&told),
        "{told} not in {least}..={most}"
    );
    let latency_ms = sample.write_latency_ms.unwrap();
    let time_least = (after_inner.write_time_ms - before_inner.write_time_ms) as f64;
    let time_most = (after_outer.write_time_ms - before_outer.write_time_ms) as f64;
    let bounds = time_least / most as f64 - 0.001..=time_most / least as f64 + 0.001;
    assert!(
        bounds.contains(&latency_ms),
        "{latency_ms} not in {bounds:?}"
    );
}
