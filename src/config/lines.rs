//! Where the parameters of workers are written: mod_proxy passes them on without their lines, so these are looked
//! for in httpd's tree of directives.

use std::collections::HashMap;

use crate::logic::redact;

/// A parameter as mod_proxy passed it on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// The worker's shared key.
    pub worker: usize,
    /// The worker's URL.
    pub url: String,
    pub key: String,
    pub value: String,
}

/// A directive that may have parameters of workers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directive {
    pub args: String,
    /// The arguments of the section around it.
    pub around: String,
    /// `file:line`.
    pub place: String,
}

/// Places of parameters: by worker and by name, in lower case.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Places(HashMap<(usize, String), String>);

impl Places {
    /// Both are in the order of the configuration. What is not found has no place.
    pub fn find(written: &[Written], directives: &[Directive]) -> Self {
        let words: Vec<(&Directive, String)> = directives
            .iter()
            .flat_map(|d| words(&d.args).into_iter().map(move |word| (d, word)))
            .filter(|(_, word)| word.contains('='))
            .collect();
        let mut places = HashMap::new();
        let mut next = 0;
        for one in written {
            let host = host(&one.url);
            let is = |(directive, word): &(&Directive, String)| {
                one.is(word) && directive.mentions(&host)
            };
            if let Some(skipped) = words[next..].iter().position(is) {
                let key = (one.worker, one.key.to_ascii_lowercase());
                // A later line replaces the value.
                places.insert(key, words[next + skipped].0.place.clone());
                next += skipped + 1;
            }
        }
        Self(places)
    }

    pub fn of(&self, worker: usize, name: &str) -> Option<&str> {
        self.0.get(&(worker, name.to_owned())).map(String::as_str)
    }
}

impl Written {
    fn is(&self, word: &str) -> bool {
        word.split_once('=')
            .is_some_and(|(key, value)| key.eq_ignore_ascii_case(&self.key) && value == self.value)
    }
}

impl Directive {
    fn mentions(&self, host: &str) -> bool {
        let has = |text: &str| text.to_ascii_lowercase().contains(host);
        has(&self.args) || has(&self.around)
    }
}

/// Host of a worker's URL, without port: mod_proxy leaves out the usual one.
fn host(url: &str) -> String {
    let url = redact::url(url).to_ascii_lowercase();
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit_once(':');
    let host = host.filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    host.map_or(&rest[..end], |(host, _)| host).to_owned()
}

/// As ap_getword_conf() takes arguments apart: quotes count at the begin of a word.
fn words(args: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = args.trim_start();
    while let Some(first) = rest.chars().next() {
        let mut word = String::new();
        let quote = matches!(first, '"' | '\'');
        let mut chars = rest.char_indices().skip(usize::from(quote)).peekable();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            if (quote && c == first) || (!quote && c.is_ascii_whitespace()) {
                end = at + c.len_utf8();
                break;
            }
            let escapes = quote && c == '\\';
            let escaped = chars.next_if(|(_, next)| escapes && (*next == '\\' || *next == first));
            word.push(escaped.map_or(c, |(_, next)| next));
        }
        words.push(word);
        rest = rest[end..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_arguments() {
        for (args, want) in [
            ("/a http://b/ live=on", vec!["/a", "http://b/", "live=on"]),
            (
                "  \"/a b\"  'c d'\tlive=on ",
                vec!["/a b", "c d", "live=on"],
            ),
            (r#""a\"b\\c\d" x"#, vec![r#"a"b\c\d"#, "x"]),
            ("a\"b c", vec!["a\"b", "c"]),
            ("\"open", vec!["open"]),
            ("ü=ä ö", vec!["ü=ä", "ö"]),
            ("", vec![]),
        ] {
            assert_eq!(words(args), want, "{args}");
        }
    }

    #[test]
    fn hosts_of_urls() {
        for (url, want) in [
            ("http://u:p@App.test:80/x", "app.test"),
            ("http://app.test", "app.test"),
            ("http://[::1]:80/", "[::1]"),
            ("http://[::1]", "[::1]"),
        ] {
            assert_eq!(host(url), want, "{url}");
        }
    }

    fn written(worker: usize, url: &str, word: &str) -> Written {
        let (key, value) = word.split_once('=').unwrap();
        Written {
            worker,
            url: url.into(),
            key: key.into(),
            value: value.into(),
        }
    }

    fn directive(args: &str, around: &str, line: u32) -> Directive {
        Directive {
            args: args.into(),
            around: around.into(),
            place: format!("a.conf:{line}"),
        }
    }

    #[test]
    fn parameters_have_the_place_of_their_line() {
        let (one, two) = ("http://one.test", "http://two.test:81/x");
        let directives = [
            directive("/a http://One.test/ timeout=3 live=on", "", 1),
            directive("http://two.test:81/x live=on livefall=3", "balancer://b", 2),
            // Another worker's, which mod_proxy did not pass on.
            directive("http://three.test live=on", "balancer://b", 3),
            directive("LIVEFALL=4", "http://two.test:81/x", 4),
            directive("liverise=4", "http://one.test/", 5),
        ];
        let given = [
            written(7, one, "live=on"),
            written(8, two, "live=on"),
            written(8, two, "livefall=3"),
            written(8, two, "livefall=4"),
            written(7, one, "livetimeout=1s"),
            written(7, one, "liverise=4"),
        ];
        let places = Places::find(&given, &directives);
        let of = |worker, name| places.of(worker, name);
        assert_eq!(of(7, "live"), Some("a.conf:1"));
        assert_eq!(of(8, "live"), Some("a.conf:2"));
        assert_eq!(of(8, "livefall"), Some("a.conf:4"));
        assert_eq!(of(7, "liverise"), Some("a.conf:5"));
        assert_eq!((of(7, "livetimeout"), of(9, "live")), (None, None));
    }
}
