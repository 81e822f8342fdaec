//! What the configuration says: worker parameters, `ProxyLive`, `ProxyLiveTemplate`, `ProxyLiveResolver`.
//!
//! One [`Config`] is filled while httpd reads its configuration (twice at start-up; each time anew) and
//! looked at in post_config, and in children when members are added. No httpd types here: servers and
//! workers are keys. Templates are looked up when everything was read: order in the file does not matter.

pub mod directives;
pub mod explain;
pub mod lines;
mod merge;
pub mod origin;
pub mod params;
pub mod resolver;
mod templates;
mod values;

use std::collections::HashMap;

use parking_lot::Mutex;

use directives::Defaults;
use lines::{Directive, Places, Written};
use merge::Layer;
use origin::Origin;
use params::{Mode, Params, Probe, ReadTime, Settings};
use resolver::ResolverConfig;
use templates::Templates;

/// Everything read in one pass over the configuration.
#[derive(Default, Debug)]
pub struct Config {
    workers: HashMap<usize, Params>,
    /// The same in the order in which it was read.
    written: Vec<Written>,
    defaults: Defaults,
    templates: Templates,
    resolver: Option<ResolverConfig>,
    drain_file: Option<String>,
}

/// A worker, as far as its configuration is judged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The key of its parameters.
    pub shared_key: usize,
    /// Keys of its server and of the main server.
    pub server: usize,
    pub main: usize,
    /// The name of the member's balancer.
    pub balancer: Option<&'a str>,
    pub scheme: &'a str,
    pub port: u16,
    /// mod_proxy_hcheck checks it (`hcmethod`).
    pub hchecked: bool,
    /// The module leaves it to httpd, whatever is configured.
    pub left: bool,
}

/// What covers a worker.
struct Levels<'a> {
    mode: Mode,
    mode_from: Origin<'a>,
    /// The nearest first.
    layers: Vec<Layer<'a>>,
}

static CONFIG: Mutex<Option<Config>> = Mutex::new(None);

/// Runs `work` on the configuration being read.
pub fn with<R>(work: impl FnOnce(&mut Config) -> R) -> R {
    work(CONFIG.lock().get_or_insert_default())
}

impl Config {
    /// Forgets everything: a new pass over the configuration begins.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The parameters given on lines of the worker with this shared key.
    pub fn worker(&mut self, shared_key: usize) -> &mut Params {
        self.workers.entry(shared_key).or_default()
    }

    /// Takes one parameter from a line of a worker, as [`Params::set`] does.
    pub fn write(
        &mut self,
        shared_key: usize,
        url: &str,
        key: &str,
        value: &str,
        time: ReadTime,
    ) -> Result<bool, String> {
        let ours = self.worker(shared_key).set(key, value, time)?;
        if ours {
            self.written.push(Written {
                worker: shared_key,
                url: url.to_owned(),
                key: key.to_owned(),
                value: value.to_owned(),
            });
        }
        Ok(ours)
    }

    /// Where in httpd's tree the parameters of workers stand.
    pub fn places(&self, directives: &[Directive]) -> Places {
        Places::find(&self.written, directives)
    }

    pub fn defaults(&mut self) -> &mut Defaults {
        &mut self.defaults
    }

    pub fn templates(&mut self) -> &mut Templates {
        &mut self.templates
    }

    /// Remembers `ProxyLiveResolver`; a second line is an error.
    pub fn set_resolver(&mut self, resolver: ResolverConfig) -> Result<(), String> {
        if self.resolver.is_some() {
            return Err("is given twice: put all name servers on one line".into());
        }
        self.resolver = Some(resolver);
        Ok(())
    }

    pub fn resolver(&self) -> ResolverConfig {
        self.resolver.clone().unwrap_or_default()
    }

    /// Remembers `ProxyLiveDrainFile`; a second line is an error.
    pub fn set_drain_file(&mut self, path: String) -> Result<(), String> {
        if let Some(other) = &self.drain_file {
            return Err(format!("is given twice: {other} is one already"));
        }
        self.drain_file = Some(path);
        Ok(())
    }

    /// The file of `ProxyLiveDrainFile`, with its whole path.
    pub fn drain_file(&self) -> Option<&str> {
        self.drain_file.as_deref()
    }

