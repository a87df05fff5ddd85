//! What the help says after the options.

pub const LISTENERS: &str = "\
Listeners:
  Behind an address, LOCALADDR's as well, options for this listener alone may follow, after commas. The
  options above hold for all listeners.
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

pub const EXAMPLES: &str = "\
Examples:
  pillarbox -n                          print what arrives at localhost:8025
  pillarbox -n -c Inbox --http :8026    show what arrives at http://localhost:8026/
  pillarbox -n -c Maildir --maildir in  store it in the Maildir \"in\"
  pillarbox -n -c Pipe -- ./accept.py   have a program decide: exit status 0 accepts, 75 asks to try again
  pillarbox -n -c PureProxy localhost:8025 mail.example.org:25
                                        relay what comes from this machine
  pillarbox -n -c RedisStream --redis redis://redis.example.org
                                        put it into a Redis stream; on any machine, this takes it off:
  pillarbox deliver -n --redis redis://redis.example.org --maildir in
                                        see pillarbox deliver --help
  pillarbox -n -c Maildir --maildir in --users users --tls-cert cert.pem --tls-key key.pem
      -l 0.0.0.0:25,no-auth -l 0.0.0.0:465,tls,require-auth -l unix:lmtp,lmtp,mode=660,no-auth
                                        receive from servers, users and local programs";
