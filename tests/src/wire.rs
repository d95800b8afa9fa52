//! One connection in the hands of a test: what is sent is sent as it is, from the address that was
//! asked for, and the connection is kept for as long as the server keeps it.
//!
//! [`crate::client`] opens a connection for each request, so that each has one fate; a test that
//! sends ten thousand, or no HTTP at all, or for ten seconds nothing, does it here.

use std::io::{BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketType, sockopt};

use crate::client::{Answer, read_answer_unless_endless};

/// Longer than any answer of a healthy server.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A connection to a server on the loopback address.
#[derive(Debug)]
pub struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    #[track_caller]
    pub fn open(port: u16) -> Wire {
        Wire::open_from(Ipv4Addr::LOCALHOST, port)
    }

    /// Opens a connection from another address of this machine; all of 127.0.0.0/8 is.
    #[track_caller]
    pub fn open_from(source: Ipv4Addr, port: u16) -> Wire {
        match connect_from(source, port, None) {
            Ok(stream) => Wire::over(stream),
            Err(error) => panic!("no connection from {source}: {error}"),
        }
    }

    fn over(stream: TcpStream) -> Wire {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let limit = Some(ANSWER_LIMIT);
        stream.set_read_timeout(limit).expect("a read timeout");
        stream.set_write_timeout(limit).expect("a write timeout");
        Wire {
            reader: BufReader::new(stream),
        }
    }

    /// Sends bytes. That the server has closed already is no error here: what it said before
    /// that can still be read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.reader.get_mut().write_all(bytes);
    }

    /// Says that nothing more will come, and leaves the other direction open.
    pub fn end_sending(&self) {
        let _ = self.reader.get_ref().shutdown(std::net::Shutdown::Write);
    }

    /// Reads one answer; of a stream of events its head. `head_only` is for the answer to a HEAD.
    ///
    /// # Errors
    /// The connection ended before the answer did.
    pub fn answer(&mut self, head_only: bool) -> std::io::Result<Answer> {
        read_answer_unless_endless(&mut self.reader, head_only)
    }

    /// The same for an answer that may never come.
    ///
    /// # Errors
    /// It has not come within the limit, or the connection ended.
    pub fn answer_within(&mut self, limit: Duration) -> std::io::Result<Answer> {
        self.reader.get_ref().set_read_timeout(Some(limit))?;
        self.answer(false)
    }

    /// Everything that still comes before the server closes.
    ///
    /// # Errors
    /// It did not close within the limit.
    pub fn rest(&mut self, limit: Duration) -> std::io::Result<Vec<u8>> {
        self.reader.get_ref().set_read_timeout(Some(limit))?;
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            // A reset is a close, too: something that was sent had not been read.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(bytes),
            Err(error) => Err(error),
        }
    }
}

/// A plain socket from `source`, with a receive buffer of `receive_bytes` if that matters: it has
/// to be set before the window is negotiated.
///
/// # Errors
/// What the system says.
pub fn connect_from(
    source: Ipv4Addr,
    port: u16,
    receive_bytes: Option<usize>,
) -> std::io::Result<TcpStream> {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    if let Some(bytes) = receive_bytes {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    Ok(TcpStream::from(socket))
}
