//! Faults as JSON: what [`On`] and [`Do`] can say, and which rule says it wrong.

use std::time::Duration;

use pillarbox::testing::{Chance, Do, Event, Faults, Moment, Occurrence, On};
use pillarbox::{Reply, Status, Tls, Verb};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::causes;

/// The longest delay.
const MAX_SECONDS: f64 = 86_400.0;

/// What comes in a reply's place if it is not said what.
const GARBAGE: &[u8] = b"\0\x01\xfe\xff garbage\r\n";

/// The field that tells how often a rule has happened.
const FIRED: &str = "fired";

/// The rules that are in force, as they were put.
pub struct Rules {
    faults: Faults,
    put: Value,
    // How often there were others, and how often those have happened.
    before: u64,
}

impl Rules {
    pub fn new(faults: Faults) -> Rules {
        Rules { faults, put: Value::Array(Vec::new()), before: 0 }
    }

    /// The rules, each with how often it has happened.
    pub fn show(&mut self) -> &Value {
        let rules = self.put.as_array_mut().into_iter().flatten();
        for (rule, times) in rules.zip(self.faults.times()) {
            rule[FIRED] = times.into();
        }
        &self.put
    }

    /// A number that grows when rules are put, and when one happens.
    pub fn changes(&self) -> u64 {
        self.before + self.faults.times().into_iter().sum::<u64>()
    }

    pub fn clear(&mut self) {
        self.before = self.changes() + 1;
        self.faults.clear();
        self.put = Value::Array(Vec::new());
    }

    /// Takes the place of all rules that were there, at once.
    ///
    /// # Errors
    /// Which rule is wrong, and where; then nothing changes.
    pub fn replace(&mut self, body: &[u8]) -> Result<(), String> {
        let put: Value = serde_json::from_slice(body).map_err(|e| format!("not JSON: {e}"))?;
        let rules = put.as_array().ok_or("expected an array of rules")?;
        let script = Faults::new();
        for (at, rule) in rules.iter().enumerate() {
            let (on, what) = parse(rule).map_err(|problem| format!("rule {}: {problem}", at + 1))?;
            script.add(on, what);
        }
        self.before = self.changes() + 1;
        self.faults.replace(&script);
        self.put = put;
        Ok(())
    }
}

fn parse(rule: &Value) -> Result<(On, Do), String> {
    check_objects(rule)?;
    let Rule { on, what, .. } = serde_path_to_error::deserialize(rule).map_err(|e| match e.path().iter().len() {
        0 => e.inner().to_string(),
        _ => format!("{}: {}", e.path(), e.inner()),
    })?;
    let on = On::try_from(on)?;
    what.check(on.event)?;
    Ok((on, what.into()))
}

