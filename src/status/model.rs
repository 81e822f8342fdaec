//! What there is to show, as plain data without pointers, clocks or httpd's types. The JSON format is this model as
//! it stands: a field may be added within one [`FORMAT`], but never renamed, removed or given another meaning.
//!
//! Names that end in `_at_ms` are points in time (milliseconds since 1970, UTC), other `_ms` are durations, `_us`
//! microseconds. Text may come from outside (URLs, names, errors): it is data, to be escaped by each renderer.
//! Nothing secret is in it: URLs come without credentials and probes without their query.

use serde::Serialize;

pub use crate::logic::event::Kind as EventKind;

/// Number of the JSON format.
pub const FORMAT: u32 = 1;

/// Everything.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Status {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the module.
    pub version: String,
    /// When this was put together.
    pub time_at_ms: u64,
    /// The child of httpd that answers; plain workers' status is as this child sees it.
    pub pid: u32,
    /// `ServerName:port` of the main server.
    pub server: String,
    /// Counts configurations (the start and each reload) since httpd was started.
    pub epoch: u64,
    pub leader: Leader,
    pub ready: Ready,
    pub board: Board,
    pub counters: Counters,
    pub balancers: Vec<Balancer>,
    /// Workers that are no members of a balancer.
    pub workers: Vec<Worker>,
    /// The names that are followed.
    pub names: Vec<Name>,
    /// Workers that `live` is configured for, but that the module leaves to httpd.
    pub left: Vec<Left>,
    /// Newest first, at most 200.
    pub events: Vec<Event>,
    /// The events are those of this worker only (`?worker=`).
    pub filter: Option<String>,
}

/// The child that asks DNS and probes for all.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Leader {
    /// None while nobody leads.
    pub pid: Option<u32>,
    pub since_at_ms: Option<u64>,
    /// Age of its last sign of life; it gives one every 250 ms.
    pub heartbeat_age_ms: Option<u64>,
    /// No sign of life for more than 3 s: httpd goes on without the module's marks.
    pub lost: bool,
}

/// What the handler `proxy-live-ready` says, the file of `ProxyLiveDrainFile` included.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Ready {
    pub ready: bool,
    /// Its one line.
    pub text: String,
}

/// Use of the shared memory.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Board {
    pub names: Use,
    pub targets: Use,
    pub workers: Use,
    pub children: Use,
    /// Bytes of address space; only what is used takes memory.
    pub reserved_bytes: u64,
    /// Bytes of the slots in use.
    pub used_bytes: u64,
}

/// How many of so many.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Use {
    pub used: u64,
    pub capacity: u64,
}

/// Counted since httpd was started, graceful restarts do not reset it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Counters {
    pub dns_queries: u64,
    pub dns_failures: u64,
    pub address_changes: u64,
    pub takeovers: u64,
    pub probes: u64,
    pub probe_failures: u64,
    pub health_changes: u64,
    pub probes_late: u64,
    pub probes_bound: u64,
    pub probes_local_errors: u64,
    pub kicks: u64,
    pub storms: u64,
    pub releases: u64,
    /// Things that would have been done, had workers not been observed only.
    pub observed: u64,
}

/// A balancer with a live member.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Balancer {
    /// `balancer://...`
    pub name: String,
    /// `ServerName:port` of the servers that have it.
    pub servers: Vec<String>,
    /// It has a member that can be used, as the ready handler sees it.
    pub ready: bool,
    pub members: Vec<Worker>,
}

/// A worker: a plain one, or a member.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Worker {
    /// Its URL.
    pub name: String,
    /// `ServerName:port`.
    pub server: String,
    /// A member's `route`; empty without.
    pub route: String,
    pub live: Live,
    pub state: State,
    /// Why it is in this state, for a person; may be empty.
    pub reason: String,
    /// Since when, if known.
    pub since_at_ms: Option<u64>,
    /// Only for an observed worker: the state that it would be in with `live=on`.
    pub would_be: Option<State>,
    /// The verdict on an address of it is held back because of a storm.
    pub held: bool,
    /// What the administrator has set (balancer-manager, `status=`).
    pub admin: Vec<Admin>,
    /// mod_proxy's own error state (`Err` in balancer-manager).
    pub httpd_error: bool,
    /// mod_proxy takes it for failed by a health check (`HcFl` in balancer-manager): the module's mark, or
    /// mod_proxy_hcheck's.
    pub httpd_failed: bool,
    /// The name whose addresses it uses, see [`Status::names`]; None for a numeric host.
    pub dns: Option<String>,
    /// None when its addresses are not probed.
    pub probe: Option<Probe>,
    pub addresses: Vec<Address>,
    pub requests: Requests,
}

