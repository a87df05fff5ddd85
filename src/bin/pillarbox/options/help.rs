//! What the help says after the options, and which of them are in the short one.

/// The arguments that `-h` shows: with those most people get along.
pub const OFTEN: &[&str] = &[
    "local",
    "remote",
    "program",
    "listen",
    "nosetuid",
    "version",
    "class",
    "size",
    "smtputf8",
    "debug",
    "lmtp",
    "help",
    "http",
    "http_public",
    "http_users",
    "inbox_dir",
    "maildir",
    "relay_networks",
    "relay_domains",
    "upstream_tls",
    "tls_cert",
    "tls_key",
    "self_signed",
    "users",
    "accept_any_login",
    "require_auth",
];

pub const CLASSES: &str = "\
Classes:
  DebuggingServer  print messages
  Inbox            show them in a browser and as JSON
  Maildir          store them
  Pipe             run a program for each
  RedisStream      put them into a Redis stream; pillarbox deliver takes them off it
  Sink             throw them away
  PureProxy        relay them to REMOTEADDR
  MailmanProxy     give Mailman 3 what is for its lists, and relay the rest";

/// What `-h` ends with.
pub const MORE: &str = "\
Classes:
  DebuggingServer Inbox Maildir Pipe RedisStream Sink PureProxy MailmanProxy

Examples:
  pillarbox -n                          print what arrives at localhost:8025
  pillarbox -n -c Inbox                 show it at http://localhost:8026/
  pillarbox -n -c Maildir --maildir in  store it in the Maildir \"in\"

--help shows all options, those for one listener, and more examples.";

pub const LISTENERS: &str = "\
Listeners:
  An address, also LOCALADDR, can be followed by options for this listener alone, after commas.
  The options above apply to all listeners.
  tls                 implicit TLS, as on port 465
  require-tls         refuse mail without TLS
  require-auth        refuse mail from clients that have not authenticated
  no-auth             offer no AUTH, and require none
  lmtp                speak LMTP
  smtputf8            offer SMTPUTF8
  size=BYTES          largest message
  mode=MODE           permissions of the socket at unix:PATH
  cert=PEM,key=PEM    a certificate of its own; SIGHUP reloads it too
  systemd:NAME        as an address, the socket of this FileDescriptorName";

pub const ENVIRONMENT: &str = "\
Environment:
  Each option can be a variable: PILLARBOX_SIZE=1000 is --size 1000, and PILLARBOX_LOCALADDR and
  PILLARBOX_REMOTEADDR are the addresses. Flags are true or false. Several values have semicolons
  between them; lists have commas. Empty means unset, and the command line overrides variables.";

pub const EXAMPLES: &str = "\
Examples:
  pillarbox -n                          print what arrives at localhost:8025
  pillarbox -n -c Inbox                 show what arrives at http://localhost:8026/
  pillarbox -n -c Maildir --maildir in  store it in the Maildir \"in\"
  pillarbox -n -c Pipe -- ./accept.py   have a program decide: exit status 0 accepts, 75 defers
  pillarbox -n -c PureProxy localhost:8025 mail.example.org:25
                                        relay what comes from this machine
  pillarbox -n -c RedisStream --redis redis://redis.example.org
                                        put it into a Redis stream; on any machine, this takes it off:
  pillarbox deliver -n --redis redis://redis.example.org --maildir in
                                        see pillarbox deliver --help
  pillarbox -n -c Inbox --http 0.0.0.0:8026 --http-public --accept-any-login 0.0.0.0:1025
                                        show it to a team, and take any login
  pillarbox -n -c Maildir --maildir in --users users --tls-cert cert.pem --tls-key key.pem
      -l 0.0.0.0:25,no-auth -l 0.0.0.0:465,tls,require-auth -l unix:lmtp,lmtp,mode=660,no-auth
                                        receive from servers, users and local programs";
