//! `ProxyLiveTemplate`: named sets of parameters.

use std::collections::BTreeMap;

use super::merge::{self, Layer};
use super::params::{KEYS, Params, ReadTime};

/// A set of parameters with a name.
#[derive(Clone, Debug)]
pub struct Template {
    /// As it was written; compared without regard to case.
    pub name: String,
    /// `file:line` of its directive.
    pub place: String,
    pub params: Params,
}

/// All templates of a configuration: of the server and of all virtual hosts.
#[derive(Default, Debug)]
pub struct Templates(BTreeMap<String, Template>);

impl Templates {
    /// Takes the arguments of `ProxyLiveTemplate`: a name and `key=value`, at least one. The error is the
    /// end of a sentence that begins with the directive's name.
    pub fn define(
        &mut self,
        words: &[String],
        place: String,
        time: ReadTime,
    ) -> Result<(), String> {
        let (name, values) = words.split_first().ok_or(
            "needs a name and at least one key=value, such as: \
             ProxyLiveTemplate web liveprobe=http liveuri=/healthz",
        )?;
        if name.is_empty() || name.contains('=') {
            return Err(format!(
                "needs a name before the first key=value; read '{name}'"
            ));
        }
        if let Some(other) = self.get(name) {
            return Err(format!(
                "{name}: a template of this name is already defined at {}; names hold for all virtual \
                 hosts and are the same in upper and lower case: choose another name",
                other.place
            ));
        }
        let params = read(values, time).map_err(|wrong| format!("{name}: {wrong}"))?;
        let template = Template {
            name: name.clone(),
            place,
            params,
        };
        self.0.insert(name.to_ascii_lowercase(), template);
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&Template> {
        self.0.get(&name.to_ascii_lowercase())
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Template> {
        self.0.values()
    }

    /// What to say when somebody names a template that is not there.
    pub fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.0.values().map(|t| t.name.as_str()).collect();
        let known = match names.as_slice() {
            [] => "there are no templates".to_owned(),
            names => format!("known: {}", names.join(", ")),
        };
        format!("no ProxyLiveTemplate is called '{name}' ({known})")
    }
}

fn read(values: &[String], time: ReadTime) -> Result<Params, String> {
    if values.is_empty() {
        return Err("has no values: write at least one key=value such as liveprobe=http".into());
    }
    let mut params = Params::default();
    let mut given: Vec<String> = Vec::new();
    for word in values {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| format!("takes key=value such as liveprobe=http; read '{word}'"))?;
        let key = key.to_ascii_lowercase();
        if key == "livetemplate" {
            return Err(format!(
                "livetemplate is not allowed in a template: write its values here; read '{word}'"
            ));
        }
        if given.contains(&key) {
            return Err(format!("{key} is given twice; read '{word}'"));
        }
        if !params.set(&key, value, time)? {
            let known = KEYS.join(", ");
            return Err(format!(
                "takes the parameters of this module ({known}); read '{word}'"
            ));
        }
        given.push(key);
    }
    // What cannot be right for any worker; without a probe of its own the rest depends on the worker.
    if let Some(probe) = params.probe {
        merge::check_probe(&[Layer::line(&params)], probe, None)?;
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::super::params::tests::time;
    use super::super::params::{Mode, Probe, Rescue};
    use super::*;

    fn define(templates: &mut Templates, line: &str) -> Result<(), String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        templates.define(&words, "a.conf:7".into(), &time)
    }

    #[test]
    fn good_templates() {
        let mut t = Templates::default();
        let line = "Web liveprobe=http LIVEURI=/healthz?a=b liveport=81 live=on liverescue=eager livefall=3";
        define(&mut t, line).unwrap();
        define(&mut t, "other livettl=1s-5s").unwrap();
        let web = t.get("wEB").unwrap();
        assert_eq!((web.name.as_str(), web.place.as_str()), ("Web", "a.conf:7"));
        let params = Params {
            live: Some(Mode::On),
            probe: Some(Probe::Http),
            uri: Some("/healthz?a=b".into()),
            port: Some(81),
            rescue: Some(Rescue::Eager),
            fall: Some(3),
            ..Params::default()
        };
        assert_eq!(web.params, params);
        assert!(t.get("webb").is_none());
        let said = t.unknown("webb");
        assert!(
            said.contains("'webb'") && said.contains("known: other, Web"),
            "{said}"
        );
        let said = Templates::default().unknown("x");
        assert!(said.contains("there are no templates"), "{said}");
    }

    #[test]
    fn wrong_templates_say_what_was_read() {
        for (line, part) in [
            ("", "needs a name before the first key=value; read ''"),
            (
                "liveprobe=http",
                "before the first key=value; read 'liveprobe=http'",
            ),
            ("x", "x: has no values"),
            (
                "x liveprobe",
                "x: takes key=value such as liveprobe=http; read 'liveprobe'",
            ),
            ("x =http", "read '=http'"),
            (
                "x liveprobe=icmp",
                "x: liveprobe must be tcp, tls, http or off; read 'icmp'",
            ),
            ("x liveport=0", "x: liveport must be a port"),
            (
                "x livetemplate=y",
                "livetemplate is not allowed in a template",
            ),
            (
                "x livefall=2 LiveFall=3",
                "livefall is given twice; read 'LiveFall=3'",
            ),
            ("x hcmethod=GET", "parameters of this module (live, livettl"),
            ("x retry=3", "read 'retry=3'"),
            (
                "x liveprobe=tcp liveuri=/",
                "x: liveuri needs liveprobe=http, but liveprobe is tcp",
            ),
            (
                "x liveexpect=200 liveprobe=tls",
                "liveexpect needs liveprobe=http",
            ),
            (
                "x livehost=a liveprobe=off",
                "livehost needs liveprobe=tls or liveprobe=http",
            ),
            ("x liveprobe=off liveport=1", "liveport needs probes"),
            (
                "x liverescue=eager liveprobe=tcp",
                "liverescue=eager needs liveprobe=tls or",
            ),
            (
                "OLD livefall=2",
                "OLD: a template of this name is already defined at a.conf:7",
            ),
        ] {
            let mut t = Templates::default();
            define(&mut t, "old livefall=1").unwrap();
            let message = define(&mut t, line).expect_err(line);
            assert!(message.contains(part), "{line}: {message}");
            assert_eq!(t.0.len(), 1);
        }
        let message = Templates::default()
            .define(&[], String::new(), &time)
            .unwrap_err();
        assert!(message.contains("at least one key=value"), "{message}");
    }

    /// Whether these fit depends on what the worker's probe is.
    #[test]
    fn without_a_probe_of_its_own() {
        let mut t = Templates::default();
        define(
            &mut t,
            "a liveuri=/x livehost=h liveexpect=200 liverescue=eager liveport=3",
        )
        .unwrap();
        define(&mut t, "b liverescue=eager liveprobe=tls livehost=h").unwrap();
        define(&mut t, "c liveprobe=off liverescue=off").unwrap();
    }
}