/// The value of `live=` in force.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Live {
    On,
    Observe,
    /// A member that is not live beside others that are.
    #[default]
    Off,
}

/// What becomes of requests for a worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// DNS or the first probe has not answered yet.
    #[default]
    Starting,
    Up,
    /// Out of use.
    Down,
    /// Down, but in use because nothing better is left.
    LastResort,
    /// In httpd's own error state, or out of reach because this machine has no route.
    Error,
}

/// Bits of the administrator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admin {
    Disabled,
    Stopped,
    Draining,
    HotStandby,
    HotSpare,
    IgnoreErrors,
}

/// How its addresses are probed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Probe {
    /// `tcp`, `tls` or `http`.
    pub kind: String,
    /// What is probed, such as `http app1.example.com:8080/healthz`.
    pub target: String,
    pub port: u16,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub fall: u32,
    pub rise: u32,
}

/// One address of a worker.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Address {
    pub ip: String,
    pub state: AddressState,
    pub since_at_ms: Option<u64>,
    /// "Down" is due, but held back because of a storm.
    pub held: bool,
    /// Consecutive failures and successes of probes.
    pub failures: u32,
    pub successes: u32,
    /// None before the first probe.
    pub last: Option<LastProbe>,
    pub next_at_ms: Option<u64>,
    /// Oldest first, at most 32; without those that this machine could not even try.
    pub history: Vec<Sample>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressState {
    /// Not probed to the end yet, or not probed at all: used like one that is up.
    #[default]
    Unknown,
    Up,
    Down,
}

/// The probe that ended last.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct LastProbe {
    pub at_ms: u64,
    pub took_us: u32,
    pub ok: bool,
    /// Why it failed; empty when it did not.
    pub reason: String,
}

/// One probe of the chart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Sample {
    /// Within 0.1 %.
    pub took_us: u32,
    pub ok: bool,
}

/// Requests whose attempts at a worker failed, counted since httpd was started (and the worker was in its
/// configuration). For an observed worker: what would have become of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Requests {
    /// Ended by the module because their peer was gone.
    pub ended: u64,
    /// Tried once more.
    pub retried: u64,
    /// Of these: answered by the other attempt.
    pub rescued: u64,
    /// Not tried again, or in vain: the client got an error.
    pub failed: u64,
}

/// A name that is followed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Name {
    pub name: String,
    pub source: NameSource,
    /// The DNS server that gave the addresses.
    pub server: Option<String>,
    pub addresses: Vec<String>,
    /// The TTL in force, in seconds.
    pub ttl_s: u32,
    /// What is left of it; 0 when it has run out.
    pub ttl_left_ms: u64,
    /// When the last look-up ended.
    pub asked_at_ms: Option<u64>,
    /// The families that are asked for.
    pub families: Vec<Family>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameSource {
    /// No answer yet.
    #[default]
    None,
    Dns,
    Hosts,
}

/// How the look-ups of one address family go.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Family {
    /// `ipv4` or `ipv6`.
    pub family: String,
    pub good_at_ms: Option<u64>,
    /// Since when they fail; None while they do not.
    pub failing_since_at_ms: Option<u64>,
    pub retry_at_ms: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
    /// The last error there was, and when; it may be over.
    pub error: Option<String>,
    pub error_at_ms: Option<u64>,
    /// A family without addresses beside one that has some: nothing is lost by its failing.
    pub quiet: bool,
}

/// A worker that is left to httpd.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Left {
    pub worker: String,
    pub server: String,
    pub reason: String,
}

/// Something that has happened.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Event {
    pub at_ms: u64,
    pub kind: EventKind,
    /// The worker, the target (`tcp app1.example.com:8080`), the name; empty for the module itself.
    pub subject: String,
    /// The address concerned; empty if it is none or several.
    pub address: String,
    /// The old and the new state (of a name: the addresses); may be empty.
    pub from: String,
    pub to: String,
    pub reason: String,
}
