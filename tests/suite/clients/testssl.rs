//! What testssl.sh finds: TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, and nothing else.

use std::process::Command;

use crate::support;
use pillarbox::{Listener, Server, Tls};

#[test]
fn only_what_rfc_9325_asks_for_is_offered() {
    let Some(testssl) = support::program("testssl") else { return };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls::rustls_from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    // Each thing that it tries is a connection, and hardly any of them ends well.
    let server = Server::builder()
        .tls(tls)
        .max_errors(None)
        .listen(Listener::from("127.0.0.1:0").implicit_tls())
        .inbox("127.0.0.1:0")
        .unwrap();
    let endpoints = server.server().local_endpoints().to_vec();
    for (endpoint, start_tls) in endpoints.iter().zip([&["-t", "smtp"][..], &[]]) {
        let mut command = Command::new(&testssl);
        command.args(["--quiet", "--color", "0", "--ip", "one", "-p", "-E"]).args(start_tls).arg(endpoint.to_string());
        let output = command.output().expect("it starts");
        let found = String::from_utf8_lossy(&output.stdout);
        for protocol in
            ["SSLv2      not offered", "SSLv3      not offered", "TLS 1      not offered", "TLS 1.1    not offered"]
        {
            assert!(found.contains(protocol), "{found}");
        }
        for protocol in ["TLS 1.2    offered", "TLS 1.3    offered"] {
            assert!(found.contains(protocol), "{found}");
        }
        let suites: Vec<&str> = found.lines().filter(|line| line.starts_with(" x")).collect();
        assert_eq!(suites.len(), 6, "{found}");
        for suite in suites {
            let is_good = suite.contains("ECDH") && (suite.contains("AESGCM") || suite.contains("ChaCha20"));
            assert!(is_good, "{suite}");
        }
    }
}
