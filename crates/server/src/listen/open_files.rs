//! Room for connections among the files that this process may open.
//!
//! Every connection is an open file, and so are the database, run logs and the pipes of child
//! processes. A flood of connections must not take the files that the store needs: many systems
//! start a process with 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::limits::ListenLimits;

/// Kept for everything that is no connection: readers of the store, pipes of 64 slots three each,
/// HTTP tasks, and a margin.
const FILES_KEPT: u64 = 512;

/// Raises the limit of open files as far as the system allows and the connections need, and
/// lowers the bound of connections to what fits.
///
/// Children inherit the limit: it is raised to what is needed and no further, since programs
/// exist that walk through all files they might have open.
pub fn with_room(limits: ListenLimits) -> ListenLimits {
    let found = getrlimit(Resource::Nofile);
    let wanted = limits.connections_max as u64 + FILES_KEPT;
    let raised = raised(found.current, found.maximum, wanted);
    let allowed = match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: raised,
            maximum: found.maximum,
        },
    ) {
        Ok(()) => raised,
        Err(_) => found.current,
    };
    let connections_max = fitting(limits.connections_max, allowed);
    if connections_max < limits.connections_max {
        tracing::warn!(
            connections_max,
            "fewer connections than usual: this user may open few files (ulimit -n)"
        );
    }
    ListenLimits {
        connections_max,
        ..limits
    }
}

/// `None` is no limit.
fn raised(current: Option<u64>, maximum: Option<u64>, wanted: u64) -> Option<u64> {
    let current = current?;
    Some(current.max(maximum.map_or(wanted, |maximum| maximum.min(wanted))))
}

/// Half at least goes to connections, however few files there are.
fn fitting(connections_max: usize, files_max: Option<u64>) -> usize {
    let Some(files_max) = files_max else {
        return connections_max;
    };
    let room = files_max.saturating_sub(FILES_KEPT).max(files_max / 2);
    connections_max.min(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_is_needed_and_never_lowered() {
        assert_eq!(raised(Some(1_024), Some(524_288), 10_512), Some(10_512));
        assert_eq!(raised(Some(1_024), Some(4_096), 10_512), Some(4_096));
        assert_eq!(raised(Some(1_024), None, 10_512), Some(10_512));
        assert_eq!(raised(Some(65_536), Some(65_536), 10_512), Some(65_536));
        assert_eq!(raised(None, None, 10_512), None);
    }

    #[test]
    fn connections_leave_room_for_the_store() {
        for (files, expected) in [
            (Some(10_512), 10_000),
            (Some(4_096), 3_584),
            (Some(1_024), 512),
            (Some(256), 128),
            (None, 10_000),
        ] {
            assert_eq!(fitting(10_000, files), expected, "{files:?}");
        }
    }

    #[test]
    fn this_process_gets_its_room() {
        let limits = with_room(ListenLimits {
            connections_max: 64,
            ..ListenLimits::default()
        });
        assert_eq!(limits.connections_max, 64);
        let now = getrlimit(Resource::Nofile).current;
        assert!(now.is_none_or(|files| files >= 64 + FILES_KEPT), "{now:?}");
    }
}
