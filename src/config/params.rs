//! Worker parameters: `live=`, `livettl=` and the others of docs/directives.md.

use std::time::Duration;

use super::values::*;
use crate::logic::addr::Families;
use crate::logic::health::Rules;
use crate::logic::statuses::Statuses;

/// The value of `live=` and `ProxyLive`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    On,
    Off,
    /// Everything is worked out and told; mod_proxy is not touched.
    Observe,
}

impl Mode {
    /// As it is written in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Observe => "observe",
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

impl Probe {
    /// What a worker of this scheme has without `liveprobe`.
    pub fn usual(scheme: &str) -> Self {
        match speaks_tls(scheme) {
            true => Self::Tls,
            false => Self::Tcp,
        }
    }

    /// Whether it wants more of the backend than that it accepts connections.
    pub fn reads_answers(self) -> bool {
        matches!(self, Self::Tls | Self::Http)
    }

    /// As it is written in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Off => "off",
        }
    }
}

/// Whether workers of this scheme speak TLS.
pub fn speaks_tls(scheme: &str) -> bool {
    is_one_of(scheme, &["https", "wss", "h2"])
}

/// Whether workers of this scheme speak HTTP.
pub fn speaks_http(scheme: &str) -> bool {
    is_one_of(scheme, &["http", "https", "ws", "wss", "h2", "h2c"])
}

/// Whether `liverescue=eager` can do anything for workers of this scheme.
pub fn can_be_eager(scheme: &str) -> bool {
    is_one_of(scheme, &["http", "https", "ws", "wss"])
}

fn is_one_of(scheme: &str, names: &[&str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(scheme))
}

/// The value of `liverescue=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rescue {
    On,
    Off,
    /// Also for requests that wait at a backend which hangs.
    Eager,
}

/// What was written on the lines of one worker, or in one template.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Params {
    pub live: Option<Mode>,
    /// The name of a template.
    pub template: Option<String>,
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
    pub rescue: Option<Rescue>,
    pub uri: Option<String>,
    pub expect: Option<Statuses>,
    pub host: Option<String>,
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
}

/// The parameters that a template may have.
pub const KEYS: [&str; 16] = [
    "live",
    "livettl",
    "livefamily",
    "livestale",
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
    "livespread",
    "livelastresort",
];

/// Reads an httpd time (`500ms`, `2s`, `1min`, a bare number is seconds) into microseconds.
pub type ReadTime<'a> = &'a dyn Fn(&str) -> Option<i64>;

impl Params {
    /// Takes one `key=value`. Ok(false): not one of ours. The error is the end of a sentence that
    /// starts with the key, as mod_proxy's own messages do.
    pub fn set(&mut self, key: &str, value: &str, time: ReadTime) -> Result<bool, String> {
        let key = key.to_ascii_lowercase();
        let outcome = match key.as_str() {
            "live" => mode(value).map(|v| self.live = Some(v)),
            "livetemplate" => template(value).map(|v| self.template = Some(v)),
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
            "liveuri" => uri(value).map(|v| self.uri = Some(v)),
            "liveexpect" => expect(value).map(|v| self.expect = Some(v)),
            "livehost" => host(value).map(|v| self.host = Some(v)),
            _ => return Ok(false),
        };
        outcome
            .map(|()| true)
            .map_err(|message| format!("{key} {message}"))
    }

    /// These parameters and, for those that are not given, the ones of `far`.
    pub fn over(self, far: &Self) -> Self {
        Self {
            live: self.live.or(far.live),
            template: self.template.or_else(|| far.template.clone()),
            ttl: self.ttl.or(far.ttl),
            families: self.families.or(far.families),
            stale: self.stale.or(far.stale),
            spread: self.spread.or(far.spread),
            probe: self.probe.or(far.probe),
            uri: self.uri.or_else(|| far.uri.clone()),
            expect: self.expect.or_else(|| far.expect.clone()),
            host: self.host.or_else(|| far.host.clone()),
            port: self.port.or(far.port),
            interval: self.interval.or(far.interval),
            timeout: self.timeout.or(far.timeout),
            fall: self.fall.or(far.fall),
            rise: self.rise.or(far.rise),
            last_resort: self.last_resort.or(far.last_resort),
            rescue: self.rescue.or(far.rescue),
        }
    }

    /// These parameters over the built-in defaults, for a worker of this scheme.
    pub fn settings(&self, mode: Mode, scheme: &str) -> Settings {
        let rescue = self.rescue.unwrap_or(Rescue::On);
        let probe = self.probe.unwrap_or_else(|| Probe::usual(scheme));
        Settings {
            observe: mode == Mode::Observe,
            ttl: self.ttl.unwrap_or_default(),
            families: self.families.unwrap_or(Families::ANY),
            stale: self.stale.unwrap_or(None),
            spread: self.spread.unwrap_or(true),
            probe,
            uri: self.uri.clone().unwrap_or_else(|| "/".into()),
            expect: self.expect.clone().unwrap_or_default(),
            host: self.host.clone(),
            port: self.port,
            rules: Rules {
                interval_ms: self.interval.map_or(2_000, millis),
                timeout_ms: self.timeout.map_or(500, millis),
                fall: self.fall.unwrap_or(2),
                rise: self.rise.unwrap_or(2),
            },
            last_resort: self.last_resort.unwrap_or(true),
            rescue: rescue != Rescue::Off,
            eager: rescue == Rescue::Eager && probe.reads_answers() && can_be_eager(scheme),
        }
    }

    /// A parameter of probes that is written and says more than `liveprobe=off`.
    pub fn probe_given(&self) -> Option<&'static str> {
        let given = [
            ("liveprobe", self.probe.is_some()),
            ("liveport", self.port.is_some()),
            ("liveinterval", self.interval.is_some()),
            ("livetimeout", self.timeout.is_some()),
            ("livefall", self.fall.is_some()),
            ("liverise", self.rise.is_some()),
            ("livelastresort", self.last_resort.is_some()),
            ("liveuri", self.uri.is_some()),
            ("liveexpect", self.expect.is_some()),
            ("livehost", self.host.is_some()),
            ("liverescue=eager", self.rescue == Some(Rescue::Eager)),
        ];
        let off = self.probe == Some(Probe::Off);
        let first = given.iter().find(|(_, is)| *is)?;
        (!off).then_some(first.0)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
