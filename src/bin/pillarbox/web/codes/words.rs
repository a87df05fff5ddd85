//! The words around a code, in the languages in which most services write.

/// A word of a line, or what is written like one.
pub struct Word<'a> {
    pub text: &'a str,
    pub lower: String,
    pub begin: usize,
    pub end: usize,
}

/// Words that name a code, whole.
const CODES: &[&str] = &[
    "code",
    "codes",
    "pin",
    "otp",
    "totp",
    "passcode",
    "password",
    "passwort",
    "token",
    "tan",
    "mtan",
    "pushtan",
    "phototan",
    "2fa",
    "mfa",
    "codice",
    "código",
    "codigo",
    "clave",
    "contraseña",
    "senha",
    "kod",
    "kodu",
    "kodun",
    "kodunu",
    "kodunuz",
    "kodunuzu",
    "koden",
    "kode",
    "koodi",
    "koodisi",
    "kód",
    "kóda",
    "kódja",
    "kódod",
    "kódot",
    "şifre",
    "şifreniz",
    "kodas",
    "cod",
    "codul",
    "код",
    "кода",
    "кодом",
    "пароль",
    "пин",
    "κωδικός",
    "κωδικό",
    "رمز",
    "الرمز",
    "رمزك",
    "کد",
    "קוד",
    "הקוד",
    "कोड",
    "ओटीपी",
    "mã",
    "jelszó",
    "mot de passe",
    "einmalpasswort",
    "pincode",
];

/// What words that name a code may end with, as in `Sicherheitscode`.
const ENDS: &[&str] = &["code", "kode", "koden", "kod", "koodi", "koodisi", "passwort", "kód"];

/// What names a code in scripts without blanks.
const FOREIGN: &[&str] = &[
    "验证码",
    "驗證碼",
    "校验码",
    "确认码",
    "動態密碼",
    "动态码",
    "コード",
    "パスワード",
    "暗証番号",
    "認証番号",
    "인증번호",
    "인증코드",
    "코드",
    "รหัส",
];

/// What ends like a code and is none, and what comes before the word if it is another kind of code.
const OTHER_KINDS: &[&str] = &[
    "zip",
    "postal",
    "post",
    "area",
    "country",
    "dialing",
    "error",
    "status",
    "exit",
    "response",
    "promo",
    "promotion",
    "promotional",
    "discount",
    "coupon",
    "voucher",
    "referral",
    "gift",
    "card",
    "source",
    "dress",
    "bar",
    "qr",
    "tracking",
    "product",
    "tax",
    "currency",
    "airport",
    "bank",
    "sort",
    "swift",
    "http",
    "language",
    "gutschein",
    "rabatt",
    "artikel",
    "morse",
    "html",
    "booking",
    "posta",
    "почтовый",
    "kunden",
    "kund",
    "kunde",
    "client",
    "customer",
    "produkt",
    "kampanj",
    "aktions",
    "aktivitets",
    "fehler",
    "länder",
];

/// What comes behind the word, with `de` or `di` before it or without, if it is another kind of code.
const OTHER_KINDS_BEHIND: &[&str] = &[
    "postal",
    "postale",
    "pocztowy",
    "client",
    "cliente",
    "fiscal",
    "fiscale",
    "promo",
    "promotionnel",
    "promocional",
    "promozionale",
    "réduction",
    "descuento",
    "desconto",
    "sconto",
    "rabatowy",
    "pedido",
    "producto",
    "produto",
    "prodotto",
    "article",
    "artículo",
    "erreur",
    "error",
    "erro",
    "errore",
    "conduct",
    "país",
    "pays",
    "barras",
];

/// What a line is about that offers something cheaper by a code.
const OFFERS: &[&str] = &["checkout", "discount", "coupon", "promo", "voucher", "rabatt", "gutschein"];

const OTHER_WORDS: &[&str] = &["unicode", "decode", "encode"];

