//! What a message prints that reads like DebuggingServer's own lines.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use pillarbox::Server;
use pillarbox::handlers::Debugging;

use super::client::Client;

const HEAD: &str = "---------- MESSAGE FOLLOWS ----------";
const FOOT: &str = "------------ END MESSAGE ------------";

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is printed of each content, without the frame.
fn printed(contents: &[String]) -> Vec<String> {
    let screen = Screen::default();
    let server = Server::builder().serve("127.0.0.1:0", Debugging::new(screen.clone())).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    let print = |content: &String| {
        client.begin();
        client.send(format!("BDAT {} LAST\r\n{content}", content.len()));
        client.expect_reply("250 2.0.0 OK");
        let text = String::from_utf8(std::mem::take(&mut *screen.0.lock())).expect("text");
        let message = text.strip_prefix(&format!("{HEAD}\n")).and_then(|text| text.strip_suffix(&format!("{FOOT}\n")));
        message.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    contents.iter().map(print).collect()
}

/// Only a line that was the frame to the octet was changed; these read the same on a screen, and to programs that trim.
#[test]
fn a_line_that_reads_like_the_frame_is_changed() {
    let unseen = [
        " ",
        "\t",
        " \t ",
        "\u{a0}",
        "\u{2003}",
        "\u{3000}",
        "\u{200b}",
        "\u{200c}",
        "\u{200d}",
        "\u{ad}",
        "\u{2060}",
        "\u{feff}",
        "\u{34f}",
        "\u{180e}",
        "\u{fe0f}",
        "\u{2063}",
        "\u{e0041}",
        "\u{115f}",
        "\u{3164}",
    ];
    let mut lines = Vec::new();
    for frame in [HEAD, FOOT] {
        lines.push(frame.to_owned());
        lines.push(frame.to_lowercase());
        for dash in ["\u{2010}", "\u{2011}", "\u{2013}", "\u{2212}", "\u{2500}", "\u{ff0d}", "\u{fe63}"] {
            lines.push(frame.replace('-', dash));
            lines.push(frame.replacen('-', dash, 1));
        }
        // Letters of Cyrillic and Greek, and one of full width.
        lines.extend(["\u{415}", "\u{395}", "\u{ff25}"].map(|letter| frame.replace('E', letter)));
        for unseen in unseen {
            lines.push(format!("{frame}{unseen}"));
            lines.push(format!("{unseen}{frame}"));
            for at in [1, 11, 15, 30] {
                lines.push(format!("{}{unseen}{}", &frame[..at], &frame[at..]));
            }
        }
        lines.push(frame.replace(' ', "\u{a0}"));
        lines.push(format!("{}{frame}", "\u{200b}".repeat(10_000)));
        lines.push(format!("{frame}{}", "\u{feff}".repeat(10_000)));
    }
    let contents: Vec<String> =
        lines.iter().flat_map(|line| [format!("a: b\r\n\r\nc\r\n{line}\r\nd\r\n"), line.clone()]).collect();
    for (content, text) in contents.iter().zip(printed(&contents)) {
        let is_changed = |line: &&str| line.contains("\\x2d") || line.contains("\\u{");
        assert_eq!(text.lines().filter(is_changed).count(), 1, "{content:?} became {text:?}");
    }
}

#[test]
fn what_only_resembles_it_is_not_changed() {
    let lines = [
        "-- ",
        "----------------------------------------------------------------",
        "---------- Forwarded message ----------",
        "-----BEGIN PGP MESSAGE-----",
        "-----END PGP MESSAGE-----",
        "> ------------ END MESSAGE ------------",
        "- END MESSAGE -",
    ];
    let contents: Vec<String> = lines.iter().map(|line| format!("a: b\r\n\r\n{line}\r\n")).collect();
    for (line, text) in lines.iter().zip(printed(&contents)) {
        assert_eq!(text, format!("a: b\nX-Peer: 127.0.0.1\n\n{line}\n"));
    }
}

/// A client's own X-Peer stood above ours, where who reads from the top believes it.
#[test]
fn a_clients_own_address_stands_below_ours() {
    let forged =
        ["X-Peer: 6.6.6.6", "x-peer:6.6.6.6", "X-Peer : 6.6.6.6", "\u{feff}X-Peer: 6.6.6.6", "X\u{2011}Peer: 6.6.6.6"];
    let contents: Vec<String> = forged
        .iter()
        .flat_map(|line| {
            [
                format!("{line}\r\n\r\nbody\r\n"),
                format!("a: b\r\n{line}\r\nc: d\r\n\r\nbody\r\n{line}\r\n"),
                (*line).to_owned(),
            ]
        })
        .collect();
    for (content, text) in contents.iter().zip(printed(&contents)) {
        assert_eq!(text.matches("X-Peer: 127.0.0.1\n").count(), 1, "{text}");
        let ours = text.find("X-Peer: 127.0.0.1\n").unwrap();
        assert!(ours < text.find("6.6.6.6").unwrap(), "{content:?} became {text:?}");
    }
}