/// What has fields has them by name: an array of their values would be taken as well.
fn check_objects(rule: &Value) -> Result<(), String> {
    let all = ["", "/on", "/do", "/do/limit", "/do/certificate"];
    let is_other = |path: &&str| rule.pointer(path).is_some_and(|value| !value.is_object());
    match all.into_iter().find(is_other) {
        None => Ok(()),
        Some("") => Err("expected an object".to_owned()),
        Some(path) => Err(format!("{}: expected an object", path[1..].replace('/', "."))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    on: Occasion,
    #[serde(rename = "do")]
    what: Action,
    // It is there if rules are put back that were shown, and means nothing.
    #[serde(rename = "fired")]
    _fired: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Occasion {
    verb: Option<VerbName>,
    event: Option<EventName>,
    content_after: Option<u64>,
    nth: Option<Positive>,
    first: Option<Positive>,
    since: Option<Positive>,
    every: Option<Positive>,
    from: Option<String>,
    to: Option<String>,
    message: Option<Positive>,
    chance: Option<Probability>,
    seed: Option<u64>,
}

impl TryFrom<Occasion> for On {
    type Error = String;

    fn try_from(occasion: Occasion) -> Result<On, String> {
        let mut on = On::event(occasion.event()?);
        on.occurrence = occasion.occurrence()?;
        on.chance = occasion.chance()?;
        on.message = occasion.message.map(|Positive(number)| number);
        on.from = occasion.from;
        on.to = occasion.to;
        Ok(on)
    }
}

impl Occasion {
    fn event(&self) -> Result<Event, String> {
        match (&self.verb, &self.event, self.content_after) {
            (Some(VerbName(verb)), None, None) => Ok(Event::Verb(*verb)),
            (None, Some(event), None) => Ok(event.into()),
            (None, None, Some(octets)) => Ok(Event::ContentAfter(octets)),
            _ => Err("on: expected one of verb, event and content_after".to_owned()),
        }
    }

    fn occurrence(&self) -> Result<Occurrence, String> {
        let all = [
            self.nth.as_ref().map(|Positive(n)| Occurrence::Nth(*n)),
            self.first.as_ref().map(|Positive(n)| Occurrence::First(*n)),
            self.since.as_ref().map(|Positive(n)| Occurrence::From(*n)),
            self.every.as_ref().map(|Positive(n)| Occurrence::Every(*n)),
        ];
        match all.into_iter().flatten().collect::<Vec<_>>()[..] {
            [] => Ok(Occurrence::Each),
            [one] => Ok(one),
            _ => Err("on: only one of nth, first, since and every".to_owned()),
        }
    }

    fn chance(&self) -> Result<Option<Chance>, String> {
        match (&self.chance, self.seed) {
            (None, Some(_)) => Err("on.seed: without a chance".to_owned()),
            (None, None) => Ok(None),
            (Some(Probability(probability)), seed) => {
                Ok(Some(Chance { probability: *probability, seed: seed.unwrap_or(0) }))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EventName {
    Connect,
    Handshake,
    Command,
    Content,
    Accepted,
    Verdict,
}

impl From<&EventName> for Event {
    fn from(name: &EventName) -> Event {
        match name {
            EventName::Connect => Event::Connect,
            EventName::Handshake => Event::Handshake,
            EventName::Command => Event::Command,
            EventName::Content => Event::Content,
            EventName::Accepted => Event::Accepted,
            EventName::Verdict => Event::Verdict,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Reply(ReplyLines),
    Delay(Seconds),
    Drip(Seconds),
    Bandwidth(Positive),
    HangUp(MomentName),
    Reset(TrueOr<MomentName>),
    Stall(True),
    Garbage(TrueOr<String>),
    Without(Vec<String>),
    FailHandshake(True),
    Certificate(Certificate),
    Greylist(TrueOr<Seconds>),
    Limit(Limit),
}

impl Action {
    /// Whether it can be done at such an event.
    fn check(&self, event: Event) -> Result<(), String> {
        match (self, event) {
            (Action::Without(_), Event::Verb(Verb::Ehlo | Verb::Lhlo)) => Ok(()),
            (Action::Without(_), _) => Err("do.without: only on the verbs EHLO and LHLO".to_owned()),
            (Action::FailHandshake(_) | Action::Certificate(_), Event::Handshake) => Ok(()),
            (Action::FailHandshake(_), _) => Err("do.fail_handshake: only on the event handshake".to_owned()),
            (Action::Certificate(_), _) => Err("do.certificate: only on the event handshake".to_owned()),
            _ => Ok(()),
        }
    }
}

impl From<Action> for Do {
    fn from(action: Action) -> Do {
        match action {
            Action::Reply(ReplyLines(reply)) => Do::Reply(reply),
            Action::Delay(Seconds(time)) => Do::Delay(time),
            Action::Drip(Seconds(pause)) => Do::Drip(pause),
            Action::Bandwidth(Positive(rate)) => Do::Bandwidth(rate),
            Action::HangUp(moment) => Do::HangUp(moment.into()),
            Action::Reset(TrueOr(moment)) => Do::Reset(moment.map_or(Moment::Before, Moment::from)),
            Action::Stall(True) => Do::Stall,
            Action::Garbage(TrueOr(text)) => Do::Garbage(text.map_or_else(|| GARBAGE.to_vec(), String::into_bytes)),
            Action::Without(keywords) => Do::Without(keywords),
            Action::FailHandshake(True) => Do::FailHandshake,
            Action::Certificate(Certificate(tls)) => Do::Certificate(tls),
            Action::Greylist(TrueOr(delay)) => Do::Greylist(delay.map_or(Duration::ZERO, |Seconds(time)| time)),
            Action::Limit(Limit { times, per: Seconds(per), reply }) => {
                let usual = || Reply::new(450, "4.7.1", "Rate limit exceeded, try again later");
                Do::Limit { times, per, reply: reply.map_or_else(usual, |ReplyLines(reply)| reply) }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum MomentName {
    Before,
    Within,
    After,
}

impl From<MomentName> for Moment {
    fn from(name: MomentName) -> Moment {
        match name {
            MomentName::Before => Moment::Before,
            MomentName::Within => Moment::Within,
            MomentName::After => Moment::After,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    times: usize,
    per: Seconds,
    reply: Option<ReplyLines>,
}

/// A chain and its key.
#[derive(Deserialize)]
#[serde(try_from = "Pem")]
struct Certificate(Tls);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pem {
    cert: String,
    key: String,
}

impl TryFrom<Pem> for Certificate {
    type Error = String;

    fn try_from(Pem { cert, key }: Pem) -> Result<Certificate, Self::Error> {
        Tls::rustls_from_pem(cert.as_bytes(), key.as_bytes()).map(Certificate).map_err(|e| causes::chain(&e))
    }
}

/// Defines how a type is read from a value, and what is said if it is another one.
macro_rules! read {
    ($type:ty, $expected:expr, $read:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                let read: fn(&Value) -> Option<$type> = $read;
                read(&Value::deserialize(from)?).ok_or_else(|| D::Error::custom($expected))
            }
        }
    };
}

struct VerbName(Verb);

impl<'de> Deserialize<'de> for VerbName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<VerbName, D::Error> {
        use Verb::*;
        let all = [
            Helo, Ehlo, Lhlo, Mail, Rcpt, Data, Bdat, Rset, Noop, Quit, Vrfy, Expn, Help, StartTls, Auth, Xclient,
            Xforward,
        ];
        let name = String::deserialize(from)?;
        let verb = all.into_iter().find(|verb| verb.as_str().eq_ignore_ascii_case(&name));
        verb.map(VerbName).ok_or_else(|| D::Error::custom(format!("there is no verb {name:?}")))
    }
}

struct Positive(u64);

read!(Positive, "expected a whole number above 0", |value| value.as_u64().filter(|n| *n > 0).map(Positive));

struct Probability(f64);

read!(Probability, "expected a number from 0 to 1", |value| {
    value.as_f64().filter(|probability| (0.0..=1.0).contains(probability)).map(Probability)
});

struct Seconds(Duration);

read!(Seconds, format!("expected a number of seconds, at most {MAX_SECONDS}"), |value| {
    let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds))?;
    Duration::try_from_secs_f64(seconds).ok().map(Seconds)
});

struct True;

read!(True, "expected true", |value| (value.as_bool() == Some(true)).then_some(True));

/// What there is to say of it, if anything is.
struct TrueOr<T>(Option<T>);

impl<'de, T: for<'a> Deserialize<'a>> Deserialize<'de> for TrueOr<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<TrueOr<T>, D::Error> {
        match Value::deserialize(from)? {
            Value::Bool(true) => Ok(TrueOr(None)),
            value => T::deserialize(value)
                .map(|said| TrueOr(Some(said)))
                .map_err(|e| D::Error::custom(format!("{e}, or true"))),
        }
    }
}

/// A code, a status if there is one, and a text: in each of its lines, or in the first one only.
struct ReplyLines(Reply);

impl<'de> Deserialize<'de> for ReplyLines {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ReplyLines, D::Error> {
        let value = Value::deserialize(from)?;
        let lines = lines(&value).ok_or_else(|| D::Error::custom(EXPECTED_REPLY))?;
        reply(&lines).map(ReplyLines).map_err(D::Error::custom)
    }
}

const EXPECTED_REPLY: &str = "expected a reply such as \"450 4.2.1 busy\", or an array of its lines";

fn lines(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(line) => Some(vec![line]),
        Value::Array(lines) => lines.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn reply(lines: &[&str]) -> Result<Reply, String> {
    let (code, number) = lines.first().and_then(|line| code(line)).ok_or(EXPECTED_REPLY)?;
    if !(200..=599).contains(&number) {
        return Err(format!("{code} is no code from 200 to 599"));
    }
    let mut status = "";
    let mut texts = Vec::new();
    for line in lines {
        let (found, text) = status_and_text(without_code(line, code));
        status = found.unwrap_or(status);
        texts.push(text);
    }
    if !status.is_empty() && !status.starts_with(&code[..1]) {
        return Err(format!("the status {status} does not belong to the code {code}"));
    }
    Ok(Reply::new(number, status, texts.join("\n")))
}

/// The code with which a line begins, as text and as a number.
fn code(line: &str) -> Option<(&str, u16)> {
    let (code, rest) = line.split_at_checked(3)?;
    let is_code = code.bytes().all(|b| b.is_ascii_digit()) && (rest.is_empty() || rest.starts_with([' ', '-']));
    is_code.then(|| code.parse().ok().map(|number| (code, number))).flatten()
}

/// What follows the code, if the line begins with it; else the line.
fn without_code<'a>(line: &'a str, code: &str) -> &'a str {
    match line.strip_prefix(code) {
        Some("") => "",
        Some(rest) => rest.strip_prefix([' ', '-']).unwrap_or(line),
        None => line,
    }
}

fn status_and_text(text: &str) -> (Option<&str>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word.parse::<Status>() {
        Ok(_) => (Some(word), rest),
        Err(_) => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(rules: &str) -> String {
        Rules::new(Faults::new()).replace(rules.as_bytes()).expect_err(rules)
    }

    #[test]
    fn what_is_wrong_is_told_and_where() {
        for (rules, expected) in [
            ("[", "not JSON: "),
            ("{}", "expected an array of rules"),
            ("[1]", "rule 1: expected an object"),
            (r#"[[{"verb":"RCPT"},{"stall":true},0]]"#, "rule 1: expected an object"),
            (r#"[{"do":{"stall":true}}]"#, "rule 1: missing field `on`"),
            (r#"[{"on":{"verb":"RCPT"}}]"#, "rule 1: missing field `do`"),
            (r#"[{"on":{},"do":{"stall":true},"x":1}]"#, "rule 1: x: unknown field `x`, expected one of `on`, `do`"),
        ] {
            let problem = problem(rules);
            assert!(problem.starts_with(expected), "{rules}: {problem}");
        }
    }

    #[test]
    fn an_occasion_that_is_wrong() {
        for (on, expected) in [
            (r#""RCPT""#, "on: expected an object"),
            (r#"["RCPT"]"#, "on: expected an object"),
            ("{}", "on: expected one of verb, event and content_after"),
            (r#"{"verb":"RCPT","event":"content"}"#, "on: expected one of verb, event and content_after"),
            (r#"{"verb":"RCPT","content_after":1}"#, "on: expected one of verb, event and content_after"),
            (r#"{"verb":"RCTP"}"#, "on.verb: there is no verb \"RCTP\""),
            (r#"{"event":"contend"}"#, "on.event: unknown variant `contend`, expected one of `connect`, `handshake`,"),
            (r#"{"content_after":-1}"#, "on.content_after: invalid value: integer `-1`, expected u64"),
            (r#"{"content_after":"many"}"#, "on.content_after: invalid type: string \"many\", expected u64"),
            (r#"{"verb":"RCPT","nth":0}"#, "on.nth: expected a whole number above 0"),
            (r#"{"verb":"RCPT","nth":1.5}"#, "on.nth: expected a whole number above 0"),
            (r#"{"verb":"RCPT","nth":1,"since":2}"#, "on: only one of nth, first, since and every"),
            (r#"{"verb":"RCPT","chance":2}"#, "on.chance: expected a number from 0 to 1"),
            (r#"{"verb":"RCPT","seed":2}"#, "on.seed: without a chance"),
            (r#"{"verb":"RCPT","to":3}"#, "on.to: invalid type: integer `3`, expected a string"),
            (r#"{"verb":"RCPT","two":"b"}"#, "on.two: unknown field `two`, expected one of `verb`, `event`,"),
        ] {
            let problem = problem(&format!(r#"[{{"on":{on},"do":{{"stall":true}}}}]"#));
            assert!(problem.starts_with(&format!("rule 1: {expected}")), "{on}: {problem}");
        }
    }

    #[test]
    fn an_action_that_is_wrong() {
        for (what, expected) in [
            ("1", "do: expected an object"),
            (r#"{"limit":[1,60]}"#, "do.limit: expected an object"),
            (r#"{"certificate":["x","y"]}"#, "do.certificate: expected an object"),
            ("{}", "do: "),
            (r#"{"stall":true,"delay":1}"#, "do: invalid value: map, expected map with a single key"),
            (r#"{"sleep":1}"#, "do: unknown variant `sleep`, expected one of `reply`, `delay`, `drip`, `bandwidth`,"),
            (r#"{"stall":false}"#, "do.stall: expected true"),
            (r#"{"delay":-1}"#, "do.delay: expected a number of seconds, at most 86400"),
            (r#"{"delay":1e9}"#, "do.delay: expected a number of seconds, at most 86400"),
            (r#"{"bandwidth":0}"#, "do.bandwidth: expected a whole number above 0"),
            (r#"{"hang_up":"now"}"#, "do.hang_up: unknown variant `now`, expected one of `before`, `within`, `after`"),
            (r#"{"reset":false}"#, "do.reset: "),
            (
                r#"{"reset":"now"}"#,
                "do.reset: unknown variant `now`, expected one of `before`, `within`, `after`, or true",
            ),
            (r#"{"garbage":1}"#, "do.garbage: invalid type: integer `1`, expected a string, or true"),
            (r#"{"greylist":"x"}"#, "do.greylist: expected a number of seconds, at most 86400, or true"),
            (r#"{"reply":"busy"}"#, "do.reply: expected a reply such as \"450 4.2.1 busy\", or an array of its lines"),
            (r#"{"reply":[]}"#, "do.reply: expected a reply such as"),
            (r#"{"reply":"+50 x"}"#, "do.reply: expected a reply such as"),
            (r#"{"reply":"650 x"}"#, "do.reply: 650 is no code from 200 to 599"),
            (r#"{"reply":"450 5.1.1 x"}"#, "do.reply: the status 5.1.1 does not belong to the code 450"),
            (r#"{"without":["SIZE"]}"#, "do.without: only on the verbs EHLO and LHLO"),
            (r#"{"fail_handshake":true}"#, "do.fail_handshake: only on the event handshake"),
            (r#"{"certificate":{"cert":"x"}}"#, "do.certificate: missing field `key`"),
            (r#"{"certificate":{"cert":"x","key":"y"}}"#, "do.certificate: "),
            (r#"{"limit":{"per":1}}"#, "do.limit: missing field `times`"),
            (r#"{"limit":{"times":1}}"#, "do.limit: missing field `per`"),
            (r#"{"limit":{"times":1,"per":"x"}}"#, "do.limit.per: expected a number of seconds"),
            (r#"{"limit":{"times":1,"per":1,"reply":"x"}}"#, "do.limit.reply: expected a reply such as"),
            (r#"{"limit":{"times":1,"per":1,"rate":1}}"#, "do.limit.rate: unknown field `rate`"),
        ] {
            let problem = problem(&format!(
                r#"[{{"on":{{"verb":"RCPT"}},"do":{{"stall":true}}}},{{"on":{{"verb":"RCPT"}},"do":{what}}}]"#
            ));
            assert!(problem.starts_with(&format!("rule 2: {expected}")), "{what}: {problem}");
        }
    }

    #[test]
    fn what_can_be_said() {
        let does = |on: &str, what: &str| {
            let rule = format!(r#"{{"on":{on},"do":{what}}}"#);
            let (on, what) = parse(&serde_json::from_str(&rule).unwrap()).unwrap_or_else(|e| panic!("{rule}: {e}"));
            format!("{on}: {what}")
        };
        let rcpt = r#"{"verb":"rcpt"}"#;
        for (on, what, expected) in [
            (rcpt, r#"{"reply":"450 4.2.1 busy"}"#, "RCPT: reply \"450 4.2.1 busy\""),
            (rcpt, r#"{"reply":"450"}"#, "RCPT: reply \"450 4.0.0 \""),
            (rcpt, r#"{"reply":["450-4.2.1 one","450 4.2.1 two"]}"#, "RCPT: reply \"450 4.2.1 one\\ntwo\""),
            (rcpt, r#"{"delay":0.5}"#, "RCPT: delay of 500ms"),
            (rcpt, r#"{"drip":1}"#, "RCPT: an octet every 1s"),
            (rcpt, r#"{"bandwidth":1000}"#, "RCPT: 1000 octets per second"),
            (rcpt, r#"{"hang_up":"after"}"#, "RCPT: hang up after the reply"),
            (rcpt, r#"{"reset":true}"#, "RCPT: reset before the reply"),
            (rcpt, r#"{"reset":"within"}"#, "RCPT: reset within the reply"),
            (rcpt, r#"{"stall":true}"#, "RCPT: stall"),
            (rcpt, r#"{"garbage":true}"#, "RCPT: 14 octets of garbage"),
            (rcpt, r#"{"garbage":"abc"}"#, "RCPT: 3 octets of garbage"),
            (rcpt, r#"{"greylist":true}"#, "RCPT: greylisting"),
            (rcpt, r#"{"limit":{"times":2,"per":60}}"#, "RCPT: limit of 2 in 60s"),
            (r#"{"verb":"EHLO"}"#, r#"{"without":["SIZE"]}"#, "EHLO: no SIZE"),
            (r#"{"event":"handshake"}"#, r#"{"fail_handshake":true}"#, "TLS handshake: handshake failure"),
            (
                r#"{"event":"verdict","to":"b@c.example"}"#,
                r#"{"stall":true}"#,
                "reply for one recipient to b@c.example: stall",
            ),
            (
                r#"{"content_after":100,"every":2}"#,
                r#"{"stall":true}"#,
                "content of 100 octets or more, every 2 times: stall",
            ),
            (
                r#"{"event":"command","chance":1,"seed":7}"#,
                r#"{"stall":true}"#,
                "command, with a probability of 1: stall",
            ),
        ] {
            assert_eq!(does(on, what), expected);
        }
    }

    #[test]
    fn what_was_shown_can_be_put_back() {
        let faults = Faults::new();
        let mut rules = Rules::new(faults.clone());
        rules.replace(br#"[{"on":{"verb":"RCPT"},"do":{"stall":true}}]"#).unwrap();
        let shown = rules.show().to_string();
        assert_eq!(shown, r#"[{"on":{"verb":"RCPT"},"do":{"stall":true},"fired":0}]"#);
        rules.replace(shown.as_bytes()).unwrap();
        assert_eq!((rules.show().to_string(), faults.times().len()), (shown, 1));
        rules.clear();
        assert_eq!((rules.show().to_string(), faults.times().len()), ("[]".to_owned(), 0));
    }
}
