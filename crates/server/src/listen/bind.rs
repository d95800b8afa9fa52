//! Opening the socket that `autom8 serve` listens on.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use super::port_owner::{PortOwner, port_owner};

/// An open socket. A Unix socket's file is removed with it.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Socket,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

/// Where a listener can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundTo {
    /// With the port that was really taken, if port 0 was asked for.
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for BoundTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundTo::Tcp(address) => write!(f, "http://{address}"),
            BoundTo::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why we cannot listen, with the fix in the message.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{address} is in use by {}.\n  Fix: stop it, or choose another port: autom8 serve --port {suggestion}",
        .owner.as_ref().map_or_else(|| "another process".to_owned(), PortOwner::to_string)
    )]
    Busy {
        address: SocketAddr,
        owner: Option<PortOwner>,
        suggestion: u16,
    },
    #[error(
        "this user may not listen on {address}.\n  Fix: choose a port of 1024 or higher: autom8 serve --port 5000"
    )]
    NotAllowed { address: SocketAddr },
    #[error(
        "{address} is not an address of this machine.\n  Fix: listen on one that is: autom8 serve --listen 127.0.0.1"
    )]
    NoSuchAddress { address: SocketAddr },
    #[error(
        "another process listens on {path}.\n  Fix: stop it, or choose another path: autom8 serve --listen unix:PATH"
    )]
    BusyPath { path: PathBuf },
    #[error(
        "{path} exists and is not a socket.\n  Fix: choose another path: autom8 serve --listen unix:PATH"
    )]
    NotASocket { path: PathBuf },
    #[error("cannot listen on {address}: {source}.\n  Fix: check --listen and --port")]
    Other { address: String, source: io::Error },
}

impl Listener {
    /// # Errors
    /// [`ListenError::Busy`] names the owner and a port that was free a moment ago.
    pub async fn tcp(address: SocketAddr) -> Result<Self, ListenError> {
        let other = |source| ListenError::Other {
            address: address.to_string(),
            source,
        };
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => ListenError::Busy {
                    address,
                    owner: port_owner(address.port()),
                    suggestion: free_port_after(address),
                },
                io::ErrorKind::PermissionDenied => ListenError::NotAllowed { address },
                io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress { address },
                _ => other(error),
            })?;
        let bound = listener.local_addr().map_err(other)?;
        Ok(Listener {
            socket: Socket::Tcp(listener, bound),
        })
    }

    /// Takes the place of a socket file that nobody listens on any more; the new one is for this
    /// user alone (0600). Needs a Tokio runtime.
    pub fn unix(path: &Path) -> Result<Self, ListenError> {
        let other = |source| ListenError::Other {
            address: format!("unix:{}", path.display()),
            source,
        };
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ListenError::NotASocket {
                    path: path.to_owned(),
                });
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(ListenError::BusyPath {
                    path: path.to_owned(),
                });
            }
            Ok(_) => fs::remove_file(path).map_err(other)?,
            Err(_) => {}
        }
        // Between bind and chmod the umask rules; a stricter umask would belong to the whole
        // process and race with every file that is made meanwhile.
        let listener = UnixListener::bind(path).map_err(other)?;
        let file = SocketFile {
            path: path.to_owned(),
        };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(other)?;
        Ok(Listener {
            socket: Socket::Unix(listener, file),
        })
    }

    pub fn bound_to(&self) -> BoundTo {
        match &self.socket {
            Socket::Tcp(_, address) => BoundTo::Tcp(*address),
            Socket::Unix(_, file) => BoundTo::Unix(file.path.clone()),
        }
    }
}

/// Removes the file when the listener goes.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The directory may be gone already; nothing depends on the removal.
        let _ = fs::remove_file(&self.path);
    }
}

/// A port above `address`'s that can be bound right now.
fn free_port_after(address: SocketAddr) -> u16 {
    const PORTS_TRIED_MAX: u16 = 20;
    let next = address.port().saturating_add(1);
    (next..next.saturating_add(PORTS_TRIED_MAX))
        .find(|port| std::net::TcpListener::bind((address.ip(), *port)).is_ok())
        .unwrap_or(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_port_names_its_owner_and_a_port_that_is_free() {
        let first = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let BoundTo::Tcp(address) = first.bound_to() else {
            panic!("not TCP")
        };
        let error = Listener::tcp(address).await.unwrap_err();
        let text = error.to_string();
        let ListenError::Busy {
            owner, suggestion, ..
        } = error
        else {
            panic!("{text}")
        };
        assert_eq!(owner.map(|owner| owner.pid), Some(std::process::id()));
        assert!(
            text.contains(&format!("(pid {})", std::process::id())),
            "{text}"
        );
        assert!(
            text.contains(&format!("autom8 serve --port {suggestion}")),
            "{text}"
        );
        Listener::tcp(SocketAddr::new(address.ip(), suggestion))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused_with_the_fix() {
        let error = Listener::tcp("192.0.2.1:5000".parse().unwrap())
            .await
            .unwrap_err();
        assert!(
            matches!(error, ListenError::NoSuchAddress { .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_unix_socket_is_for_its_user_alone_and_leaves_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("autom8.sock");
        let listener = Listener::unix(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(
            Listener::unix(&path),
            Err(ListenError::BusyPath { .. })
        ));
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_socket_file_is_replaced_and_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        Listener::unix(&dead).unwrap();
        let file = folder.path().join("notes.txt");
        fs::write(&file, "keep me").unwrap();
        assert!(matches!(
            Listener::unix(&file),
            Err(ListenError::NotASocket { .. })
        ));
        assert_eq!(fs::read_to_string(&file).unwrap(), "keep me");
    }
}
