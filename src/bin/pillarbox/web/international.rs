//! International domains: `bücher.example` in what people read is `xn--bcher-kva.example` in most envelopes (RFC 5890).

/// In octets, of a domain. RFC 5321 section 4.5.3.1.2 has 255.
const MAX_DOMAIN: usize = 1000;

/// The address with its domain in the other form, if it has two.
pub fn other_form(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    if domain.len() > MAX_DOMAIN {
        return None;
    }
    let other = match domain.is_ascii() {
        true if has_encoded_label(domain) => {
            let (other, is_valid) = idna::domain_to_unicode(domain);
            is_valid.is_ok().then_some(other)?
        }
        true => return None,
        false => idna::domain_to_ascii_strict(domain).ok()?,
    };
    (!other.eq_ignore_ascii_case(domain)).then(|| format!("{local}@{other}"))
}

/// The address with its domain in ASCII, if it can be.
pub fn in_ascii(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    if domain.is_ascii() { None } else { other_form(address) }
}

fn has_encoded_label(domain: &str) -> bool {
    domain.split('.').any(|label| label.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("xn--")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        for (address, other) in [
            ("a@bücher.example", Some("a@xn--bcher-kva.example")),
            ("a@BÜCHER.example", Some("a@xn--bcher-kva.example")),
            ("ü@xn--bcher-kva.example", Some("ü@bücher.example")),
            ("a@XN--BCHER-KVA.example", Some("a@bücher.example")),
            ("ü@example.org", None),
            ("a@xn--.example", None),
            ("a@xn--\u{7f}.example", None),
            ("bücher.example", None),
            ("a@ü..ü\u{200b} <", None),
            ("", None),
        ] {
            assert_eq!(other_form(address).as_deref(), other, "{address}");
        }
        assert_eq!(in_ascii("a@bücher.example").as_deref(), Some("a@xn--bcher-kva.example"));
        assert_eq!(in_ascii("a@xn--bcher-kva.example"), None);
        assert_eq!(other_form(&format!("a@{}", "ü.".repeat(1000))), None);
    }
}
