//! The DevTools protocol with Chromium itself, not with one of its tabs, which is all that ChromeDriver hands on.

use std::io::{self, BufRead, BufReader, Error, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use serde_json::{Value, json};

use super::driver::PATIENCE;

/// A connection by a WebSocket, as much of RFC 6455 as commands that are shorter than 64 KiB need.
pub struct DevTools(BufReader<TcpStream>);

impl DevTools {
    /// Connects where the file `DevToolsActivePort` of the profile says: a port, and a path in the next line.
    pub fn connect(place: &str) -> io::Result<DevTools> {
        let (port, path) = place.trim_end().split_once('\n').ok_or_else(|| Error::other("no path"))?;
        let port = port.parse().map_err(Error::other)?;
        let mut stream = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?);
        stream.get_ref().set_read_timeout(Some(PATIENCE))?;
        let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}\r\n")?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Err(Error::other(head));
            }
        }
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(Error::other(head));
        }
        Ok(DevTools(stream))
    }

    /// What a command brings.
    pub fn ask(&mut self, command: &str, parameters: &Value) -> io::Result<Value> {
        let command = json!({ "id": 1, "method": command, "params": parameters }).to_string();
        let length = u16::try_from(command.len()).map_err(Error::other)?.to_be_bytes();
        // One frame of text; the mask, which there must be, is four zeros, and changes nothing.
        let head = [0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
        self.0.get_mut().write_all(&[&head, command.as_bytes()].concat())?;
        let mut frame = [0; 2];
        self.0.read_exact(&mut frame)?;
        let length = match frame[1] {
            126 => {
                self.0.read_exact(&mut frame)?;
                u16::from_be_bytes(frame).into()
            }
            length => length.into(),
        };
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        // It tells nothing that was not asked for.
        let mut answer: Value = serde_json::from_slice(&answer)?;
        match answer["result"].take() {
            Value::Null => Err(Error::other(answer.to_string())),
            result => Ok(result),
        }
    }
}
