//! What root gives up.

#[cfg(unix)]
use nix::unistd::{User, geteuid, getuid, setgid, setgroups, setuid};

/// Turns root into nobody, for good.
#[cfg(unix)]
pub fn drop() -> Result<(), String> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let hint = "try running with -n";
    let nobody = User::from_name("nobody")
        .map_err(|e| format!("cannot look up the user nobody: {e}; {hint}"))?
        .ok_or_else(|| format!("there is no user nobody; {hint}"))?;
    setgroups(&[nobody.gid])
        .and_then(|()| setgid(nobody.gid))
        .and_then(|()| setuid(nobody.uid))
        .map_err(|e| format!("cannot become the user nobody: {e}; {hint}"))?;
    if getuid() != nobody.uid || geteuid() != nobody.uid || setuid(nix::unistd::Uid::from_raw(0)).is_ok() {
        return Err(format!("did not become the user nobody; {hint}"));
    }
    Ok(())
}

/// There is no root to give up.
#[cfg(not(unix))]
pub fn drop() -> Result<(), String> {
    Ok(())
}
