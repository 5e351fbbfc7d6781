//! The network thread: one small asynchronous runtime for everything that talks to the building.

use crate::adapters::mqtt::{Client, Ending};
use crate::ports::{PortError, Recovery};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// The running network thread. [`Net::stop`] ends it in good order; dropping it breaks the connection without a
/// word, so that the broker publishes the last will.
#[derive(Debug)]
pub struct Net {
    ending: watch::Sender<Ending>,
    thread: Option<JoinHandle<()>>,
}

impl Net {
    /// Starts the thread. It runs whether or not there is a broker.
    ///
    /// # Errors
    /// The system has no thread, timer or poller left.
    pub fn start(mqtt: Client) -> Result<Net, PortError> {
        let failed = |e| PortError::new("start the network thread", e, "free some memory", Recovery::Degrade);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (ending, asked) = watch::channel(Ending::Running);
        let life = move || {
            runtime.block_on(mqtt.run(asked));
            // A name look-up that hangs must not hold the process.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("net".into()).spawn(life).map_err(failed)?;
        Ok(Net { ending, thread: Some(thread) })
    }

    /// Hands out what is left, says `offline`, disconnects, and waits for the thread: at most about six seconds.
    pub fn stop(mut self) {
        self.end(Ending::Goodbye);
    }

    fn end(&mut self, how: Ending) {
        self.ending.send_replace(how);
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the network thread had panicked");
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end(Ending::Abandon);
        }
    }
}
