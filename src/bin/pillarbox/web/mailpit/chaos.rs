//! Mailpit's chaos, as rules for faults: a reply to MAIL, RCPT or AUTH, with a chance.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::or_default;
use crate::web::rules::Rules;

/// A trigger's name, the verb that it is of, and its usual reply.
const TRIGGERS: [(&str, &str, u64); 3] =
    [("Sender", "MAIL", 451), ("Recipient", "RCPT", 451), ("Authentication", "AUTH", 535)];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Chaos {
    #[serde(rename = "Sender", deserialize_with = "or_default")]
    sender: Trigger,
    #[serde(rename = "Recipient", deserialize_with = "or_default")]
    recipient: Trigger,
    #[serde(rename = "Authentication", deserialize_with = "or_default")]
    authentication: Trigger,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(deny_unknown_fields, default)]
struct Trigger {
    #[serde(rename = "ErrorCode", deserialize_with = "or_default")]
    code: u64,
    #[serde(rename = "Probability", deserialize_with = "or_default")]
    probability: u64,
}

/// The triggers that the rules are. One that there is no rule for has no chance.
pub fn show(rules: &mut Rules) -> Value {
    let rules = rules.show().as_array().map(Vec::as_slice).unwrap_or_default();
    let triggers = TRIGGERS.into_iter().map(|(name, verb, usual)| {
        let of_rules = rules.iter().find_map(|rule| trigger(rule, verb));
        let (code, percent) = of_rules.unwrap_or((usual, 0));
        (name.to_owned(), json!({ "ErrorCode": code, "Probability": percent }))
    });
    Value::Object(triggers.collect::<Map<_, _>>())
}

/// Replaces the triggers; other rules stay.
///
/// # Errors
/// Which trigger is wrong.
pub fn put(rules: &mut Rules, chaos: Chaos) -> Result<Value, String> {
    let is_other = |rule: &&Value| TRIGGERS.iter().all(|(_, verb, _)| trigger(rule, verb).is_none());
    let mut all: Vec<Value> = rules.show().as_array().into_iter().flatten().filter(is_other).cloned().collect();
    for ((name, verb, usual), asked) in TRIGGERS.into_iter().zip([chaos.sender, chaos.recipient, chaos.authentication])
    {
        let code = if asked.code == 0 { usual } else { asked.code };
        if !(400..=599).contains(&code) {
            return Err(format!("{name}: ErrorCode: expected a number from 400 to 599"));
        }
        if asked.probability > 100 {
            return Err(format!("{name}: Probability: expected a number from 0 to 100"));
        }
        if asked.probability > 0 {
            let chance = asked.probability as f64 / 100.0;
            let reply = format!("{code} {}.3.0 Chaos", code / 100);
            all.push(json!({ "on": { "verb": verb, "chance": chance }, "do": { "reply": reply } }));
        }
    }
    rules.replace(Value::Array(all).to_string().as_bytes())?;
    Ok(show(rules))
}

/// The reply's code and the chance in percent, if a rule is a trigger.
fn trigger(rule: &Value, verb: &str) -> Option<(u64, u64)> {
    let (on, what) = (rule["on"].as_object()?, rule["do"].as_object()?);
    if on.len() != 2 || what.len() != 1 || !on.get("verb")?.as_str()?.eq_ignore_ascii_case(verb) {
        return None;
    }
    let chance = on.get("chance")?.as_f64()?;
    let code = what.get("reply")?.as_str()?.get(..3)?.parse().ok()?;
    Some((code, (chance * 100.0).round() as u64))
}
