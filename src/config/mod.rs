//! What the configuration says: worker parameters, `ProxyLive`, `ProxyLiveResolver`.
//!
//! One [`Config`] is filled while httpd reads its configuration (twice at start-up; each time anew) and
//! looked at in post_config. No httpd types here: servers and workers are keys.

pub mod directives;
pub mod params;
pub mod resolver;
mod values;

use std::collections::HashMap;

use parking_lot::Mutex;

use directives::Defaults;
use params::{Mode, Params, Settings};
use resolver::ResolverConfig;

/// Everything read in one pass over the configuration.
#[derive(Default, Debug)]
pub struct Config {
    workers: HashMap<usize, Params>,
    defaults: Defaults,
    resolver: Option<ResolverConfig>,
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

    pub fn defaults(&mut self) -> &mut Defaults {
        &mut self.defaults
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

    /// The settings in force for a worker, or None when it is not live.
    ///
    /// Precedence: parameter on the worker > its `<Proxy>` section > virtual host > main server.
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
        let params = self.workers.get(&shared_key).cloned().unwrap_or_default();
        let default = || self.defaults.mode(server, main, balancer);
        match params.live.or_else(default).unwrap_or(Mode::Off) {
            Mode::Off => None,
            mode => Some(params.settings(mode, scheme)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: usize = 1;
    const VHOST: usize = 2;
    const OTHER: usize = 3;
    const WORKER: usize = 10;

    fn config() -> Config {
        Config::default()
    }

    fn live(c: &Config, server: usize, balancer: Option<&str>) -> bool {
        c.settings(WORKER, server, MAIN, balancer, "http").is_some()
    }

    #[test]
    fn nothing_said_means_off() {
        assert!(!live(&config(), MAIN, None));
    }

    #[test]
    fn the_nearest_level_wins() {
        let mut c = config();
        c.defaults().set(MAIN, None, Mode::On).unwrap();
        assert!(live(&c, MAIN, None) && live(&c, VHOST, None));
        c.defaults().set(VHOST, None, Mode::Off).unwrap();
        assert!(!live(&c, VHOST, None) && live(&c, OTHER, None));
        c.defaults()
            .set(VHOST, Some("balancer://App/"), Mode::On)
            .unwrap();
        assert!(live(&c, VHOST, Some("balancer://app")));
        assert!(!live(&c, VHOST, Some("balancer://other")));
        c.worker(WORKER).live = Some(Mode::Off);
        assert!(!live(&c, VHOST, Some("balancer://app")));
        c.worker(WORKER).live = Some(Mode::On);
        assert!(live(&c, VHOST, None));
    }

    #[test]
    fn a_section_of_the_main_server_covers_inherited_balancers() {
        let mut c = config();
        c.defaults()
            .set(MAIN, Some("balancer://app"), Mode::On)
            .unwrap();
        assert!(live(&c, VHOST, Some("balancer://app")));
        assert!(!live(&c, VHOST, None));
    }

    #[test]
    fn observed_workers_are_live() {
        let mut c = config();
        c.defaults().set(MAIN, None, Mode::Observe).unwrap();
        let settings = |c: &Config| c.settings(WORKER, MAIN, MAIN, None, "http");
        assert!(settings(&c).unwrap().observe);
        c.worker(WORKER).live = Some(Mode::On);
        assert!(!settings(&c).unwrap().observe);
    }

    #[test]
    fn a_reset_forgets() {
        let mut c = config();
        c.worker(WORKER).live = Some(Mode::On);
        c.set_resolver(ResolverConfig::default()).unwrap();
        assert!(c.set_resolver(ResolverConfig::default()).is_err());
        c.reset();
        assert!(!live(&c, MAIN, None));
        assert!(c.set_resolver(ResolverConfig::default()).is_ok());
    }
}
