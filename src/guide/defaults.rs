//! Every default, with its unit and its reason.
//!
//! Most servers need to change few of these. Set [`hostname`](Builder::hostname) on a server that others can reach, turn on
//! the limits for each network (see the [threat model](crate::guide::threat_model)), and lower
//! [`data_size_limit`](Builder::data_size_limit) if your program takes only small messages. In a test suite leave all of them
//! alone; lower a timeout only to test that timeout.
//!
//! Sizes are in octets and times in seconds. Timeouts limit the whole of what they name, not each read, so a client gains
//! nothing by sending an octet now and then.
//!
//! # Size and number
//!
//! | setting | default | why |
//! |---|---|---|
//! | [`data_size_limit`](Builder::data_size_limit) | 33,554,432 octets (32 MiB); 0 is unlimited | Python's `smtpd` had the same. It leaves room for what large mail providers accept. Announced by SIZE |
//! | [`max_recipients`](Builder::max_recipients) | 1,000 | RFC 5321 section 4.5.3.1.8 asks for at least 100. Mailing lists send to more, and clients split the rest into further transactions |
//! | [`max_connections`](Builder::max_connections) | 1,000 | Each takes a thread and, when idle, less than 20 KiB of memory |
//! | [`max_connections_per_address`](Builder::max_connections_per_address) | unlimited | A test suite connects from one address. Set it on the Internet |
//! | [`max_connections_per_network`](Builder::max_connections_per_network) | unlimited | The same |
//! | [`max_connection_rate`](Builder::max_connection_rate) | unlimited | The same |
//! | [`max_error_rate`](Builder::max_error_rate) | unlimited | The same |
//! | [`max_errors`](Builder::max_errors) | 20; `None` is unlimited | Enough for a client with a stale list of recipients, too few to guess with. An accepted message resets the count |
//! | [`max_junk`](Builder::max_junk) | 100; `None` is unlimited | Commands that bring no mail forward, such as NOOP; each further one counts as an error. Connection pools send some to keep a connection alive |
//! | [`max_auth_failures`](Builder::max_auth_failures) | 3; `None` is unlimited | People mistype a password twice. Each failure is also answered half a second later than the one before |
//! | [`inbox_capacity`](Builder::inbox_capacity) | 10,000 messages | More than a test sends on purpose; a loop that does not end meets it before memory is gone |
//!
//! # Time
//!
//! | setting | default | why |
//! |---|---|---|
//! | [`command_timeout`](Builder::command_timeout) | 300 s | RFC 5321 section 4.5.3.2.7 asks for five minutes. From the wait for a command to its CRLF; also the time to read a reply |
//! | [`data_timeout`](Builder::data_timeout) | 180 s | RFC 5321 section 4.5.3.2.5 asks for three minutes between parts of the content |
//! | [`handler_timeout`](Builder::handler_timeout) | 600 s | RFC 5321 section 4.5.3.2.6 has clients wait ten minutes after the final dot |
//! | [`stress_timeout`](Builder::stress_timeout) | 30 s | Replaces `command_timeout` while over 90 % of the connections are in use. Postfix uses 10 s, which is short for distant clients |
//!
//! # Memory and disk
//!
//! | setting | default | why |
//! |---|---|---|
//! | [`memory_budget`](Builder::memory_budget) | 67,108,864 octets (64 MiB) | A few large messages stay in memory, which takes half the processor time of the disk. Many do not take more than a small machine has |
//! | [`buffer_budget`](Builder::buffer_budget) | 2,147,483,648 octets (2 GiB) | In memory and on disk: about sixty of the largest messages at once |
//! | [`spool_threshold`](Builder::spool_threshold) | 65,536 octets | For smaller messages a file costs more than it saves |
//! | [`spool_folder`](Builder::spool_folder) | the system's temporary folder | It exists everywhere. Choose another one where `/tmp` is in memory |
//! | [`consumers`](Builder::consumers) | 1 | A handler then needs no locks, and may own what is not `Sync`, such as a database connection |
//! | [`queue_capacity`](Builder::queue_capacity) | 1,024 messages | Enough for every connection of the default to have one waiting |
//! | [`worker_stack`](Builder::worker_stack) | 1,048,576 octets (1 MiB) | Address space, of which only what is used takes memory. Hooks, authenticators and TLS libraries run on it; a stack overflow ends the process |
//!
//! # What is offered and accepted
//!
//! | setting | default | why |
//! |---|---|---|
//! | [`hostname`](Builder::hostname) | the machine's name, else `localhost` | It is never looked up in the DNS, which can take long and fail |
//! | [`smtputf8`](Builder::smtputf8) | off | As in `smtpd`: a program that has never seen a UTF-8 address may not expect one |
//! | [`decode_data`](Builder::decode_data) | off | As in `smtpd`: mail is octets, and not all of it is UTF-8 |
//! | [`line_ends`](Builder::line_ends) | Normalize | Whoever reads the message later sees the same lines, so nothing can be smuggled past them |
//! | [`strict_syntax`](Builder::strict_syntax) | off | Many programs send `MAIL FROM: a@b`, and `smtpd` took it |
//! | [`dsn`](Builder::dsn) | on | Clients ask for notices; a handler that does not care ignores them |
//! | [`prdr`](Builder::prdr) | off | Its draft has expired |
//! | [`mt_priority`](Builder::mt_priority) | off | An offer is a promise that the handler has to keep |
//! | [`deliver_by`](Builder::deliver_by) | none | The same |
//! | [`future_release`](Builder::future_release) | none | The same |
//! | [`extension`](Builder::extension) | none | What your program adds to EHLO |
//! | [`ignore_unknown_parameters`](Builder::ignore_unknown_parameters) | off | Who uses a parameter that was not offered counts on what nobody does (RFC 5321 section 4.1.1.11 asks for 555) |
//! | [`lmtp`](Builder::lmtp) | off | LMTP is for the machines of one mail system |
//!
//! # Trust
//!
//! | setting | default | why |
//! |---|---|---|
//! | [`tls`](Builder::tls) | none | There is no certificate that fits all. Give one and STARTTLS is offered |
//! | [`require_tls`](Builder::require_tls) | off | Mail between servers must also work without TLS (RFC 3207 section 4). Turn it on for submission |
//! | [`authenticator`](Builder::authenticator) | none | Mail from strangers needs no login. Give one and AUTH is offered |
//! | [`sasl_mechanism`](Builder::sasl_mechanism) | none | The mechanisms of the authenticator serve most clients. Add one and AUTH is offered |
//! | [`require_auth`](Builder::require_auth) | off | The same. Turn it on for submission |
//! | [`clear_text_auth`](Builder::clear_text_auth) | off | PLAIN and LOGIN show the password to whoever listens. They are offered under TLS, and to clients on this machine while TLS is not required |
//! | [`proxy_protocol`](Builder::proxy_protocol) | nobody | Whoever may send a PROXY header may pose as any client |
//! | [`xclient`](Builder::xclient) | nobody | The same, and as any user |
//! | [`xforward`](Builder::xforward) | nobody | Whoever may say it decides what the log of the next server names as a message's origin |
//! | [`reuse_port`](Builder::reuse_port) | off | A second server started by mistake fails instead of taking half of the mail |
//!
//! # A listener's own settings
//!
//! A [`Listener`](crate::Listener) can have its own [`tls`](crate::Listener::tls), [`require_tls`](crate::Listener::require_tls),
//! [`require_auth`](crate::Listener::require_auth), [`smtputf8`](crate::Listener::smtputf8),
//! [`data_size_limit`](crate::Listener::data_size_limit) and [`lmtp`](crate::Listener::lmtp); by default each is the builder's.
//! What only a listener has:
//!
//! | setting | default | why |
//! |---|---|---|
//! | [`offer_auth`](crate::Listener::offer_auth) | on with an authenticator, else off | Turn it off where other servers deliver |
//! | [`implicit_tls`](crate::Listener::implicit_tls) | off | It has ports of its own: clients elsewhere wait for the banner |
//! | [`mode`](crate::Listener::mode) | what the umask leaves | As for any other file |
//! | [`name`](crate::Listener::name) | none | Hooks can tell listeners apart by their order |
//!
//! # Fixed limits
//!
//! These are not settings: no client that we know of needs more, and more would only help an attacker.
//!
//! | limit | value | why |
//! |---|---|---|
//! | command line | 2,048 octets | RFC 5321 section 4.5.3.1.4 has 512, and each extension adds to it; so do the parameters of your own |
//! | line of AUTH | 12,288 octets | RFC 4954 section 4 |
//! | challenges of a SASL mechanism of your own | 32 | No mechanism in use has more than four |
//! | skipped of a line that is too long | 65,536 octets | Then the connection is closed |
//! | slowest content | 500 octets a second | Averaged; it may fall behind by one `data_timeout`. Postfix asks for the same |
//! | TLS handshake | 60 s | Or `command_timeout` if that is shorter |
//! | PROXY header | 10 s | It is the first thing that a proxy sends |
//! | errors under stress | 3 | Or `max_errors` if that is lower |
//! | junk under stress | 10 | Or `max_junk` if that is lower. A client with STARTTLS and AUTH needs four |
//!
//! # Redis
//!
//! Those of [`handlers::RedisStream`](crate::handlers::RedisStream) and [`handlers::RedisWorker`](crate::handlers::RedisWorker):
//!
//! | setting | default | why |
//! |---|---|---|
//! | `RedisStream::stream`, `RedisWorker::stream` and `group` | `pillarbox` | One stream and one group are enough for one mail system |
//! | `RedisStream::capacity` | 100,000 messages | The messages that arrive before somebody notices that workers have stopped |
//! | `RedisStream::capacity_octets` | unlimited | Redis's `maxmemory` is a limit already |
//! | `RedisStream::wait_replicas` | none | It writes each message twice, and waits for a network |
//! | `RedisWorker::in_flight` | 64 messages | As many as a Maildir writes at once |
//! | `RedisWorker::memory` | 67,108,864 octets (64 MiB) | As `memory_budget` |
//! | `RedisWorker::take_over_after` | 60 s | Longer than a busy machine pauses a worker, and shorter than people wait for mail |
//! | `RedisWorker::max_attempts` and `max_pause` | 500, and 900 s | About five days, as RFC 5321 section 4.5.4.1 recommends |
//! | `RedisWorker::once_for` | off | One Maildir with `once` does not need it |
//! | `RedisWorker::grace` | 10 s | Less than service managers wait before they kill |
//! | `connect_timeout` of both | 5 s | Redis is on the same network |
//! | `response_timeout` of both | 30 s | Longer than a disk takes to flush, or Redis to fork |
//!
//! # The command
//!
//! `pillarbox` uses the library's defaults, with these of its own:
//!
//! | option | default | why |
//! |---|---|---|
//! | LOCALADDR | localhost:8025; none with `--listen` | As `python -m smtpd` |
//! | REMOTEADDR | localhost:25 | As `python -m smtpd` |
//! | `--class` | DebuggingServer | smtpd's own default, PureProxy, has failed at every message since Python 3.5 |
//! | `--timeout` | none | If you set it, it becomes `command_timeout` and caps `data_timeout` |
//! | `--pipe-timeout` | 60 s | As `Pipe::timeout`: a tenth of `handler_timeout`, so that a message whose program hangs can still be tried again |
//! | `--pipe-processes` | 16 | As `Pipe::processes`: enough for programs that wait for others, few enough for a small machine's memory |
//! | `--upstream-tls` | offered | Mail goes out even where the upstream has no TLS. Use `required` across a network |
//! | time to finish at SIGTERM | 15 s | Less than service managers wait before they kill |
//! | log level | warn | `RUST_LOG` changes it; `--debug` is `trace` |
//! | `--keep`, `--keep-octets` | 10,000 messages, 256 MiB | Some weeks of a team's mail, in the memory of a small machine |
//! | `--keep-for` | no limit | The oldest messages are deleted only when there is no room |
//! | `--when-full` | drop-oldest | An inbox that nobody empties must not stop the program under test |
//! | `--inbox-dir` | none: memory | A test needs no disk, and leaves nothing behind |
//! | `--release-to`, `--release-pattern` | none | Mail of tests reaches nobody unless you name the server and the recipients |

