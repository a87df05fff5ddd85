//! Faults as JSON: what [`On`] and [`Do`] can say, and which rule says it wrong.

use std::time::Duration;

use pillarbox::testing::{Chance, Do, Event, Faults, Moment, Occurrence, On};
use pillarbox::{Reply, Tls, Verb};
use serde_json::{Map, Value};

/// The longest delay.
const MAX_SECONDS: f64 = 86_400.0;

/// What comes in a reply's place if it is not said what.
const GARBAGE: &[u8] = b"\0\x01\xfe\xff garbage\r\n";

/// The rules that are in force, as they were put.
pub struct Rules {
    faults: Faults,
    put: Value,
}

impl Rules {
    pub fn new(faults: Faults) -> Rules {
        Rules { faults, put: Value::Array(Vec::new()) }
    }

    pub fn put(&self) -> &Value {
        &self.put
    }

    pub fn clear(&mut self) {
        self.faults.clear();
        self.put = Value::Array(Vec::new());
    }

    /// Takes the place of all rules that were there.
    ///
    /// # Errors
    /// Which rule is wrong, and where; then nothing changes.
    pub fn replace(&mut self, body: &[u8]) -> Result<(), String> {
        let put: Value = serde_json::from_slice(body).map_err(|e| format!("not JSON: {e}"))?;
        let rules = put.as_array().ok_or("expected an array of rules")?;
        let numbered = rules.iter().enumerate();
        let parsed: Vec<_> = numbered
            .map(|(at, rule)| parse(rule).map_err(|problem| format!("rule {}: {problem}", at + 1)))
            .collect::<Result<_, _>>()?;
        self.faults.clear();
        for (on, what) in parsed {
            self.faults.add(on, what);
        }
        self.put = put;
        Ok(())
    }
}

fn parse(rule: &Value) -> Result<(On, Do), String> {
    let mut fields = Fields::of("", rule)?;
    let on = fields.take("on").ok_or("on: missing")?;
    let what = fields.take("do").ok_or("do: missing")?;
    fields.end()?;
    let on = parse_on(on)?;
    let what = parse_do(what, &on)?;
    Ok((on, what))
}

fn parse_on(on: &Value) -> Result<On, String> {
    let mut fields = Fields::of("on.", on)?;
    let event = match (fields.text("verb")?, fields.text("event")?) {
        (Some(name), None) => Event::Verb(verb(name).ok_or_else(|| format!("on.verb: there is no verb {name:?}"))?),
        (None, Some(name)) => {
            event(name).ok_or("on.event: expected connect, handshake, command, content or accepted")?
        }
        _ => return Err("on: expected one of verb and event".to_owned()),
    };
    let mut on = On::event(event);
    for name in ["nth", "first", "since", "every"] {
        let Some(number) = fields.number(name)? else { continue };
        if on.occurrence != Occurrence::Each {
            return Err(format!("on.{name}: only one of nth, first, since and every"));
        }
        on.occurrence = match name {
            "nth" => Occurrence::Nth(number),
            "first" => Occurrence::First(number),
            "since" => Occurrence::From(number),
            _ => Occurrence::Every(number),
        };
    }
    on.from = fields.text("from")?.map(str::to_owned);
    on.to = fields.text("to")?.map(str::to_owned);
    on.message = fields.number("message")?;
    let seed = fields.take("seed").map(|seed| seed.as_u64().ok_or("on.seed: expected a number")).transpose()?;
    on.chance = match fields.take("chance") {
        None if seed.is_some() => return Err("on.seed: without a chance".to_owned()),
        None => None,
        Some(chance) => {
            let probability = chance.as_f64().filter(|p| (0.0..=1.0).contains(p));
            let probability = probability.ok_or("on.chance: expected a number from 0 to 1")?;
            Some(Chance { probability, seed: seed.unwrap_or(0) })
        }
    };
    fields.end()?;
    Ok(on)
}

fn parse_do(what: &Value, on: &On) -> Result<Do, String> {
    let [(name, value)] = &what.as_object().ok_or("do: expected an object")?.iter().collect::<Vec<_>>()[..] else {
        return Err("do: expected exactly one of the things to do".to_owned());
    };
    let at = format!("do.{name}");
    let expected = |what: &str| format!("{at}: expected {what}");
    let is_said = || value.as_bool().filter(|said| *said).ok_or_else(|| expected("true"));
    let moment = || value.as_str().and_then(moment).ok_or_else(|| expected("before, within or after"));
    let only_at_handshake = || match on.event {
        Event::Handshake => Ok(()),
        _ => Err(format!("{at}: only on the event handshake")),
    };
    Ok(match name.as_str() {
        "reply" => Do::Reply(reply(&at, value)?),
        "delay" => Do::Delay(seconds(&at, value)?),
        "drip" => Do::Drip(seconds(&at, value)?),
        "hang_up" => Do::HangUp(moment()?),
        "reset" if value.is_boolean() => is_said().map(|_| Do::Reset(Moment::Before))?,
        "reset" => Do::Reset(moment()?),
        "stall" => is_said().map(|_| Do::Stall)?,
        "garbage" => match value.as_str() {
            Some(text) => Do::Garbage(text.as_bytes().to_vec()),
            None => is_said().map(|_| Do::Garbage(GARBAGE.to_vec()))?,
        },
        "without" => {
            let keywords = value.as_array().and_then(|all| all.iter().map(|k| k.as_str().map(str::to_owned)).collect());
            match on.event {
                Event::Verb(Verb::Ehlo | Verb::Lhlo) => {}
                _ => return Err(format!("{at}: only on the verbs EHLO and LHLO")),
            }
            Do::Without(keywords.ok_or_else(|| expected("an array of keywords"))?)
        }
        "fail_handshake" => {
            only_at_handshake()?;
            is_said().map(|_| Do::FailHandshake)?
        }
        "certificate" => {
            only_at_handshake()?;
            let mut fields = Fields::of(&format!("{at}."), value)?;
            let (cert, key) = (fields.text("cert")?, fields.text("key")?);
            fields.end()?;
            let (Some(cert), Some(key)) = (cert, key) else { return Err(expected("cert and key, both in PEM")) };
            Do::Certificate(Tls::from_pem(cert.as_bytes(), key.as_bytes()).map_err(|e| format!("{at}: {e}"))?)
        }
        "greylist" if value.is_boolean() => is_said().map(|_| Do::Greylist(Duration::ZERO))?,
        "greylist" => Do::Greylist(seconds(&at, value)?),
        "limit" => {
            let mut fields = Fields::of(&format!("{at}."), value)?;
            let times = fields.number("times")?.and_then(|times| usize::try_from(times).ok());
            let (per, said) = (fields.take("per"), fields.take("reply"));
            fields.end()?;
            Do::Limit {
                times: times.ok_or_else(|| format!("{at}.times: missing"))?,
                per: seconds(&format!("{at}.per"), per.unwrap_or(&Value::Null))?,
                reply: match said {
                    Some(said) => reply(&format!("{at}.reply"), said)?,
                    None => Reply::new(450, "4.7.1", "Rate limit exceeded, try again later"),
                },
            }
        }
        _ => return Err(format!("{at}: there is no such thing to do")),
    })
}

