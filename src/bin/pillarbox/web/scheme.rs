//! A message as it looks to a reader who prefers light colours, or dark ones.
//!
//! What its style sheets say for either is made to hold, whatever the browser's own preference is. Nothing else is changed: a
//! message that is made for one of them only stays as it is.

/// What a reader prefers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    Light,
    Dark,
}

/// The property, which is also the end of the media feature.
const PROPERTY: &str = "color-scheme";
const PREFERS: &str = "prefers-";

/// Media features that always hold, or never.
const ALWAYS: &str = "min-width:0";
const NEVER: &str = "max-width:0";

impl Scheme {
    pub fn named(name: &str) -> Option<Scheme> {
        [Scheme::Light, Scheme::Dark].into_iter().find(|scheme| scheme.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        }
    }

    /// Markup whose styles prefer this.
    pub fn apply(self, markup: &str) -> String {
        let mut applied = String::with_capacity(markup.len());
        let mut rest = markup;
        while let Some(at) = rest.bytes().position(|b| matches!(b, b'c' | b'C')) {
            let (before, found) = rest.split_at(at);
            applied += before;
            let length = match value(found) {
                Some((blanks, value)) if ends_with(&applied, PREFERS) => {
                    let holds = value.trim().eq_ignore_ascii_case(self.name());
                    applied.truncate(applied.len() - PREFERS.len());
                    applied += if holds { ALWAYS } else { NEVER };
                    blanks + value.len()
                }
                Some((blanks, value)) if has(value, "light") && has(value, "dark") => {
                    applied += &found[..blanks];
                    applied += self.name();
                    blanks + value.len()
                }
                _ => {
                    applied += &found[..1];
                    1
                }
            };
            rest = &found[length..];
        }
        applied + rest
    }
}

/// The words that follow the property and a colon, and where they begin.
fn value(text: &str) -> Option<(usize, &str)> {
    let name = text.get(..PROPERTY.len()).filter(|name| name.eq_ignore_ascii_case(PROPERTY))?;
    let behind = text[name.len()..].trim_start().strip_prefix(':')?;
    let value = behind.trim_start();
    let end = value.find(|c: char| !c.is_ascii_alphabetic() && c != ' ').unwrap_or(value.len());
    Some((text.len() - value.len(), value[..end].trim_end())).filter(|(_, value)| !value.is_empty())
}

fn has(value: &str, word: &str) -> bool {
    value.split(' ').any(|other| other.eq_ignore_ascii_case(word))
}

fn ends_with(text: &str, end: &str) -> bool {
    let begin = text.len().checked_sub(end.len());
    begin.and_then(|begin| text.get(begin..)).is_some_and(|last| last.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_styles_say() {
        for (css, light, dark) in [
            ("@media (prefers-color-scheme: dark) {", "@media (max-width:0) {", "@media (min-width:0) {"),
            ("(PREFERS-Color-Scheme:LIGHT )", "(min-width:0 )", "(max-width:0 )"),
            (":root { color-scheme: light dark; }", ":root { color-scheme: light; }", ":root { color-scheme: dark; }"),
            (":root{color-scheme:only dark}", ":root{color-scheme:only dark}", ":root{color-scheme:only dark}"),
            ("color-scheme", "color-scheme", "color-scheme"),
            ("color-scheme:", "color-scheme:", "color-scheme:"),
            ("cc\u{e9}color:red", "cc\u{e9}color:red", "cc\u{e9}color:red"),
        ] {
            assert_eq!((Scheme::Light.apply(css).as_str(), Scheme::Dark.apply(css).as_str()), (light, dark));
        }
    }
}
