//! What EHLO offers: RFC 5321 section 4.1.1.1 and the registry of SMTP service extensions.

use crate::config::Config;
use crate::parameter::Offered;

/// What an offer depends on besides the settings.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Facts {
    /// TLS is in use.
    pub encrypted: bool,
    /// TLS can be begun.
    pub starttls: bool,
}

/// The text of the reply to EHLO: the host, and a line for each extension that is true now. `mechanisms` are those of AUTH.
pub(crate) fn ehlo(config: &Config, facts: Facts, mechanisms: &str) -> String {
    let Offered { size, eight_bit_mime, smtputf8 } = offered(config, facts);
    let mut text = format!("{}\nPIPELINING\n", config.hostname);
    if size {
        // 0 says that there is no fixed limit: RFC 1870 section 4.
        text += &format!("SIZE {}\n", config.data_size_limit);
    }
    if eight_bit_mime {
        text += "8BITMIME\n";
    }
    if smtputf8 {
        text += "SMTPUTF8\n";
    }
    text += "ENHANCEDSTATUSCODES\nCHUNKING\n";
    if facts.starttls {
        text += "STARTTLS\n";
    }
    if !mechanisms.is_empty() {
        text += &format!("AUTH {mechanisms}\n");
    }
    text + &format!("LIMITS RCPTMAX={}\nHELP", config.max_recipients)
}

/// The parameters that a client may use which said EHLO.
pub(crate) fn offered(config: &Config, _facts: Facts) -> Offered {
    Offered {
        size: true,
        // Content that is given out as text has no place for other octets.
        eight_bit_mime: !config.decode_data,
        smtputf8: config.smtputf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_in_order() {
        let config = Config { smtputf8: true, ..Config::default() };
        assert_eq!(
            ehlo(&config, Facts::default(), ""),
            "localhost\nPIPELINING\nSIZE 33554432\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING\nLIMITS RCPTMAX=1000\nHELP"
        );
    }

    #[test]
    fn decode_data_takes_8bitmime_away() {
        let config = Config { decode_data: true, data_size_limit: 0, ..Config::default() };
        let text = ehlo(&config, Facts::default(), "");
        assert!(!text.contains("8BITMIME") && text.contains("SIZE 0\n"), "{text}");
    }
}
