//! Worker parameters: `live=`, `livettl=` and the others of docs/directives.md.

use std::time::Duration;

use crate::logic::addr::Families;
use crate::logic::health::Rules;
use crate::logic::statuses::Statuses;

/// The value of `live=` and `ProxyLive`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    On,
    Off,
}

impl Mode {
    /// Reads `on` or `off`; `observe` is known but refused in this version.
    pub fn parse(value: &str) -> Result<Self, String> {
        match value.to_ascii_lowercase().as_str() {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "observe" => {
                Err("observe is not supported yet by this version: write on or off".into())
            }
            _ => Err(format!("must be on or off; read '{value}'")),
        }
    }
}

/// Bounds for the TTL of a DNS answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TtlBounds {
    pub min: Duration,
    pub max: Duration,
}

impl Default for TtlBounds {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_secs(3600),
        }
    }
}

/// The value of `liveprobe=`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Probe {
    /// A TCP connect.
    Tcp,
    /// The first message of a TLS handshake is answered.
    Tls,
    /// A URL is answered as expected.
    Http,
    Off,
}

/// What was written on the lines of one worker.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Params {
    pub live: Option<Mode>,
    pub ttl: Option<TtlBounds>,
    pub families: Option<Families>,
    /// Some(None) is `forever`.
    pub stale: Option<Option<Duration>>,
    pub spread: Option<bool>,
    pub probe: Option<Probe>,
    pub port: Option<u16>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub fall: Option<u32>,
    pub rise: Option<u32>,
    pub last_resort: Option<bool>,
    pub rescue: Option<bool>,
}

/// What is in force for one live worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Everything is worked out and told, but mod_proxy is not touched.
    pub observe: bool,
    pub ttl: TtlBounds,
    pub families: Families,
    /// How long the last good addresses are kept; None is forever.
    pub stale: Option<Duration>,
    pub spread: bool,
    pub probe: Probe,
    /// Path and query of HTTP probes.
    pub uri: String,
    /// Their good answers.
    pub expect: Statuses,
    /// Name for Host and SNI; None for the worker's host.
    pub host: Option<String>,
    /// The port of the probe; None for the worker's.
    pub port: Option<u16>,
    pub rules: Rules,
    /// The last usable member stays in on time-outs.
    pub last_resort: bool,
    /// Requests under way on a backend that dies are rescued.
    pub rescue: bool,
    /// So are those that wait at a backend whose probes are not answered although its port is.
    pub eager: bool,
    /// The probe parameters written on the worker's own lines, for messages.
    pub probe_given: Option<&'static str>,
}

/// Parameters of the interface that this version does not have.
const NOT_YET: [&str; 4] = ["livetemplate", "liveuri", "liveexpect", "livehost"];

/// Reads an httpd time (`500ms`, `2s`, `1min`, a bare number is seconds) into microseconds.
pub type ReadTime<'a> = &'a dyn Fn(&str) -> Option<i64>;

/// The longest time accepted: a year, in microseconds.
const LONGEST: i64 = 366 * 24 * 3600 * 1_000_000;

impl Params {
    /// Takes one `key=value`. Ok(false): not one of ours. The error is the end of a sentence that
    /// starts with the key, as mod_proxy's own messages do.
    pub fn set(&mut self, key: &str, value: &str, time: ReadTime) -> Result<bool, String> {
        let key = key.to_ascii_lowercase();
        let outcome = match key.as_str() {
            "live" => Mode::parse(value).map(|v| self.live = Some(v)),
            "livettl" => ttl(value, time).map(|v| self.ttl = Some(v)),
            "livefamily" => families(value).map(|v| self.families = Some(v)),
            "livestale" => stale(value, time).map(|v| self.stale = Some(v)),
            "livespread" => on_off(value).map(|v| self.spread = Some(v)),
            "liveprobe" => probe(value).map(|v| self.probe = Some(v)),
            "liveport" => port(value).map(|v| self.port = Some(v)),
            "liveinterval" => within(value, time, &INTERVAL).map(|v| self.interval = Some(v)),
            "livetimeout" => within(value, time, &TIMEOUT).map(|v| self.timeout = Some(v)),
            "livefall" => count(value).map(|v| self.fall = Some(v)),
            "liverise" => count(value).map(|v| self.rise = Some(v)),
            "livelastresort" => on_off(value).map(|v| self.last_resort = Some(v)),
            "liverescue" => rescue(value).map(|v| self.rescue = Some(v)),
            other if NOT_YET.contains(&other) => {
                Err("is not supported yet by this version of mod_proxy_live: remove it".into())
            }
            _ => return Ok(false),
        };
        outcome
            .map(|()| true)
            .map_err(|message| format!("{key} {message}"))
    }

