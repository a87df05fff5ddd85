//! Where a server can listen, and what it says where it cannot.

use std::net::{SocketAddr, TcpListener};

use crate::support::client::{Client, PATIENCE};
use crate::support::skip::missing;
use pillarbox::{Endpoint, Error, Listener, Server, handlers::Sink};

fn error(at: impl Into<Listener>) -> Error {
    Server::builder().serve(at, Sink).map(drop).expect_err("this cannot be listened at")
}

#[test]
fn names_addresses_and_several_at_once() {
    let inbox = Server::builder()
        .listen(("127.0.0.1", 0))
        .listen("127.0.0.1:0".parse::<SocketAddr>().unwrap())
        .listen(TcpListener::bind("127.0.0.1:0").unwrap())
        .inbox("localhost:0")
        .expect("free ports");
    let endpoints = inbox.server().local_endpoints().to_vec();
    assert_eq!(endpoints.len(), 4);
    assert_eq!(inbox.local_addr(), endpoints[0].socket_addr().unwrap());
    for endpoint in &endpoints {
        let mut client = Client::envelope(endpoint.socket_addr().unwrap());
        client.expect("DATA", "354");
        client.expect(".", "250");
        assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().local(), endpoint);
    }
}

#[test]
fn ipv6() {
    let inbox = match Server::builder().inbox("[::1]:0") {
        Err(Error::Bind { source, .. }) if source.kind() == std::io::ErrorKind::AddrNotAvailable => {
            return missing("this machine has no IPv6");
        }
        inbox => inbox.expect("a free port"),
    };
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert!(mail.received_header().contains("([IPv6:::1])"));
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = error(&*address);
    assert!(matches!(&error, Error::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse));
    assert!(error.to_string().contains(&address), "{error}");
    // By name it is no different, though the name may have other addresses.
    let name = format!("localhost:{}", taken.local_addr().unwrap().port());
    assert!(matches!(self::error(name), Error::Bind { .. }));
}

#[test]
fn places_that_are_none() {
    let unknown = error("host.invalid:25");
    assert!(matches!(unknown, Error::Resolve { .. }), "{unknown:?}");
    assert_eq!(unknown.to_string(), "cannot resolve host.invalid:25");
    assert!(matches!(error("192.0.2.1:0"), Error::Bind { .. }));
}

#[cfg(unix)]
#[test]
fn one_passed_in_that_does_not_block_is_waited_for() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let same = socket2::Socket::from(socket.try_clone().unwrap());
    let inbox = Server::builder().inbox(socket).expect("it listens already");
    assert!(!same.nonblocking().unwrap());
    Client::connect(inbox.local_addr()).expect("NOOP", "250");
}

#[test]
fn bound_early_served_late() {
    let listener = Listener::from("127.0.0.1:0").bind().expect("a free port");
    let Some(Endpoint::Tcp(address)) = listener.local().cloned() else { panic!("a TCP socket") };
    // Connects before there is a server, and waits.
    let mut client = Client::raw(address);
    let inbox = Server::builder().inbox(listener).expect("it is bound");
    assert_eq!(inbox.local_addr(), address);
    client.expect_reply("220 ");
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
#[test]
fn two_servers_share_a_port() {
    let early = |at: &str| Listener::from(at).reuse_port(true).bind().expect("a port");
    let first = early("127.0.0.1:0");
    let second = early(&first.local().expect("it is bound").to_string());
    assert_eq!(first.local(), second.local());
    let first = Server::builder().reuse_port(true).serve("127.0.0.1:0", Sink).expect("a free port");
    let second = Server::builder().reuse_port(true).serve(first.local_addr(), Sink).expect("a shared port");
    assert_eq!(first.local_addr(), second.local_addr());
    assert!(Server::builder().serve(first.local_addr(), Sink).is_err());
}

#[cfg(unix)]
mod unix {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    use pillarbox::{Error, Listener, Server, handlers::Sink};

    use super::PATIENCE;
    use crate::support::wait_until;

    #[test]
    fn a_socket_is_there_while_the_server_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.sock");
        // One that nobody listens at any more is in the way of nobody.
        drop(UnixListener::bind(&path).unwrap());
        // A process that another test starts has it as well until it becomes its program.
        wait_until("nobody listens there", || UnixStream::connect(&path).is_err());
        let inbox = Server::builder().inbox(Listener::unix(&path)).expect("a stale socket is replaced");
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n.\r\nQUIT\r\n").unwrap();
        let mail = inbox.recv_timeout(PATIENCE).unwrap();
        assert_eq!(mail.local().to_string(), format!("unix:{}", path.display()));
        assert!(mail.peer().is_loopback() && mail.peer().ip().is_none());
        let last = BufReader::new(client).lines().last().unwrap().unwrap();
        assert_eq!(last, "221 2.0.0 Bye");
        // One that is listened at is taken.
        let second = Server::builder().serve(format!("unix:{}", path.display()), Sink);
        assert!(matches!(second, Err(Error::Bind { .. })));
        drop(inbox);
        assert!(!path.exists());
    }

    #[test]
    fn a_handle_that_is_kept_keeps_no_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.sock");
        let server = Server::builder().serve(Listener::unix(&path), Sink).expect("a new socket");
        let handle = server.handle();
        assert!(handle.shutdown(PATIENCE).joined);
        assert!(!path.exists());
        drop(server);
    }

    #[test]
    fn a_file_is_not_replaced() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Server::builder().serve(Listener::unix(file.path()), Sink).is_err());
        assert!(file.path().is_file());
    }

    #[test]
    fn one_passed_in_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.sock");
        let socket = UnixListener::bind(&path).unwrap();
        let kept = socket.try_clone().unwrap();
        let inbox = Server::builder().inbox(socket).expect("it listens already");
        let mut line = String::new();
        BufReader::new(UnixStream::connect(&path).unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("220 "), "{line}");
        drop(inbox);
        // Whoever passed it in can go on with it.
        let _client = UnixStream::connect(&path).unwrap();
        kept.accept().unwrap();
    }
}
