//! A server that does to its clients whatever a test says: the faults of an upstream that no real one has on request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What the server does when a line has come. The connection itself counts as the line `CONNECT`, the end of the content
/// as `.`.
#[derive(Clone, Debug)]
pub enum Act {
    /// Says this; `354` is followed by content.
    Say(String),
    /// Says this, and closes.
    SayAndClose(String),
    /// Closes.
    Close,
    /// Says nothing, and keeps the connection until the client goes.
    Silence,
    /// Says this, and reads no more.
    SayAndStop(String),
    /// Says this again and again, until the client goes.
    Endless(String),
    /// Says this an octet at a time, a moment apart.
    Drip(String),
}

/// Says a reply, its CRLF added.
pub fn say(reply: &str) -> Act {
    Act::Say(format!("{reply}\r\n"))
}

#[derive(Default)]
struct Seen {
    connections: usize,
    lines: Vec<String>,
    contents: Vec<String>,
}

/// The server. Its thread ends with the test.
pub struct Scripted {
    pub address: SocketAddr,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

impl Scripted {
    /// Starts one that does as `script` says; what that leaves to it (`None`) it answers like any server without
    /// extensions.
    pub fn start(script: impl Fn(&str) -> Option<Act> + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a TCP socket");
        let seen = Arc::new((Mutex::<Seen>::default(), Condvar::new()));
        let (script, to_see) = (Arc::new(script), seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, seen) = (script.clone(), to_see.clone());
                seen.0.lock().expect("no panic").connections += 1;
                // What the connection ends with is the script's affair.
                thread::spawn(move || serve(stream, &*script, &seen));
            }
        });
        Scripted { address, seen }
    }

    pub fn connections(&self) -> usize {
        self.seen.0.lock().expect("no panic").connections
    }

    /// The command lines that came, of all connections.
    pub fn lines(&self) -> Vec<String> {
        self.seen.0.lock().expect("no panic").lines.clone()
    }

    /// The contents that came to their end, with their dots.
    pub fn contents(&self) -> Vec<String> {
        self.seen.0.lock().expect("no panic").contents.clone()
    }

    /// Waits until a line that begins so has come.
    pub fn wait_for(&self, start: &str) {
        let (seen, changed) = &*self.seen;
        let has_come = |seen: &mut Seen| !seen.lines.iter().any(|line| line.starts_with(start));
        let guard = seen.lock().expect("no panic");
        let (guard, timeout) = changed.wait_timeout_while(guard, Duration::from_secs(30), has_come).expect("no panic");
        assert!(!timeout.timed_out(), "{start} did not come: {:?}", guard.lines);
    }
}

fn default(line: &str) -> Act {
    let verb = line.split([' ', ':']).next().unwrap_or_default();
    say(match verb {
        "CONNECT" => "220 upstream.example ESMTP",
        "DATA" => "354 go ahead",
        "QUIT" => return Act::SayAndClose("221 bye\r\n".to_owned()),
        _ => "250 fine",
    })
}

fn serve(mut stream: TcpStream, script: &dyn Fn(&str) -> Option<Act>, seen: &(Mutex<Seen>, Condvar)) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = "CONNECT".to_owned();
    loop {
        match script(&line).unwrap_or_else(|| default(&line)) {
            Act::Say(text) => {
                stream.write_all(text.as_bytes()).ok()?;
                if line == "DATA" && text.starts_with("354") {
                    let content = read_content(&mut reader)?;
                    note(seen, |seen| {
                        seen.contents.push(content);
                        seen.lines.push(".".to_owned());
                    });
                    line = ".".to_owned();
                    continue;
                }
            }
            Act::SayAndClose(text) => {
                stream.write_all(text.as_bytes()).ok()?;
                return None;
            }
            Act::SayAndStop(text) => {
                stream.write_all(text.as_bytes()).ok()?;
                loop {
                    thread::park();
                }
            }
            Act::Close => return None,
            Act::Silence => {
                // Up to the client's close.
                let _ = reader.read_to_end(&mut Vec::new());
                return None;
            }
            Act::Endless(text) => loop {
                stream.write_all(text.as_bytes()).ok()?;
            },
            Act::Drip(text) => {
                for octet in text.bytes() {
                    stream.write_all(&[octet]).ok()?;
                    thread::sleep(Duration::from_millis(20));
                }
            }
        }
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let length = line.trim_end_matches("\r\n").len();
        line.truncate(length);
        note(seen, |seen| seen.lines.push(line.clone()));
    }
}

fn note(seen: &(Mutex<Seen>, Condvar), what: impl FnOnce(&mut Seen)) {
    what(&mut seen.0.lock().expect("no panic"));
    seen.1.notify_all();
}

/// Up to the line of one dot.
fn read_content(reader: &mut impl BufRead) -> Option<String> {
    let mut content = Vec::new();
    loop {
        let start = content.len();
        if reader.read_until(b'\n', &mut content).ok()? == 0 {
            return None;
        }
        if &content[start..] == b".\r\n" && (start == 0 || content[..start].ends_with(b"\r\n")) {
            content.truncate(start);
            return String::from_utf8(content).ok();
        }
    }
}
