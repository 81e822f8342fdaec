//! The levels of the configuration: values are merged key by key, and what contradicts itself is found.

use super::origin::{Origin, Said};
use super::params::{Params, Probe, Rescue, can_be_eager, speaks_http, speaks_tls};
use super::templates::Template;

/// Values of one level.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    params: &'a Params,
    origin: Origin<'a>,
}

impl<'a> Layer<'a> {
    /// What is written on the worker's lines.
    pub const fn line(params: &'a Params) -> Self {
        let origin = Origin::Lines;
        Self { params, origin }
    }

    /// The template that the worker names.
    pub const fn own(template: &'a Template) -> Self {
        Self {
            params: &template.params,
            origin: Origin::Own(template),
        }
    }

    /// The template that a `ProxyLive` line names.
    pub const fn covering(template: &'a Template, by: Said<'a>) -> Self {
        Self {
            params: &template.params,
            origin: Origin::Covering(template, by),
        }
    }

    /// Whether it is the worker's own lines or its `livetemplate`.
    pub const fn is_own(&self) -> bool {
        matches!(self.origin, Origin::Lines | Origin::Own(_))
    }
}

/// The values in force: for each key that of the nearest layer.
pub fn merged(layers: &[Layer]) -> Params {
    let none = Params::default();
    layers.iter().fold(none, |near, far| near.over(far.params))
}

/// Where a parameter comes from.
struct Found<'a> {
    /// The place of its layer; smaller is nearer to the worker.
    at: usize,
    layer: &'a Layer<'a>,
}

impl Found<'_> {
    /// For a message, after the parameter's name.
    fn words(&self) -> String {
        match self.layer.origin.template() {
            Some(t) => format!(" (ProxyLiveTemplate {} at {})", t.name, t.place),
            None => String::new(),
        }
    }
}

/// Where a parameter is from; None when no layer gives it.
pub fn origin<'a>(layers: &[Layer<'a>], given: impl Fn(&Params) -> bool) -> Option<Origin<'a>> {
    let found = layers.iter().find(|layer| given(layer.params));
    found.map(|layer| layer.origin)
}

fn find<'a>(layers: &'a [Layer<'a>], given: impl Fn(&Params) -> bool) -> Option<Found<'a>> {
    let at = layers.iter().position(|layer| given(layer.params))?;
    let layer = &layers[at];
    Some(Found { at, layer })
}

/// A parameter that means nothing for some probes.
struct Need {
    name: &'static str,
    given: fn(&Params) -> bool,
    fits: fn(Probe) -> bool,
    /// What it needs, and one way to have it.
    needs: &'static str,
    write: &'static str,
}

const HTTP: &str = "liveprobe=http";

const NEEDS: [Need; 4] = [
    Need {
        name: "liveuri",
        given: |p| p.uri.is_some(),
        fits: |probe| probe == Probe::Http,
        needs: HTTP,
        write: HTTP,
    },
    Need {
        name: "liveexpect",
        given: |p| p.expect.is_some(),
        fits: |probe| probe == Probe::Http,
        needs: HTTP,
        write: HTTP,
    },
    Need {
        name: "livehost",
        given: |p| p.host.is_some(),
        fits: Probe::reads_answers,
        needs: "liveprobe=tls or liveprobe=http",
        write: HTTP,
    },
    Need {
        name: "liveport",
        given: |p| p.port.is_some(),
        fits: |probe| probe != Probe::Off,
        needs: "probes",
        write: "liveprobe=tcp",
    },
];

/// What of these layers (the nearest first) means nothing for this kind of probe, which is theirs or, if
/// none of them says it, the worker's default. What stands farther away from the worker than `liveprobe`
/// is overruled with it, and no contradiction.
pub fn check_probe(layers: &[Layer], probe: Probe, scheme: Option<&str>) -> Result<(), String> {
    let level = find(layers, |p| p.probe.is_some()).map_or(layers.len(), |found| found.at);
    for need in NEEDS {
        let found = find(layers, need.given).filter(|found| found.at <= level);
        if let (Some(found), false) = (found, (need.fits)(probe)) {
            return Err(format!(
                "{}{} needs {}, but {}: write {}, or remove {}",
                need.name,
                found.words(),
                need.needs,
                is_probe(layers, probe),
                need.write,
                need.name,
            ));
        }
    }
    // Templates for many workers are without effect where they cannot have any.
    let fits = |found: &Found| found.layer.is_own() || scheme.is_none_or(can_be_eager);
    let eager = eager(layers).filter(|found| found.at <= level && fits(found));
    let eager = eager.filter(|_| !probe.reads_answers());
    eager.map_or(Ok(()), |found| {
        Err(format!(
            "liverescue=eager{} needs liveprobe=tls or liveprobe=http, but {}: write liveprobe=http, or \
             liverescue=on",
            found.words(),
            is_probe(layers, probe),
        ))
    })
}

/// `liveprobe is tcp`, and why.
fn is_probe(layers: &[Layer], probe: Probe) -> String {
    let whence = find(layers, |p| p.probe.is_some());
    let whence = whence.map_or_else(|| " (the default)".to_owned(), |found| found.words());
    format!("liveprobe is {}{whence}", probe.word())
}

/// Where `liverescue=eager` is in force from.
fn eager<'a>(layers: &'a [Layer<'a>]) -> Option<Found<'a>> {
    let found = find(layers, |p| p.rescue.is_some());
    found.filter(|found| found.layer.params.rescue == Some(Rescue::Eager))
}

/// Whether the worker speaks what its probe does.
pub fn check_scheme(layers: &[Layer], probe: Probe, scheme: &str) -> Result<(), String> {
    let wants = match probe {
        Probe::Http if !speaks_http(scheme) => "an http, https, ws, wss, h2 or h2c worker",
        Probe::Tls if !speaks_tls(scheme) => "an https, wss or h2 worker",
        _ => return Ok(()),
    };
    if find(layers, |p| p.port.is_some()).is_some() {
        return Ok(());
    }
    let word = probe.word();
    let whence = find(layers, |p| p.probe.is_some()).map_or_else(String::new, |f| f.words());
    Err(format!(
        "liveprobe={word}{whence} needs {wants}, or liveport, but the worker's scheme is {scheme}: write \
         liveprobe=tcp, or liveport= with a port that speaks it"
    ))
}

/// Whether the requests that `liverescue=eager` would move are looked at by the probes.
pub fn check_eager(layers: &[Layer], probe: Probe, scheme: &str, port: u16) -> Result<(), String> {
    let Some(found) = eager(layers).filter(|_| probe.reads_answers()) else {
        return Ok(());
    };
    let whence = found.words();
    // Templates for many workers are without effect where they cannot have any.
    if found.layer.is_own() && !can_be_eager(scheme) {
        return Err(format!(
            "liverescue=eager{whence} needs an http, https, ws or wss worker, but the worker's scheme is \
             {scheme}: write liverescue=on"
        ));
    }
    let Some(probed) = find(layers, |p| p.port.is_some()) else {
        return Ok(());
    };
    let other = probed.layer.params.port.unwrap_or(port);
    if other == port {
        return Ok(());
    }
    Err(format!(
        "liverescue=eager{whence} needs probes of the worker's own port {port}, but liveport{} is {other}: \
         remove liveport, or write liverescue=on",
        probed.words()
    ))
}
