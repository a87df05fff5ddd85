//! What EHLO offers: RFC 5321 section 4.1.1.1 and the registry of SMTP service extensions.

use crate::config::Config;
use crate::parameter::Offered;

/// The text of the reply to EHLO: the host, and a line for each extension that is true now.
pub(crate) fn ehlo(config: &Config) -> String {
    let Offered { size, eight_bit_mime, smtputf8 } = offered(config);
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
    text + &format!("ENHANCEDSTATUSCODES\nLIMITS RCPTMAX={}\nHELP", config.max_recipients)
}

/// The parameters that a client may use which said EHLO.
pub(crate) fn offered(config: &Config) -> Offered {
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
            ehlo(&config),
            "localhost\nPIPELINING\nSIZE 33554432\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nLIMITS RCPTMAX=1000\nHELP"
        );
    }

    #[test]
    fn decode_data_takes_8bitmime_away() {
        let config = Config { decode_data: true, data_size_limit: 0, ..Config::default() };
        let text = ehlo(&config);
        assert!(!text.contains("8BITMIME") && text.contains("SIZE 0\n"), "{text}");
    }
}
