//! What the machine is, and what a process costs it: read from `/proc`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::folder::TempFolder;
use tokio::time::Instant;

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Costs {
    /// Processor time in user mode and in the kernel.
    pub(crate) processor: Duration,
    /// Memory that is in RAM now, in KiB.
    pub(crate) resident_kib: u64,
    /// The most that ever was.
    pub(crate) most_resident_kib: u64,
    /// Bytes it caused to be written to disk.
    pub(crate) written: u64,
}

/// Kernels count processor time for `/proc` in hundredths of a second on every architecture we build for.
const TICK: Duration = Duration::from_millis(10);

/// What the process `id` has used; `self` is this one.
pub(crate) fn costs(id: &str) -> io::Result<Costs> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}"));
    let status = read("status")?;
    Ok(Costs {
        processor: Stat::parse(&read("stat")?).own,
        resident_kib: number_after(&status, "VmRSS:"),
        most_resident_kib: number_after(&status, "VmHWM:"),
        written: number_after(&read("io").unwrap_or_default(), "write_bytes:"),
    })
}

impl std::iter::Sum for Costs {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            processor: sum.processor + one.processor,
            resident_kib: sum.resident_kib + one.resident_kib,
            most_resident_kib: sum.most_resident_kib + one.most_resident_kib,
            written: sum.written + one.written,
        })
    }
}

/// Processor time of the process `id` and of those that it has started, whether or not they have ended.
pub(crate) fn family(id: u32) -> io::Result<Duration> {
    let parent = Stat::parse(&fs::read_to_string(format!("/proc/{id}/stat"))?);
    let mut processor = parent.own + parent.of_ended;
    for entry in fs::read_dir("/proc")?.flatten() {
        // One that has ended since is among those that have.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let stat = Stat::parse(&stat);
        if stat.parent == id {
            processor += stat.own;
        }
    }
    Ok(processor)
}

/// What `/proc/…/stat` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own: Duration,
    of_ended: Duration,
}

impl Stat {
    /// proc(5): the fields 4, 14 and 15, and 16 and 17 of all; the second, in parentheses, may hold spaces.
    fn parse(stat: &str) -> Self {
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let numbers: Vec<u32> = fields.split(' ').map(|field| field.parse().unwrap_or_default()).collect();
        let number = |field: usize| numbers.get(field - 3).copied().unwrap_or_default();
        Self { parent: number(4), own: TICK * (number(14) + number(15)), of_ended: TICK * (number(16) + number(17)) }
    }
}

/// The number behind `name` at the beginning of a line; 0 where there is none.
fn number_after(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The processor's model and how many there are.
pub(crate) fn processor() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{cores} cores, {}", model.map_or("unknown model", |(_, model)| model))
}

/// The kernel's release.
pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Makes a new folder in `parent`, which must not be in memory.
pub(crate) fn folder_on_disk(parent: &Path) -> io::Result<TempFolder> {
    fs::create_dir_all(parent)?;
    TempFolder::inside(&on_disk(parent)?)
}

/// `folder` without links in its path, if it is not in memory.
pub(crate) fn on_disk(folder: &Path) -> io::Result<PathBuf> {
    let folder = folder.canonicalize()?;
    let (kind, _) = file_system(&folder)?;
    if is_in_memory(&kind) {
        return Err(io::Error::other(format!(
            "{} is on {kind}, which is in memory: what is measured there is no durable sign-in; give a folder on a disk, \
             with --data or, for PostgreSQL, in TMPDIR",
            folder.display()
        )));
    }
    Ok(folder)
}

fn is_in_memory(kind: &str) -> bool {
    matches!(kind, "tmpfs" | "ramfs" | "rootfs" | "hugetlbfs")
}

/// The kind and the source of the file system that `path`, an absolute one without links, is on.
fn file_system(path: &Path) -> io::Result<(String, String)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let found = file_system_in(&mounts, path);
    found.ok_or_else(|| io::Error::other(format!("cannot tell which file system {} is on", path.display())))
}

/// `proc_pid_mountinfo(5)`: the mount point is the fifth field; kind and source come behind a field that is a dash. Of several, the
/// longest is the nearest, and of equals the last lies on top.
fn file_system_in(mounts: &str, path: &Path) -> Option<(String, String)> {
    let mounted = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?;
        let mut kind = kind.split(' ');
        path.starts_with(point).then_some((point.len(), kind.next()?, kind.next()?))
    });
    mounted.max_by_key(|(length, ..)| *length).map(|(_, kind, source)| (kind.to_owned(), source.to_owned()))
}

/// What the folder's disk is, and how long it takes to make 4 KiB durable.
pub(crate) fn disk(folder: &Path) -> io::Result<String> {
    let (kind, source) = file_system(folder)?;
    let path = folder.join("probe");
    let mut file = fs::File::create(&path)?;
    let mut took = Vec::new();
    for _ in 0..50 {
        file.write_all(&[7; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(began.elapsed());
    }
    fs::remove_file(path)?;
    took.sort_unstable();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    Ok(format!("{kind} on {source}, fdatasync of 4 KiB {} µs (median of {})", median.as_micros(), took.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_name_with_spaces() {
        let stat = "77 (a ) b) S 12 1 1 0 -1 4194560 1 2 3 4 100 20 3000 400 20 0 1 0 5 6 7";
        let found = Stat::parse(stat);
        let expected = Stat { parent: 12, own: Duration::from_millis(1_200), of_ended: Duration::from_secs(34) };
        assert_eq!(found, expected);
    }

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "\
22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /tmp rw,nosuid shared:5 - tmpfs tmpfs rw,size=1g
31 22 0:27 / /home rw - btrfs /dev/vdb rw
32 31 0:28 / /home rw - xfs /dev/vdc rw
";
        let of = |path: &str| file_system_in(mounts, Path::new(path)).unwrap();
        assert_eq!(of("/tmp/x"), ("tmpfs".to_owned(), "tmpfs".to_owned()));
        assert_eq!(of("/tmpx/y"), ("ext4".to_owned(), "/dev/vda".to_owned()));
        assert_eq!(of("/home/ada"), ("xfs".to_owned(), "/dev/vdc".to_owned()));
        assert!(is_in_memory("tmpfs") && !is_in_memory("ext4"));
    }

    #[test]
    fn this_process_costs_something() {
        let costs = costs("self").unwrap();
        assert!(costs.resident_kib > 0 && costs.most_resident_kib >= costs.resident_kib);
        assert!(!kernel().is_empty() && processor().contains("cores"));
    }

    #[test]
    fn numbers_are_found_at_the_beginning_of_a_line() {
        assert_eq!(number_after("VmPeak: 1 kB\nVmRSS:\t  123 kB\n", "VmRSS:"), 123);
        assert_eq!(number_after("", "VmRSS:"), 0);
    }
}
