//! The network threads: a small asynchronous runtime each, one for everything that talks to the building, one for the site's
//! directory.

use super::site::SiteDoor;
use crate::adapters::mqtt::{Client, Ending, SiteClient};
use crate::ports::{PortError, Recovery};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// A running network thread. [`Net::stop`] ends it in good order; dropping it breaks the connection without a
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
        Net::spawn("net", move |asked| mqtt.run(asked))
    }

    /// The same for the site's directory, which has a connection and a thread of its own.
    ///
    /// # Errors
    /// As [`Net::start`].
    pub fn site(client: SiteClient, mut door: SiteDoor) -> Result<Net, PortError> {
        Net::spawn("site", move |asked| async move { client.run(&mut door, asked).await })
    }

    fn spawn<F: Future<Output = ()>>(
        name: &str,
        life: impl FnOnce(watch::Receiver<Ending>) -> F + Send + 'static,
    ) -> Result<Net, PortError> {
        let failed = |e| PortError::new("start a network thread", e, "free some memory", Recovery::Degrade);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (ending, asked) = watch::channel(Ending::Running);
        let run = move || {
            runtime.block_on(life(asked));
            // A name look-up that hangs must not hold the process.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(run).map_err(failed)?;
        Ok(Net { ending, thread: Some(thread) })
    }

    /// Hands out what is left, says `offline`, disconnects, and waits for the thread: at most about six seconds.
    pub fn stop(mut self) {
        self.end(Ending::Goodbye);
    }

    fn end(&mut self, how: Ending) {
        self.ending.send_replace(how);
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("a network thread had panicked");
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