    /// The settings in force for a worker, or None when it is not live.
    ///
    /// Precedence, for each key: parameter on the worker > its template > the template of its `<Proxy>`
    /// section > of the virtual host > of the main server > built in.
    /// `server` and `main` are keys of servers, `balancer` is the name of the member's balancer. A worker
    /// without a line of its own (any other `shared_key`) has what the levels above it say.
    pub fn settings(
        &self,
        shared_key: usize,
        server: usize,
        main: usize,
        balancer: Option<&str>,
        scheme: &str,
    ) -> Option<Settings> {
        let levels = self.levels(shared_key, server, main, balancer);
        let live = levels.mode != Mode::Off;
        live.then(|| merge::merged(&levels.layers).settings(levels.mode, scheme))
    }

    fn levels(
        &self,
        shared_key: usize,
        server: usize,
        main: usize,
        balancer: Option<&str>,
    ) -> Levels<'_> {
        let line = self.workers.get(&shared_key);
        let named = |name: &Option<String>| self.templates.get(name.as_ref()?);
        let own = line.and_then(|line| named(&line.template));
        let above = self.defaults.levels(server, main, balancer);
        let of_line = line.and_then(|line| Some((line.live?, Origin::Lines)));
        let of_own = own.and_then(|own| Some((own.params.live?, Origin::Own(own))));
        // A mode in a template of ProxyLive is overruled by ProxyLive's own.
        let of_above = above.first().map(|s| (s.live.mode, Origin::ProxyLive(*s)));
        let mode = of_line.or(of_own).or(of_above);
        let (mode, mode_from) = mode.unwrap_or((Mode::Off, Origin::Default));
        let far = above
            .iter()
            .filter_map(|said| Some(Layer::covering(named(&said.live.template)?, *said)));
        let layers = line
            .map(Layer::line)
            .into_iter()
            .chain(own.map(Layer::own))
            .chain(far)
            .collect();
        Levels {
            mode,
            mode_from,
            layers,
        }
    }

    /// Whether every template that a `ProxyLive` line names is there. The error is a line for the log.
    pub fn check_names(&self) -> Result<(), String> {
        for live in self.defaults.naming() {
            let name = live.template.as_deref().unwrap_or_default();
            if self.templates.get(name).is_none() {
                let unknown = self.templates.unknown(name);
                return Err(format!("ProxyLive at {}: {unknown}", live.place));
            }
        }
        Ok(())
    }

    /// Whether what is configured for a worker fits together. The error is the end of a line that begins with
    /// the worker's URL.
    ///
    /// Its template must be there in any case; the rest is judged for workers that the module works on.
    pub fn check_worker(&self, worker: &Subject) -> Result<(), String> {
        let line = self.workers.get(&worker.shared_key);
        if let Some(name) = line.and_then(|line| line.template.as_deref())
            && self.templates.get(name).is_none()
        {
            return Err(format!("livetemplate: {}", self.templates.unknown(name)));
        }
        let Subject {
            server,
            main,
            balancer,
            scheme,
            ..
        } = *worker;
        let mut levels = self.levels(worker.shared_key, server, main, balancer);
        if levels.mode == Mode::Off {
            return Ok(());
        }
        if worker.hchecked {
            // It is not probed, whatever templates for many workers say.
            levels.layers.retain(Layer::is_own);
            contradicts_hcheck(&levels.layers)?;
        }
        if worker.left {
            return Ok(());
        }
        let layers = &levels.layers;
        let probe = merge::merged(layers).probe;
        let probe = probe.unwrap_or_else(|| Probe::usual(scheme));
        merge::check_probe(layers, probe, Some(scheme))?;
        merge::check_scheme(layers, probe, scheme)?;
        merge::check_eager(layers, probe, scheme, worker.port)
    }
}

fn contradicts_hcheck(own: &[Layer]) -> Result<(), String> {
    match merge::merged(own).probe_given() {
        None => Ok(()),
        Some(parameter) => Err(format!(
            "{parameter} and hcmethod contradict each other: two checks would fight over its state; remove \
             {parameter} (mod_proxy_hcheck goes on, DNS is followed) or hcmethod (this module probes)"
        )),
    }
}

#[cfg(test)]
mod tests;
