//! Who listens on a port already, as far as Linux lets us see it.

use std::fmt;
use std::fs;
use std::path::Path;

/// A process that holds a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortOwner {
    pub name: String,
    pub pid: u32,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Finds the owner by the socket's inode. `None` when it belongs to another user or the system
/// has no `/proc`: the error is useful without it.
pub fn port_owner(port: u16) -> Option<PortOwner> {
    let inodes: Vec<u64> = ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(Path::new("/proc/net").join(table)).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let sockets: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let holds_one = |pid: u32| {
        fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
            files
                .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
                .any(|target| {
                    sockets
                        .iter()
                        .any(|socket| target.as_os_str() == socket.as_str())
                })
        })
    };
    let pid = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .find(|pid| holds_one(*pid))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm"))
        .ok()?
        .trim()
        .to_owned();
    Some(PortOwner { name, pid })
}

/// Rows of `/proc/net/tcp`: `sl local_address rem_address st … inode`, with the port in hex.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const STATE_LISTEN: &str = "0A";
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let local = fields.nth(1)?;
            let state = fields.nth(1)?;
            let inode = fields.nth(5)?;
            let (_, local_port) = local.rsplit_once(':')?;
            let is_it = u16::from_str_radix(local_port, 16) == Ok(port) && state == STATE_LISTEN;
            is_it.then(|| inode.parse().ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_row_is_found_by_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   \
            1: 0100007F:1388 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n";
        assert_eq!(listening_inodes(table, 5000), [4711]);
        assert!(listening_inodes(table, 5001).is_empty());
        assert!(listening_inodes("nonsense\n", 5000).is_empty());
    }

    #[test]
    fn the_owner_of_our_own_port_is_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(
            port_owner(port).map(|owner| owner.pid),
            Some(std::process::id())
        );
    }
}