/// What a message about codes is about.
const OCCASIONS: &[&str] = &[
    "verify",
    "verification",
    "verifying",
    "confirm",
    "confirmation",
    "authenticate",
    "authentication",
    "authorize",
    "login",
    "sign",
    "log",
    "signin",
    "logging",
    "signing",
    "one-time",
    "reset",
    "two-factor",
    "2-step",
    "activate",
    "activation",
    "access",
    "anmelden",
    "anmeldung",
    "bestätigen",
    "bestätigung",
    "verifizieren",
    "connexion",
    "vérification",
    "vérifier",
    "confirmer",
    "verificar",
    "verificación",
    "confirmar",
    "verificação",
    "verifica",
    "confermare",
    "подтверждения",
    "подтвердить",
    "doğrulama",
];

/// What may stand between a code and the word for it, for what looks like a code.
const FILLERS: &[&str] = &[
    "is",
    "is:",
    "the",
    "your",
    "this",
    "for",
    "to",
    "here",
    "below",
    "following",
    "as",
    "a",
    "an",
    "and",
    "it",
    "s",
    "or",
    "use",
    "enter",
    "login",
    "sign",
    "log",
    "in",
    "verification",
    "verify",
    "email",
    "account",
    "now",
    "ist",
    "lautet",
    "dein",
    "ihr",
    "für",
    "zur",
    "est",
    "votre",
    "de",
    "es",
    "su",
    "tu",
    "para",
    "é",
    "seu",
    "è",
    "tuo",
    "per",
    "il",
    "la",
    "el",
    "le",
    "är",
    "er",
    "on",
    "to",
    "number",
    "by",
    "app",
    "up",
];

/// What may stand there even before what looks like a word.
const COPULAS: &[&str] = &[
    "is",
    "ist",
    "lautet",
    "est",
    "es",
    "é",
    "è",
    "är",
    "er",
    "on",
    "jest",
    "to",
    "be",
    "as",
    "was",
    "are",
    "will",
    "sono",
    "sind",
    "это",
    "για",
    "here",
    "este",
    "adalah",
    "là",
    "είναι",
    "هو",
    "هي",
    "הוא",
];

/// Verbs that a code comes right behind.
const VERBS: &[&str] = &[
    "is",
    "ist",
    "lautet",
    "est",
    "es",
    "é",
    "è",
    "är",
    "er",
    "on",
    "jest",
    "это",
    "este",
    "je",
    "adalah",
    "là",
    "είναι",
    "هو",
    "هي",
    "הוא",
];

/// What a code is for, if it stands right behind the word for it: a whole transaction may come before the code then.
const PURPOSES: &[&str] = &["for", "to", "für", "pour", "para", "per"];

/// What ends with a dot within a sentence.
const ABBREVIATIONS: &[&str] =
    &["rs", "inc", "ltd", "co", "corp", "no", "nr", "mr", "mrs", "ms", "dr", "st", "dvs", "approx"];

/// What is said of a code's time, and not of its digits.
const TIMES: &[&str] = &["valid", "expires", "expire", "expired", "within", "until", "sent", "after", "gültig"];

/// How a reader is told to use one.
const USES: &[&str] = &[
    "use",
    "enter",
    "type",
    "input",
    "using",
    "with",
    "copy",
    "paste",
    "provide",
    "submit",
    "insert",
    "verwende",
    "verwenden",
    "eingeben",
    "saisissez",
    "entrez",
    "utilisez",
    "ingresa",
    "introduce",
    "digite",
    "введите",
];

/// What a number is of if it is none.
const UNITS: &[&str] = &[
    "minutes", "minute", "min", "mins", "hours", "hour", "hrs", "days", "day", "seconds", "second", "secs", "sec",
    "weeks", "months", "years", "ms", "usd", "eur", "gbp", "chf", "jpy", "dollars", "euro", "euros", "kb", "mb", "gb",
    "px", "pt", "points", "items", "kg", "km", "miles", "people", "users", "times", "minuten", "stunden", "tage",
    "sekunden", "heures", "jours", "minutos", "horas", "am", "pm",
];

