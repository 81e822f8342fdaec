//! Whether this httpd can serve: the handler `proxy-live-ready`.

use std::collections::HashSet;
use std::fmt::Write as _;

/// Names that one answer lists.
const LISTED: usize = 20;

/// What a worker is good for now; of a balancer's members the best one counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fitness {
    /// Down, in error, or kept out by the administrator.
    None,
    /// DNS or the first probe has not answered yet.
    Starting,
    /// Down, but used because nothing better is left.
    LastResort,
    Usable,
}

/// A balancer with live members, or a plain live worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pool<'a> {
    /// `balancer://...`, or the worker's URL.
    pub name: &'a str,
    pub balancer: bool,
    pub best: Fitness,
}

/// The answer; its text is one line without its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    pub ready: bool,
    pub text: String,
}

/// Looks at all pools. `drain`: the file of `ProxyLiveDrainFile`, which exists.
pub fn ready<'a>(drain: Option<&str>, pools: impl Iterator<Item = Pool<'a>>) -> Ready {
    if let Some(file) = drain {
        return Ready {
            ready: false,
            text: format!("not ready: draining, {file} exists"),
        };
    }
    let mut seen = HashSet::new();
    let all = pools.filter(|pool| pool.best != Fitness::Usable && seen.insert(*pool));
    let (bad, resort): (Vec<_>, Vec<_>) = all.partition(|pool| pool.best < Fitness::LastResort);
    let text = match (bad.as_slice(), resort.as_slice()) {
        ([], []) => "ready".to_owned(),
        ([], resort) => format!("ready; last resort: {}", list(resort, |_| "")),
        (bad, _) => format!("not ready: {}", list(bad, why)),
    };
    Ready {
        ready: bad.is_empty(),
        text,
    }
}

const fn why(pool: &Pool) -> &'static str {
    match (pool.best, pool.balancer) {
        (Fitness::Starting, _) => " waits for DNS or its first probe",
        (_, true) => " has no usable member",
        (_, false) => " is not usable",
    }
}

fn list(pools: &[Pool], more: impl Fn(&Pool) -> &'static str) -> String {
    let words = pools.iter().take(LISTED);
    let words: Vec<String> = words
        .map(|pool| format!("{}{}", pool.name, more(pool)))
        .collect();
    let mut text = words.join(", ");
    if pools.len() > LISTED {
        let _ = write!(text, " and {} more", pools.len() - LISTED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pool(name: &str, best: Fitness) -> Pool<'_> {
        Pool {
            name,
            balancer: matches!(name.as_bytes(), [b'b', ..]),
            best,
        }
    }

    fn of(pools: &[Pool]) -> (bool, String) {
        let Ready { ready, text } = ready(None, pools.iter().copied());
        (ready, text)
    }

    #[test]
    fn answers() {
        use Fitness::{LastResort, None, Starting, Usable};
        let good = (true, "ready".to_owned());
        assert_eq!(of(&[]), good);
        assert_eq!(of(&[pool("b", Usable), pool("http://a", Usable)]), good);
        let resort = (true, "ready; last resort: b".to_owned());
        assert_eq!(
            of(&[pool("b", LastResort), pool("http://a", Usable)]),
            resort
        );
        for (pools, text) in [
            (vec![pool("b", None)], "not ready: b has no usable member"),
            (
                vec![pool("http://a", None)],
                "not ready: http://a is not usable",
            ),
            (
                vec![
                    pool("b", Starting),
                    pool("b2", LastResort),
                    pool("http://a", None),
                ],
                "not ready: b waits for DNS or its first probe, http://a is not usable",
            ),
            // Copies in virtual hosts are named once.
            (
                vec![pool("http://a", None); 3],
                "not ready: http://a is not usable",
            ),
        ] {
            assert_eq!(of(&pools), (false, text.to_owned()));
        }
    }

    #[test]
    fn draining_comes_first() {
        let answer = ready(Some("/run/drain"), [pool("b", Fitness::Usable)].into_iter());
        assert_eq!(
            (answer.ready, answer.text.as_str()),
            (false, "not ready: draining, /run/drain exists")
        );
    }

    #[test]
    fn one_line_of_bounded_length() {
        let names: Vec<String> = (0..1_000).map(|n| format!("balancer://b{n}")).collect();
        let pools = names.iter().map(|name| pool(name, Fitness::None));
        let text = ready(None, pools).text;
        assert!(text.ends_with("b19 has no usable member and 980 more") && text.len() < 2_000);
    }
}
