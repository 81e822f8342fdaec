//! Worker parameters: `live=`, `livettl=` and the others of docs/directives.md.

use std::time::Duration;

use crate::logic::addr::Families;

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

/// What was written on the lines of one worker.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Params {
    pub live: Option<Mode>,
    pub ttl: Option<TtlBounds>,
    pub families: Option<Families>,
    /// Some(None) is `forever`.
    pub stale: Option<Option<Duration>>,
    pub spread: Option<bool>,
}

/// What is in force for one live worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub ttl: TtlBounds,
    pub families: Families,
    /// How long the last good addresses are kept; None is forever.
    pub stale: Option<Duration>,
    pub spread: bool,
}

/// Parameters of the interface that this version does not have.
const NOT_YET: [&str; 12] = [
    "livetemplate",
    "liveprobe",
    "liveuri",
    "liveexpect",
    "livehost",
    "liveport",
    "liveinterval",
    "livetimeout",
    "livefall",
    "liverise",
    "liverescue",
    "livelastresort",
];

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
            ttl: self.ttl.unwrap_or_default(),
            families: self.families.unwrap_or(Families::ANY),
            stale: self.stale.unwrap_or(None),
            spread: self.spread.unwrap_or(true),
        }
    }
}

fn on_off(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("must be on or off; read '{value}'")),
    }
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
mod tests {
    use super::*;

    /// Enough of httpd's reading of times for these tests; the real one is used on a real server.
    pub(crate) fn time(text: &str) -> Option<i64> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit {
            "" | "s" => 1_000_000,
            "ms" => 1000,
            "min" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        number.parse::<i64>().ok()?.checked_mul(factor)
    }

    fn set(key: &str, value: &str) -> Result<Params, String> {
        let mut params = Params::default();
        params.set(key, value, &time).map(|ours| {
            assert!(ours, "{key}");
            params
        })
    }

    #[test]
    fn good_values() {
        assert_eq!(set("live", "On").unwrap().live, Some(Mode::On));
        assert_eq!(set("LIVE", "off").unwrap().live, Some(Mode::Off));
        let bounds = set("livettl", "500ms-10min").unwrap().ttl.unwrap();
        assert_eq!(bounds.min, Duration::from_millis(500));
        assert_eq!(bounds.max, Duration::from_secs(600));
        let six = set("livefamily", "ipv6").unwrap();
        assert_eq!(six.families, Some(Families::V6));
        assert_eq!(set("livestale", "forever").unwrap().stale, Some(None));
        let hour = Some(Some(Duration::from_secs(3600)));
        assert_eq!(set("livestale", "1h").unwrap().stale, hour);
        assert_eq!(set("livespread", "off").unwrap().spread, Some(false));
    }

    #[test]
    fn wrong_values_name_key_and_value() {
        let table = [
            ("live", "", "live must be on or off; read ''"),
            ("live", "yes", "read 'yes'"),
            ("live", "observe", "live observe is not supported yet"),
            ("livettl", "", "livettl must be min-max"),
            ("livettl", "5s", "read '5s'"),
            ("livettl", "10s-1s", "read '10s-1s'"),
            ("livettl", "0-1s", "from 100ms"),
            ("livettl", "-1s", "read '-1s'"),
            ("livettl", "1s-", "read '1s-'"),
            ("livettl", "1s-99999999999999h", "read '1s-99999999999999h'"),
            ("livettl", "1s-1fortnight", "read '1s-1fortnight'"),
            (
                "livefamily",
                "ipv5",
                "must be any, ipv4 or ipv6; read 'ipv5'",
            ),
            ("livestale", "", "must be forever or a time"),
            ("livettl", "1sfoo-2s", "read '1sfoo-2s'"),
            ("livestale", "5stupid", "read '5stupid'"),
            ("livestale", "0", "read '0'"),
            ("livestale", "-3s", "read '-3s'"),
            ("livestale", "99999999999999999999s", "must be forever"),
            ("livespread", "maybe", "must be on or off; read 'maybe'"),
        ];
        for (key, value, part) in table {
            let message = set(key, value).expect_err(value);
            assert!(message.starts_with(key), "{message}");
            assert!(message.contains(part), "{key}={value}: {message}");
        }
    }

    #[test]
    fn later_parameters_are_refused_and_foreign_ones_passed_on() {
        for key in NOT_YET {
            let message = set(key, "on").unwrap_err();
            assert!(message.contains("not supported yet"), "{message}");
        }
        let mut params = Params::default();
        assert_eq!(params.set("hcmethod", "TCP", &time), Ok(false));
        assert_eq!(params.set("lives", "9", &time), Ok(false));
        assert_eq!(params, Params::default());
    }

    #[test]
    fn defaults() {
        let s = Params::default().settings();
        assert_eq!(s.ttl.min, Duration::from_secs(1));
        assert_eq!(s.ttl.max, Duration::from_secs(3600));
        assert!(s.spread && s.stale.is_none() && s.families == Families::ANY);
    }
}
