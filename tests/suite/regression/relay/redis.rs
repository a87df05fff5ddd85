//! Entries of a Redis stream that no server has written.

use pillarbox::handlers::{RedisEntryError, RedisStream};

/// A good entry, with these fields in the place of its own.
fn entry(changed: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let fields: [(&str, &[u8]); 14] = [
        ("version", b"1"),
        ("id", b"abc-1-1"),
        ("received_at", b"1800000000000000000"),
        ("peer", b"192.0.2.1:40000"),
        ("local", b"192.0.2.2:25"),
        ("hostname", b"mx.example"),
        ("helo", b"client.example"),
        ("protocol", b"ESMTP"),
        ("mail_from", b"a@client.example"),
        ("mail_options", b""),
        ("recipients", b"13:b@example.org,0:,"),
        ("content", b"Subject: x\r\n\r\nbody\r\n"),
        ("identity", b"bob"),
        ("tls", b"yes"),
    ];
    let own = fields.iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    own.chain(changed).map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
}

/// A host name with a line end in it became a header of its own, and one of 400 octets a file name that no disk takes: the
/// worker failed at that entry for ever.
#[test]
fn a_field_that_no_server_can_have_received_makes_a_bad_entry() {
    assert!(RedisStream::read(entry(&[])).is_ok());
    let long = [b'a'; 400];
    let endless = vec![b'a'; 1 << 20];
    let endless_options = [&b"13:b@example.org,1048576:"[..], &endless, b","].concat();
    for name in [
        "hostname",
        "helo",
        "identity",
        "mail_from",
        "mail_options",
        "recipients",
        "protocol",
        "id",
        "peer",
        "local",
        "received_at",
    ] {
        for bad in [
            &b"mx\r\nX-Injected: yes"[..],
            b"mx\nX-Injected: yes",
            b"mx\rx",
            b"mx\0",
            b"mx\x7f",
            b"mx\xc2\x85x",
            b"mx\xff",
            &endless,
        ] {
            match RedisStream::read(entry(&[(name, bad)])) {
                Err(RedisEntryError::Invalid(field)) => assert_eq!(field, name),
                other => panic!("{name}: {:?}", other.map(|mail| mail.received_header())),
            }
        }
    }
    for (name, bad) in [
        ("hostname", &long[..]),
        ("hostname", b""),
        ("hostname", b"../../etc"),
        ("hostname", b"mx example"),
        ("helo", &long),
        ("identity", b""),
        ("peer", b"unix:/run/\0"),
        ("peer", &[b"unix:/".as_slice(), &long].concat()),
        ("local", &[b"unix:/".as_slice(), &long].concat()),
        ("tls", b"perhaps"),
        ("tls_version", b"TLSv1.3\r\n"),
        ("tls_cipher", &long),
        ("tls_server_name", b"mx\r\nX-Injected: yes"),
        ("received_at", b"+1"),
        ("recipients", b"+13:b@example.org,0:,"),
        ("recipients", &endless_options),
    ] {
        let refused = RedisStream::read(entry(&[(name, bad)])).map(|mail| mail.received_header());
        match refused {
            Err(e) => assert_eq!(e.to_string(), format!("the entry's field {name} has a bad value")),
            Ok(header) => panic!("{name}: {header}"),
        }
    }
}

/// What is odd and was received all the same is no bad entry.
#[test]
fn what_servers_receive_is_read() {
    for (name, odd) in [
        ("helo", &b"x) by evil ("[..]),
        ("hostname", b"[IPv6:2001:db8::1]"),
        ("peer", b"unknown"),
        ("peer", b"unix:"),
        ("peer", b"[fe80::1%2]:25"),
        ("identity", "b\u{fc}b".as_bytes()),
        ("mail_from", b""),
        ("mail_options", b"BODY=8BITMIME SIZE=10"),
        ("mail_options", b"XTENANT=Blue"),
    ] {
        assert!(RedisStream::read(entry(&[(name, odd)])).is_ok(), "{name}");
    }
}
