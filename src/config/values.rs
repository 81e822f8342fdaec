//! How the values of parameters are read. An error is the end of a sentence that begins with the
//! parameter's name, and says what was read.

use std::net::IpAddr;
use std::time::Duration;

use super::params::{Mode, Probe, ReadTime, Rescue, TtlBounds};
use crate::logic::addr::Families;
use crate::logic::statuses::Statuses;

/// The longest time accepted: a year, in microseconds.
const LONGEST: i64 = 366 * 24 * 3600 * 1_000_000;

/// The longest path of a probe, in bytes.
const LONGEST_URI: usize = 1024;

/// Bounds of a time, and how a message names them.
pub struct Bounds(Duration, Duration, &'static str);

pub const INTERVAL: Bounds = Bounds(
    Duration::from_millis(100),
    Duration::from_secs(3600),
    "a time from 100ms to 1h such as 2s",
);
pub const TIMEOUT: Bounds = Bounds(
    Duration::from_millis(10),
    Duration::from_secs(60),
    "a time from 10ms to 1min such as 500ms",
);

pub fn within(value: &str, time: ReadTime, bounds: &Bounds) -> Result<Duration, String> {
    let Bounds(least, most, words) = bounds;
    positive_time(value, time)
        .filter(|t| (least..=most).contains(&t))
        .ok_or_else(|| format!("must be {words}; read '{value}'"))
}

pub fn probe(value: &str) -> Result<Probe, String> {
    match value.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Probe::Tcp),
        "off" => Ok(Probe::Off),
        "tls" => Ok(Probe::Tls),
        "http" => Ok(Probe::Http),
        _ => Err(format!("must be tcp, tls, http or off; read '{value}'")),
    }
}

/// Digits only: no sign, no blanks.
fn number(value: &str, least: u32, most: u32) -> Option<u32> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let number = value.parse().ok().filter(|_| digits)?;
    (least..=most).contains(&number).then_some(number)
}

pub fn port(value: &str) -> Result<u16, String> {
    number(value, 1, 65_535)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| format!("must be a port from 1 to 65535; read '{value}'"))
}

pub fn count(value: &str) -> Result<u32, String> {
    number(value, 1, 100).ok_or_else(|| format!("must be a number from 1 to 100; read '{value}'"))
}

pub fn on_off(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("must be on or off; read '{value}'")),
    }
}

pub fn mode(value: &str) -> Result<Mode, String> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(Mode::On),
        "off" => Ok(Mode::Off),
        "observe" => Ok(Mode::Observe),
        _ => Err(format!("must be on, off or observe; read '{value}'")),
    }
}

pub fn rescue(value: &str) -> Result<Rescue, String> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(Rescue::On),
        "off" => Ok(Rescue::Off),
        "eager" => Ok(Rescue::Eager),
        _ => Err(format!("must be on, off or eager; read '{value}'")),
    }
}

/// The name of a template; whether there is one is known when everything was read.
pub fn template(value: &str) -> Result<String, String> {
    match value {
        "" => Err("must be the name of a ProxyLiveTemplate; read ''".into()),
        name => Ok(name.to_owned()),
    }
}

/// Path and query of a probe, as they are sent.
pub fn uri(value: &str) -> Result<String, String> {
    const WORDS: &str = "must be a path such as /healthz or /healthz?full=1: printable ASCII without \
                         blanks and '#', at most 1024 bytes";
    if value.len() > LONGEST_URI {
        return Err(format!("{WORDS}; read {} bytes", value.len()));
    }
    let good = |b: u8| b.is_ascii_graphic() && b != b'#';
    if value.starts_with('/') && value.bytes().all(good) {
        return Ok(value.to_owned());
    }
    Err(format!("{WORDS}; read '{value}'"))
}

pub fn expect(value: &str) -> Result<Statuses, String> {
    Statuses::parse(value).ok_or_else(|| {
        format!(
            "must be statuses from 100 to 599 such as 200-399 or 200,204,301-302; read '{value}'"
        )
    })
}

/// A host name without its trailing dot, or an IP address without brackets.
pub fn host(value: &str) -> Result<String, String> {
    let bare = value
        .strip_prefix('[')
        .and_then(|v| v.strip_suffix(']'))
        .unwrap_or(value);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    let name = value.strip_suffix('.').unwrap_or(value);
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(good);
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "must be a host name or an IP address, without port (that is liveport); read '{value}'"
    ))
}

pub fn families(value: &str) -> Result<Families, String> {
    match value.to_ascii_lowercase().as_str() {
        "any" => Ok(Families::ANY),
        "ipv4" => Ok(Families::V4),
        "ipv6" => Ok(Families::V6),
        _ => Err(format!("must be any, ipv4 or ipv6; read '{value}'")),
    }
}

/// Units of httpd's times; whatever stands behind their first letters httpd itself would ignore.
const UNITS: [&str; 6] = ["", "ms", "s", "mi", "min", "h"];

/// A time greater than 0 and up to a year. Empty text, which httpd would read as 0, is refused.
pub fn positive_time(value: &str, time: ReadTime) -> Option<Duration> {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
    let known = UNITS.iter().any(|u| u.eq_ignore_ascii_case(unit));
    if unit.len() == value.len() || !known {
        return None;
    }
    let micros = time(value).filter(|t| (1..=LONGEST).contains(t))?;
    Some(Duration::from_micros(micros.unsigned_abs()))
}

pub fn ttl(value: &str, time: ReadTime) -> Result<TtlBounds, String> {
    let wrong = || {
        format!(
            "must be min-max, two times from 100ms to 366 days such as 1s-1h, the first not longer \
             than the second; read '{value}'"
        )
    };
    let (min, max) = value.split_once('-').ok_or_else(wrong)?;
    let min = positive_time(min, time).ok_or_else(wrong)?;
    let max = positive_time(max, time).ok_or_else(wrong)?;
    if min > max || min < Duration::from_millis(100) {
        return Err(wrong());
    }
    Ok(TtlBounds { min, max })
}

pub fn stale(value: &str, time: ReadTime) -> Result<Option<Duration>, String> {
    if value.eq_ignore_ascii_case("forever") {
        return Ok(None);
    }
    positive_time(value, time).map(Some).ok_or_else(|| {
        format!("must be forever or a time from 1ms to 366 days such as 10min; read '{value}'")
    })
}
