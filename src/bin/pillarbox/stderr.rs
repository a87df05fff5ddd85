//! What goes to stderr: what the command says of itself, and the log.

use std::fmt::Display;
use std::io::Write;

/// Says it. That nobody hears it, as on a full disk, must not end a server: `eprintln!` would panic.
pub fn tell(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "pillarbox: {message}");
}

/// Lines like `pillarbox: [1] C: QUIT`; RUST_LOG has the last word.
pub fn start_log(debug: bool) {
    // rustls warns of what clients get wrong, which may be any number of them.
    let filter =
        env_logger::Env::default().default_filter_or(if debug { "pillarbox=trace" } else { "warn,rustls=error" });
    env_logger::Builder::from_env(filter).format(|out, record| writeln!(out, "pillarbox: {}", record.args())).init();
}