#[cfg(doc)]
use crate::Builder;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use crate::config::*;

    /// The page's rows: what is named in the first column, without its link, and the default.
    fn rows() -> HashMap<&'static str, &'static str> {
        let cells = |line: &'static str| {
            let mut cells = line.strip_prefix("//! | ")?.split(" | ");
            let name = cells.next()?;
            let name = name.strip_prefix("[`").and_then(|name| name.split('`').next()).unwrap_or(name);
            Some((name, cells.next()?))
        };
        include_str!("defaults.rs").lines().filter_map(cells).collect()
    }

    /// A value as Rust prints it, in the page's words.
    fn in_words(value: &str) -> &str {
        match value {
            "None" => "none",
            "true" => "on",
            "false" => "off",
            "[]" => "nobody",
            _ => value.strip_prefix("Some(").and_then(|value| value.strip_suffix(')')).unwrap_or(value),
        }
    }

    /// Whether a default of the page begins with a value. What follows it is the unit, or a value that has another meaning.
    fn begins_with(default: &str, value: &str) -> bool {
        let seconds = value.strip_suffix('s').map(|seconds| format!("{seconds} s"));
        let default = default.replace(',', "").replace("unlimited", "none");
        default
            .strip_prefix(seconds.as_deref().unwrap_or(value))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ';']))
    }

    #[test]
    fn the_page_has_each_setting_with_its_default() {
        let rows = rows();
        let printed = format!("{:#?}", Config::default()).replace("(\n        ", "(").replace(",\n    )", ")");
        let fields: Vec<_> =
            printed.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(": ")).collect();
        assert!(fields.len() > 30, "{printed}");
        for (name, value) in fields {
            let (name, value) = match name {
                "proxies" => ("proxy_protocol", in_words(value)),
                "extensions" => ("extension", "none"),
                "data_rate" => ("slowest content", value),
                // What `Builder::serve` puts there.
                "hostname" => (name, "the"),
                "spool_folder" => (name, "the"),
                _ => (name, in_words(value)),
            };
            let default = rows.get(name).unwrap_or_else(|| panic!("{name} has no row"));
            assert!(begins_with(default, value), "{name}: the page says {default:?}, and it is {value:?}");
        }
    }

    #[test]
    fn the_page_has_the_fixed_limits() {
        let rows = rows();
        let fixed = [
            ("command line", MAX_COMMAND_LINE),
            ("line of AUTH", MAX_AUTH_LINE),
            ("skipped of a line that is too long", MAX_SKIPPED),
            ("TLS handshake", HANDSHAKE_TIMEOUT.as_secs() as usize),
            ("PROXY header", PROXY_TIMEOUT.as_secs() as usize),
            ("errors under stress", STRESS_ERRORS),
            ("junk under stress", STRESS_JUNK),
        ];
        for (name, value) in fixed {
            assert!(
                begins_with(rows[name], &value.to_string()),
                "{name}: the page says {:?}, and it is {value}",
                rows[name]
            );
        }
    }

    #[test]
    fn another_value_is_noticed() {
        assert!(begins_with("33,554,432 octets (32 MiB); 0 is unlimited", "33554432"));
        assert!(begins_with("300 s", "300s") && begins_with("20; 0 is unlimited", "20"));
        assert!(begins_with("unlimited", in_words("None")) && begins_with("30 s", in_words("Some(30s)")));
        assert!(!begins_with("33,554,432 octets", "3355443") && !begins_with("300 s", "30s"));
        assert!(!begins_with("off", in_words("true")) && !begins_with("unlimited", "3"));
    }
}
