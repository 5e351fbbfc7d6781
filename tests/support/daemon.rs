//! A daemon that ends with the value that holds it.

use std::process::Child;

pub struct Daemon(pub Child);

impl Daemon {
    /// As systemd stops it; it must end well.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _either_way = self.0.wait();
    }
}