/// What stands before the number of something else.
const NUMBERS: &[&str] = &[
    "order",
    "invoice",
    "ticket",
    "ref",
    "reference",
    "no",
    "nr",
    "number",
    "account",
    "customer",
    "case",
    "phone",
    "tel",
    "telephone",
    "call",
    "fax",
    "mobile",
    "zip",
    "postcode",
    "plz",
    "since",
    "year",
    "copyright",
    "suite",
    "box",
    "room",
    "street",
    "in",
    "eur",
    "usd",
    "gbp",
    "chf",
    "until",
    "by",
    "from",
    "version",
    "build",
    "page",
    "ext",
    "extension",
    "id",
    "order-no",
    "bestellung",
    "rechnung",
    "kundennummer",
    "bestellnummer",
    "rechnungsnummer",
    "telefon",
    "anruf",
    "port",
    "item",
    "sku",
    "total",
    "over",
    "than",
    "about",
    "january",
    "december",
    "vat",
    "iban",
    "ust",
    "rfc",
];

impl Word<'_> {
    /// Whether it names a code.
    pub fn is_code(&self) -> bool {
        let word = &*self.lower;
        CODES.contains(&word)
            || word.split('-').any(|part| CODES.contains(&part)) && word.len() > 4
            || has_end_of_code(word)
            || self.is_foreign() && FOREIGN.iter().any(|foreign| word.contains(foreign))
    }

    /// Whether its script has no blanks between words.
    pub fn is_foreign(&self) -> bool {
        self.text.chars().next().is_some_and(is_unspaced)
    }
}

/// Whether it is like `Sicherheitscode`, and not like `Postcode`.
fn has_end_of_code(word: &str) -> bool {
    let begin = ENDS.iter().filter_map(|end| word.strip_suffix(end)).min_by_key(|begin| begin.len());
    begin.is_some_and(|begin| !OTHER_KINDS.contains(&begin) && !OTHER_WORDS.contains(&word))
}

pub fn is_occasion(word: &str) -> bool {
    OCCASIONS.contains(&word)
        || CODES.contains(&word)
        || has_end_of_code(word)
        || FOREIGN.iter().any(|foreign| word.contains(foreign))
}

pub fn is_filler(word: &str) -> bool {
    FILLERS.contains(&word) || COPULAS.contains(&word) || word.chars().any(is_unspaced)
}

pub fn is_copula(word: &str) -> bool {
    COPULAS.contains(&word)
}

pub fn is_verb(word: &str) -> bool {
    // Thai has no blank before it.
    VERBS.contains(&word) || word.ends_with("คือ")
}

pub fn is_purpose(word: &str) -> bool {
    PURPOSES.contains(&word)
}

pub fn is_abbreviation(word: &str) -> bool {
    ABBREVIATIONS.contains(&word)
}

pub fn is_of_time(word: &str) -> bool {
    TIMES.contains(&word)
}

pub fn is_use(word: &str) -> bool {
    USES.contains(&word)
}

pub fn is_unit(word: &str) -> bool {
    UNITS.contains(&word)
}

pub fn is_number_of(word: &str) -> bool {
    NUMBERS.contains(&word)
}

pub fn is_other_kind_behind(word: &str) -> bool {
    OTHER_KINDS_BEHIND.contains(&word)
}

pub fn is_offer(word: &str) -> bool {
    OFFERS.contains(&word)
}

pub fn is_other_kind(word: &str) -> bool {
    OTHER_KINDS.contains(&word)
}

pub fn is_year(code: &str) -> bool {
    code.len() == 4 && (code.starts_with("19") || code.starts_with("20")) && code.bytes().all(|b| b.is_ascii_digit())
}

/// Chinese, Japanese and Korean.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}')
}

/// The words of a line: letters and digits, with hyphens between them. Where scripts with and without blanks meet, a word ends.
pub fn split(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut begin = None;
    let mut last = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let is_inner = c == '-' && last.is_some_and(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric);
        let is_word = c.is_alphanumeric() || is_inner && begin.is_some();
        let is_other_script = last.is_some_and(|last| is_unspaced(last) != is_unspaced(c));
        if let Some(from) = begin
            && (!is_word || is_other_script)
        {
            words.push(Word { text: &line[from..at], lower: line[from..at].to_lowercase(), begin: from, end: at });
            begin = None;
        }
        if is_word && begin.is_none() {
            begin = Some(at);
        }
        last = Some(c);
    }
    if let Some(from) = begin {
        words.push(Word { text: &line[from..], lower: line[from..].to_lowercase(), begin: from, end: line.len() });
    }
    words
}