    /// These parameters over the built-in defaults.
    pub fn settings(&self) -> Settings {
        Settings {
            observe: false,
            ttl: self.ttl.unwrap_or_default(),
            families: self.families.unwrap_or(Families::ANY),
            stale: self.stale.unwrap_or(None),
            spread: self.spread.unwrap_or(true),
            probe: self.probe.unwrap_or(Probe::Tcp),
            uri: "/".into(),
            expect: Statuses::default(),
            host: None,
            port: self.port,
            rules: Rules {
                interval_ms: self.interval.map_or(2_000, millis),
                timeout_ms: self.timeout.map_or(500, millis),
                fall: self.fall.unwrap_or(2),
                rise: self.rise.unwrap_or(2),
            },
            last_resort: self.last_resort.unwrap_or(true),
            rescue: self.rescue.unwrap_or(true),
            eager: false,
            probe_given: self.probe_given(),
        }
    }

    /// A parameter of probes that is written and says more than `liveprobe=off`.
    fn probe_given(&self) -> Option<&'static str> {
        let given = [
            ("liveprobe", self.probe.is_some()),
            ("liveport", self.port.is_some()),
            ("liveinterval", self.interval.is_some()),
            ("livetimeout", self.timeout.is_some()),
            ("livefall", self.fall.is_some()),
            ("liverise", self.rise.is_some()),
            ("livelastresort", self.last_resort.is_some()),
        ];
        let off = self.probe == Some(Probe::Off);
        let first = given.iter().find(|(_, is)| *is)?;
        (!off).then_some(first.0)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Bounds of a time, and how a message names them.
struct Bounds(Duration, Duration, &'static str);

const INTERVAL: Bounds = Bounds(
    Duration::from_millis(100),
    Duration::from_secs(3600),
    "a time from 100ms to 1h such as 2s",
);
const TIMEOUT: Bounds = Bounds(
    Duration::from_millis(10),
    Duration::from_secs(60),
    "a time from 10ms to 1min such as 500ms",
);

fn within(value: &str, time: ReadTime, bounds: &Bounds) -> Result<Duration, String> {
    let Bounds(least, most, words) = bounds;
    positive_time(value, time)
        .filter(|t| (least..=most).contains(&t))
        .ok_or_else(|| format!("must be {words}; read '{value}'"))
}

fn probe(value: &str) -> Result<Probe, String> {
    match value.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Probe::Tcp),
        "off" => Ok(Probe::Off),
        later @ ("tls" | "http") => Err(format!(
            "{later} is not supported yet by this version: write tcp or off"
        )),
        _ => Err(format!("must be tcp or off; read '{value}'")),
    }
}

/// Digits only: no sign, no blanks.
fn number(value: &str, least: u32, most: u32) -> Option<u32> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let number = value.parse().ok().filter(|_| digits)?;
    (least..=most).contains(&number).then_some(number)
}

fn port(value: &str) -> Result<u16, String> {
    number(value, 1, 65_535)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| format!("must be a port from 1 to 65535; read '{value}'"))
}

fn count(value: &str) -> Result<u32, String> {
    number(value, 1, 100).ok_or_else(|| format!("must be a number from 1 to 100; read '{value}'"))
}

fn on_off(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("must be on or off; read '{value}'")),
    }
}

/// `eager` needs probes that look at answers.
fn rescue(value: &str) -> Result<bool, String> {
    if value.eq_ignore_ascii_case("eager") {
        return Err("eager is not supported yet by this version: write on or off".into());
    }
    on_off(value)
}

fn families(value: &str) -> Result<Families, String> {
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
pub(super) fn positive_time(value: &str, time: ReadTime) -> Option<Duration> {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
    let known = UNITS.iter().any(|u| u.eq_ignore_ascii_case(unit));
    if unit.len() == value.len() || !known {
        return None;
    }
    let micros = time(value).filter(|t| (1..=LONGEST).contains(t))?;
    Some(Duration::from_micros(micros.unsigned_abs()))
}

fn ttl(value: &str, time: ReadTime) -> Result<TtlBounds, String> {
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

fn stale(value: &str, time: ReadTime) -> Result<Option<Duration>, String> {
    if value.eq_ignore_ascii_case("forever") {
        return Ok(None);
    }
    positive_time(value, time).map(Some).ok_or_else(|| {
        format!("must be forever or a time from 1ms to 366 days such as 10min; read '{value}'")
    })
}

#[cfg(test)]
mod tests;
