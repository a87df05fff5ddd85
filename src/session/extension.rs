//! What EHLO offers: RFC 5321 section 4.1.1.1 and the registry of SMTP service extensions.

use std::time::SystemTime;

use crate::config::Config;
use crate::syntax::date;
use crate::syntax::parameter::Offered;
use crate::syntax::{xclient, xforward};

/// What an offer depends on besides the settings.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Facts {
    /// TLS is in use.
    pub encrypted: bool,
    /// TLS can be begun.
    pub starttls: bool,
    /// Clients can authenticate themselves.
    pub auth: bool,
    /// The client may say for whom it speaks.
    pub xclient: bool,
    /// The client may say where messages came from before it.
    pub xforward: bool,
    /// The time, where something depends on it.
    pub now: Option<SystemTime>,
}

/// The text of the reply to EHLO: the host, and a line for each extension that is true now. `mechanisms` are those of AUTH.
pub(crate) fn ehlo(config: &Config, facts: Facts, mechanisms: &str) -> String {
    let offered = offered(config, facts);
    // Room for all, since every connection asks at least once.
    let mut text = String::with_capacity(512);
    text += &config.hostname;
    text += "\nPIPELINING\n";
    // 0 says that there is no fixed limit: RFC 1870 section 4.
    text += &format!("SIZE {}\n", config.data_size_limit);
    let mut offer = |is_offered: bool, line: &str| {
        if is_offered {
            text += line;
            text.push('\n');
        }
    };
    offer(offered.eight_bit_mime, "8BITMIME");
    offer(offered.smtputf8, "SMTPUTF8");
    offer(true, "ENHANCEDSTATUSCODES");
    offer(true, "CHUNKING");
    offer(offered.binary_mime, "BINARYMIME");
    offer(offered.dsn, "DSN");
    offer(facts.starttls, "STARTTLS");
    if !mechanisms.is_empty() {
        offer(true, &format!("AUTH {mechanisms}"));
    }
    offer(offered.require_tls, "REQUIRETLS");
    offer(facts.xclient, xclient::KEYWORD);
    offer(facts.xforward, xforward::KEYWORD);
    offer(offered.prdr, "PRDR");
    offer(offered.mt_priority, "MT-PRIORITY");
    if let Some(min) = offered.deliver_by {
        offer(true, &format!("DELIVERBY {}", min.as_secs()));
    }
    if let Some((max, now)) = offered.future_release {
        offer(true, &format!("FUTURERELEASE {} {}", max.as_secs(), date::rfc3339(now + max)));
    }
    for own in config.extensions.offers() {
        offer(true, &own);
    }
    text += &format!("LIMITS RCPTMAX={}\nHELP", config.max_recipients);
    text
}

/// The parameters that a client may use which said EHLO; one that said HELO may use none (RFC 5321 section 4.1.1.1).
pub(crate) fn offered(config: &Config, facts: Facts) -> Offered<'_> {
    Offered {
        size: true,
        // Content that is given out as text has no place for other octets.
        eight_bit_mime: !config.decode_data,
        binary_mime: !config.decode_data,
        smtputf8: config.smtputf8,
        dsn: config.dsn,
        auth: facts.auth,
        // RFC 8689 section 2: only where TLS is in use already.
        require_tls: facts.encrypted,
        prdr: config.prdr && !config.lmtp,
        mt_priority: config.mt_priority,
        deliver_by: config.deliver_by,
        future_release: config.future_release.zip(facts.now),
        extensions: Some(&config.extensions),
        ignores_unknown: config.ignore_unknown_parameters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn keywords_in_order() {
        let config = Config { smtputf8: true, ..Config::default() };
        assert_eq!(
            ehlo(&config, Facts::default(), ""),
            "localhost\nPIPELINING\nSIZE 33554432\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING\nBINARYMIME\nDSN\nLIMITS \
             RCPTMAX=1000\nHELP"
        );
    }

    #[test]
    fn what_must_be_turned_on_or_depends_on_facts() {
        let config = Config {
            prdr: true,
            mt_priority: true,
            deliver_by: Some(Duration::from_secs(60)),
            future_release: Some(Duration::from_secs(3600)),
            ..Config::default()
        };
        let facts = Facts { encrypted: true, now: Some(SystemTime::UNIX_EPOCH), ..Facts::default() };
        let text = ehlo(&config, facts, "PLAIN");
        assert!(text.contains("AUTH PLAIN\nREQUIRETLS\nPRDR\nMT-PRIORITY\nDELIVERBY 60\n"), "{text}");
        assert!(text.contains("FUTURERELEASE 3600 1970-01-01T01:00:00Z\n"), "{text}");
        let facts = Facts { starttls: true, ..Facts::default() };
        assert!(ehlo(&Config::default(), facts, "").contains("DSN\nSTARTTLS\nLIMITS"));
    }

    #[test]
    fn decode_data_takes_8bitmime_away() {
        let config = Config { decode_data: true, data_size_limit: 0, ..Config::default() };
        let text = ehlo(&config, Facts::default(), "");
        assert!(!text.contains("MIME") && text.contains("SIZE 0\n"), "{text}");
    }
}
