//! Starts children, all from one thread.
//!
//! A child asks the kernel to be killed when its parent dies, and to the kernel the parent is the
//! *thread* that forked. The threads of an async runtime come and go, so one thread that stays for
//! as long as the executor does all of the forking. It also keeps fork and exec, milliseconds on a
//! slow file system, off the threads that serve requests.

use std::io;
use std::sync::mpsc;

use parking_lot::Mutex;
use tokio::process::Command;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::family::Family;

#[derive(Default)]
pub(super) struct Spawner {
    /// Started with the first child: a server without process tasks does without the thread.
    orders: Mutex<Option<mpsc::Sender<Order>>>,
}

struct Order {
    command: Command,
    mark: Vec<String>,
    runtime: Handle,
    /// If nobody takes the child any more, it is ended by being dropped.
    reply: oneshot::Sender<io::Result<Family>>,
}

impl Spawner {
    /// Starts a child. `mark` are entries of its environment by which its descendants are known.
    pub(super) async fn spawn(&self, command: Command, mark: Vec<String>) -> io::Result<Family> {
        let (reply, started) = oneshot::channel();
        let order = Order {
            command,
            mark,
            runtime: Handle::current(),
            reply,
        };
        self.send(order)?;
        started.await.map_err(|_| gone())?
    }

    fn send(&self, order: Order) -> io::Result<()> {
        let mut orders = self.orders.lock();
        if orders.is_none() {
            // At most one order a slot is under way, so the channel needs no bound of its own.
            let (sender, receiver) = mpsc::channel();
            std::thread::Builder::new()
                .name("autom8-spawn".to_owned())
                .spawn(move || carry_out(&receiver))?;
            *orders = Some(sender);
        }
        let sent = orders
            .as_ref()
            .is_some_and(|sender| sender.send(order).is_ok());
        if sent { Ok(()) } else { Err(gone()) }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts processes is gone")
}

fn carry_out(orders: &mpsc::Receiver<Order>) {
    while let Ok(order) = orders.recv() {
        let started = Family::spawn(order.command, order.mark, order.runtime);
        let _ = order.reply.send(started);
    }
}
