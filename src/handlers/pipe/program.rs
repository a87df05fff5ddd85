//! The program to be run: where it is, and whether it can be run at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::syntax::escaped::Escaped;

/// How much of a file is looked at. Linux reads as much of a script to find its interpreter.
const HEAD: usize = 256;

/// A program and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// As it was given, for the log.
    pub name: String,
    /// Absolute, if it could be found: a folder that is changed later does not change what is run.
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Program {
    /// A path, or a name that is looked for in PATH.
    pub fn new(name: &OsStr) -> Program {
        let path = match name.as_encoded_bytes().contains(&b'/') {
            true => std::path::absolute(name).ok(),
            false => find(name),
        };
        Program {
            name: Escaped::new(name.as_encoded_bytes()).to_string(),
            path: path.unwrap_or_else(|| name.into()),
            arguments: Vec::new(),
        }
    }

    /// What would keep the system from running it, as far as that can be known before.
    pub fn check(&self) -> io::Result<()> {
        if !self.path.is_absolute() {
            return Err(io::Error::new(ErrorKind::NotFound, "it is not in PATH"));
        }
        let file = fs::metadata(&self.path)?;
        if !file.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"));
        }
        access(&self.path, Access::EXEC_OK)?;
        match head(&self.path) {
            Ok(head) => check_head(&head),
            // What may be run need not be readable.
            Err(_) => Ok(()),
        }
    }
}

fn find(name: &OsStr) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&folders).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name));
    found.into_iter().find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Text without an interpreter would be run by a shell, if a shell started it. The system does not run it.
fn check_head(head: &[u8]) -> io::Result<()> {
    let refuse = |why: String| Err(io::Error::new(ErrorKind::InvalidInput, why));
    let Some(line) = head.strip_prefix(b"#!") else {
        let is_text = head.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace() || !b.is_ascii());
        return if is_text { refuse("it does not begin with #! and an interpreter".to_owned()) } else { Ok(()) };
    };
    // What Linux takes for the interpreter: up to a blank or the end of the line, a CR included.
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_start();
    let interpreter = line.split(|b| matches!(b, b' ' | b'\t')).next().unwrap_or_default();
    match str::from_utf8(interpreter) {
        Ok("") => refuse("it does not name an interpreter after #!".to_owned()),
        Ok(interpreter) if !Path::new(interpreter).exists() => {
            refuse(format!("its interpreter is not there: {}", Escaped::new(interpreter)))
        }
        Ok("/usr/bin/env" | "/bin/env") => match sought_by_env(line) {
            Some(name) if find(OsStr::new(name)).is_none() => {
                refuse(format!("its interpreter is not in PATH: {}", Escaped::new(name)))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What env(1) looks for in PATH, if that is all that it is told.
fn sought_by_env(line: &[u8]) -> Option<&str> {
    let line = str::from_utf8(line).ok()?;
    let (_, name) = line.split_once([' ', '\t'])?;
    let name = name.trim_matches([' ', '\t']);
    let is_plain = !name.is_empty() && !name.starts_with('-') && !name.contains(['/', '=', ' ', '\t']);
    is_plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_known_of_a_file() {
        for good in [
            &b"#!/bin/sh\n"[..],
            b"#! /bin/sh -e\n",
            b"#!/bin/sh",
            b"#!/usr/bin/env sh\n",
            b"#!/usr/bin/env -S x y\n",
            b"\x7fELF\x02\x01\x01\0",
            b"PK\x03\x04",
        ] {
            check_head(good).unwrap();
        }
        for (bad, why) in [
            (&b""[..], "does not begin with #!"),
            (b"echo hello\n", "does not begin with #!"),
            (b"#!\n", "does not name"),
            (b"#!/nowhere/python\n", "not there: /nowhere/python"),
            (b"#!/bin/sh\r\n", r"not there: /bin/sh\r"),
            (b"#!/usr/bin/env no-such-language\n", "not in PATH: no-such-language"),
            (b"#!/usr/bin/env sh\r\n", r"not in PATH: sh\r"),
        ] {
            let error = check_head(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn names_are_looked_for_in_path() {
        assert!(Program::new(OsStr::new("sh")).path.is_absolute());
        Program::new(OsStr::new("sh")).check().unwrap();
        assert!(Program::new(OsStr::new("./x")).path.is_absolute());
        let error = Program::new(OsStr::new("no-such-program")).check().unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::NotFound, "it is not in PATH"));
        assert_eq!(Program::new(OsStr::new("/")).check().unwrap_err().to_string(), "it is not a file");
    }
}
