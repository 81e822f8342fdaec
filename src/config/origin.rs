//! Where values of the configuration are from.

use std::fmt;

use super::directives::Live;
use super::templates::Template;

/// A `ProxyLive` line that covers a worker.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub scope: Scope<'a>,
    pub live: &'a Live,
}

/// What it stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope<'a> {
    /// The section of this balancer.
    Section(&'a str),
    VirtualHost,
    Server,
}

/// Where a value is from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// The worker's own lines.
    Lines,
    /// The template that they name.
    Own(&'a Template),
    /// A template that `ProxyLive` names.
    Covering(&'a Template, Said<'a>),
    /// `ProxyLive` itself, for `live`.
    ProxyLive(Said<'a>),
    Default,
}

impl<'a> Origin<'a> {
    pub const fn template(self) -> Option<&'a Template> {
        match self {
            Self::Own(template) | Self::Covering(template, _) => Some(template),
            _ => None,
        }
    }
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Section(balancer) => write!(f, "ProxyLive in <Proxy \"{balancer}\">")?,
            Scope::VirtualHost => f.write_str("ProxyLive in the virtual host")?,
            Scope::Server => f.write_str("ProxyLive in the server")?,
        }
        write!(f, " ({})", self.live.place)
    }
}

impl Origin<'_> {
    /// For people. `line` gives the place of a parameter on the worker's own lines, if it is known.
    pub fn words<'p>(&self, name: &str, line: impl Fn(&str) -> Option<&'p str>) -> String {
        let own = |name| match line(name) {
            Some(place) => format!("its own line ({place})"),
            None => "its own line".to_owned(),
        };
        match self {
            Self::Lines => own(name),
            Self::Own(t) => {
                let line = own("livetemplate");
                format!("template {} ({}), named by {line}", t.name, t.place)
            }
            Self::Covering(t, by) => {
                format!("template {} ({}), named by {by}", t.name, t.place)
            }
            Self::ProxyLive(said) => said.to_string(),
            Self::Default => "default".into(),
        }
    }
}
