//! Arguments -> cli -> exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // A panic anywhere ends the whole process at once: the guard then releases the relay line. Threads that die alone
    // would leave a daemon that looks alive.
    std::panic::set_hook(Box::new(|info| {
        eprintln!("fatal: {info}");
        tracing::error!(panic = %info, "fatal");
        std::process::abort();
    }));
    cardea::cli::main()
}