/// A code, a status if there is one, and a text: in each of its lines, or in the first one only.
fn reply(at: &str, value: &Value) -> Result<Reply, String> {
    let problem = || format!("{at}: expected a reply such as \"450 4.2.1 busy\", or an array of its lines");
    let lines: Vec<&str> = match value {
        Value::String(line) => vec![line],
        Value::Array(lines) => lines.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(problem)?,
        _ => return Err(problem()),
    };
    let (code, rest) = lines.first().and_then(|line| line.split_at_checked(3)).ok_or_else(problem)?;
    let is_end = rest.is_empty() || rest.starts_with([' ', '-']);
    let number: u16 = Some(code)
        .filter(|code| is_end && code.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|c| c.parse().ok())
        .ok_or_else(problem)?;
    if !(200..=599).contains(&number) {
        return Err(format!("{at}: {code} is no code from 200 to 599"));
    }
    let mut status = "";
    let mut texts = Vec::new();
    for line in lines {
        let text = line
            .strip_prefix(code)
            .filter(|text| text.is_empty() || text.starts_with([' ', '-']))
            .map_or(line, |text| text.get(1..).unwrap_or(""));
        let (word, behind) = text.split_once(' ').unwrap_or((text, ""));
        texts.push(match word.parse::<pillarbox::Status>() {
            Ok(_) => {
                status = word;
                behind
            }
            Err(_) => text,
        });
    }
    if !status.is_empty() && !status.starts_with(&code[..1]) {
        return Err(format!("{at}: the status {status} does not belong to the code {code}"));
    }
    Ok(Reply::new(number, status, texts.join("\n")))
}

fn seconds(at: &str, value: &Value) -> Result<Duration, String> {
    let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| format!("{at}: expected a number of seconds, at most {MAX_SECONDS}"))
}

fn moment(name: &str) -> Option<Moment> {
    match name {
        "before" => Some(Moment::Before),
        "within" => Some(Moment::Within),
        "after" => Some(Moment::After),
        _ => None,
    }
}

fn event(name: &str) -> Option<Event> {
    match name {
        "connect" => Some(Event::Connect),
        "handshake" => Some(Event::Handshake),
        "command" => Some(Event::Command),
        "content" => Some(Event::Content),
        "accepted" => Some(Event::Accepted),
        _ => None,
    }
}

fn verb(name: &str) -> Option<Verb> {
    use Verb::*;
    let all = [
        Helo, Ehlo, Lhlo, Mail, Rcpt, Data, Bdat, Rset, Noop, Quit, Vrfy, Expn, Help, StartTls, Auth, Xclient, Xforward,
    ];
    all.into_iter().find(|verb| verb.as_str().eq_ignore_ascii_case(name))
}

/// The fields of an object, each taken once, and none left in the end.
struct Fields<'a> {
    path: String,
    all: &'a Map<String, Value>,
    taken: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn of(path: &str, value: &'a Value) -> Result<Fields<'a>, String> {
        let all = value.as_object().ok_or_else(|| match path.trim_end_matches('.') {
            "" => "expected an object".to_owned(),
            path => format!("{path}: expected an object"),
        })?;
        Ok(Fields { path: path.to_owned(), all, taken: Vec::new() })
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.taken.push(name);
        self.all.get(name)
    }

    fn text(&mut self, name: &'static str) -> Result<Option<&'a str>, String> {
        let text = |value: &'a Value| value.as_str().ok_or_else(|| format!("{}{name}: expected a text", self.path));
        self.all.get(name).map(text).transpose().inspect(|_| self.taken.push(name))
    }

    fn number(&mut self, name: &'static str) -> Result<Option<u64>, String> {
        let number = |value: &Value| {
            value
                .as_u64()
                .filter(|n| *n > 0)
                .ok_or_else(|| format!("{}{name}: expected a whole number above 0", self.path))
        };
        self.all.get(name).map(number).transpose().inspect(|_| self.taken.push(name))
    }

    fn end(self) -> Result<(), String> {
        match self.all.keys().find(|name| !self.taken.contains(&name.as_str())) {
            Some(unknown) => Err(format!("{}{unknown}: there is no such field", self.path)),
            None => Ok(()),
        }
    }
}
