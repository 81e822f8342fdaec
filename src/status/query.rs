//! What is asked for behind the `?` of the status page and of the ready handler.
//!
//! The error of both is for the person who wrote the query: what was read, and what is expected.

/// A name in a query may have so many bytes.
const MAX_NAME: usize = 512;
/// So much of what was read is repeated in an error.
const MAX_SHOWN: usize = 100;
/// `refresh` without a value, in seconds, as in mod_status.
const REFRESH: u32 = 10;
const MAX_REFRESH: u32 = 86_400;
const BALANCER: &str = "balancer://";

/// The form that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Format {
    #[default]
    Html,
    Json,
    OpenMetrics,
}

/// A query of the status page.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Query {
    pub format: Format,
    /// Seconds after which the browser loads the page again.
    pub refresh: Option<u32>,
    /// The events of this worker only.
    pub worker: Option<String>,
}

/// Reads a query of the status page, the text behind the `?`.
pub fn parse(query: Option<&str>) -> Result<Query, String> {
    let (mut format, mut refresh, mut worker) = (None, None, None);
    for pair in pairs(query) {
        match pair?.parts() {
            ("format", value) => once("format", &mut format, read_format(value)?)?,
            ("refresh", value) => once("refresh", &mut refresh, read_refresh(value)?)?,
            ("worker", value) => once("worker", &mut worker, read_name("worker", value)?)?,
            (key, _) => return Err(unknown(key, "format, refresh or worker")),
        }
    }
    Ok(Query {
        format: format.unwrap_or_default(),
        refresh,
        worker,
    })
}

/// Reads a query of the ready handler: the balancer that is asked about, in lower case and with its scheme.
pub fn parse_ready(query: Option<&str>) -> Result<Option<String>, String> {
    let mut balancer = None;
    for pair in pairs(query) {
        match pair?.parts() {
            ("balancer", value) => once("balancer", &mut balancer, read_balancer(value)?)?,
            (key, _) => return Err(unknown(key, "balancer")),
        }
    }
    Ok(balancer)
}

/// One `key=value`, decoded.
struct Pair {
    key: String,
    value: Option<String>,
}

impl Pair {
    fn parts(&self) -> (&str, Option<&str>) {
        (&self.key, self.value.as_deref())
    }
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = Result<Pair, String>> {
    // nothing behind the `?` is no parameter, not one without a name
    let query = query.filter(|query| !query.is_empty());
    query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .map(|pair| {
            let (key, value) = match pair.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (pair, None),
            };
            Ok(Pair {
                key: decode(key)?,
                value: value.map(decode).transpose()?,
            })
        })
}

/// Percent-encoding and `+` undone.
fn decode(text: &str) -> Result<String, String> {
    let wrong = |what: &str| format!("'{}': {what}", shown(text));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let pair = [rest.next(), rest.next()];
                hex(pair).ok_or_else(|| wrong("a % must be followed by two hexadecimal digits"))?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong("it must be UTF-8, percent-encoded"))
}

fn hex(pair: [Option<u8>; 2]) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
}

fn once<T>(key: &str, place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{key} must not be given twice")),
    }
}

fn read_format(value: Option<&str>) -> Result<Format, String> {
    match value {
        Some("html") => Ok(Format::Html),
        Some("json") => Ok(Format::Json),
        Some("openmetrics") => Ok(Format::OpenMetrics),
        other => Err(wrong("format", other, "html, json or openmetrics")),
    }
}

fn read_refresh(value: Option<&str>) -> Result<u32, String> {
    let Some(text) = value else {
        return Ok(REFRESH);
    };
    // `parse` alone would take "+5", which a query may hold as "%2b5"
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number
        .filter(|seconds| (1..=MAX_REFRESH).contains(seconds))
        .ok_or_else(|| wrong("refresh", value, "a number of seconds from 1 to 86400"))
}

fn read_name(key: &str, value: Option<&str>) -> Result<String, String> {
    let expected = "a name of 1 to 512 bytes";
    value
        .filter(|name| (1..=MAX_NAME).contains(&name.len()))
        .map(str::to_owned)
        .ok_or_else(|| wrong(key, value, expected))
}

fn read_balancer(value: Option<&str>) -> Result<String, String> {
    let lower = read_name("balancer", value)?.to_ascii_lowercase();
    match lower.strip_prefix(BALANCER).unwrap_or(&lower) {
        "" => Err(wrong("balancer", value, "its name")),
        name => Ok(format!("{BALANCER}{name}")),
    }
}

fn unknown(key: &str, expected: &str) -> String {
    format!("unknown parameter '{}': expected {expected}", shown(key))
}

fn wrong(key: &str, value: Option<&str>, expected: &str) -> String {
    match value {
        Some(value) => format!("{key} must be {expected}, not '{}'", shown(value)),
        None => format!("{key} must be {expected}; it has no value"),
    }
}

/// As it may be repeated in a line of text: not too long, nothing that a terminal obeys.
pub fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(MAX_SHOWN).map(plain).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
#[path = "query/tests.rs"] // said, for those who include this file from elsewhere
mod tests;
