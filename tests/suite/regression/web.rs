//! What the web inbox takes.

#![cfg(all(feature = "cli", target_os = "linux"))]

use crate::support::client::Client;
use crate::support::process;
use crate::support::web::Inbox;

/// 804 messages of a thousand recipients took 1.42 GB of an inbox of 256 MiB, which counted their addresses alone.
#[test]
fn an_inbox_of_256_mib_takes_not_much_more() {
    let inbox = Inbox::start_with(&["--when-full", "refuse"]);
    let before = process::status(inbox.server.process.0.id(), "VmRSS");
    let rcpt: String = (0..1000)
        .map(|n| {
            let to = format!("{n:0>60}@{}.{}.{}", "d".repeat(60), "e".repeat(60), "f".repeat(60));
            format!("RCPT TO:<{to}> ORCPT=rfc822;{} NOTIFY=SUCCESS,FAILURE,DELAY\r\n", "o".repeat(473))
        })
        .collect();
    let message = |client: &mut Client| {
        client.expect("MAIL FROM:<sender@client.example>", "250");
        for some in rcpt.split_inclusive('\n').collect::<Vec<_>>().chunks(100) {
            client.send(some.concat());
            some.iter().for_each(|_| _ = client.expect_reply("250"));
        }
        client.send("BDAT 0 LAST\r\n");
        client.reply()
    };
    let mut client = inbox.client();
    let mut taken = 0;
    let refused = loop {
        let reply = message(&mut client);
        if !reply.starts_with("250 ") {
            break reply;
        }
        taken += 1;
        assert!(taken < 500, "the inbox never is full");
    };
    assert!(refused.starts_with("452 4.3.1 "), "{refused}");
    assert!(taken > 100, "{taken}");
    let more = process::status(inbox.server.process.0.id(), "VmRSS") - before;
    assert!(more < 340 * 1024, "{} MiB for {taken} messages", more / 1024);
    // And room is there again when they are gone.
    assert_eq!(inbox.request("DELETE", "/api/messages", "", "").status, 204);
    assert!(message(&mut client).starts_with("250 "));
}
