//! Which fully qualified names a configured name stands for, in the order in
//! which they are asked: the search list of resolv.conf(5).

use super::answer::Outcome;

/// The rules of a search list. The default asks for the name as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// A name with at least so many dots is first asked as it is.
    pub ndots: u32,
    /// Suffixes, in order, with or without a final dot.
    pub search: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ndots: 1,
            search: Vec::new(),
        }
    }
}

/// The names to ask for, each with a final dot, without repetitions; at least one.
///
/// A final dot in `name` means exactly this name. Otherwise the name as it is comes
/// before the suffixes when it has `ndots` dots or more, and after them when it has
/// fewer (as `res_nsearch` of the C library does).
pub fn candidates(name: &str, rules: &Rules) -> Vec<String> {
    let plain = name.strip_suffix('.').unwrap_or(name);
    let absolute = format!("{plain}.");
    if name.ends_with('.') {
        return vec![absolute];
    }
    let dots = plain.bytes().filter(|&byte| byte == b'.').count();
    let first = dots >= rules.ndots as usize;
    let mut names = Vec::with_capacity(rules.search.len() + 1);
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    if first {
        add(absolute.clone());
    }
    for suffix in &rules.search {
        match suffix.strip_suffix('.').unwrap_or(suffix) {
            "" => add(absolute.clone()),
            suffix => add(format!("{plain}.{suffix}.")),
        }
    }
    if !first {
        add(absolute);
    }
    names
}

/// Whether to go on to the next candidate: only when the name servers said for
/// every family that there is nothing. An error stops, lest a wildcard in a later
/// domain supplies the address of a stranger.
pub const fn goes_on(v4: &Outcome, v6: &Outcome) -> bool {
    v4.is_negative() && v6.is_negative()
}

/// The names of one look-up, one after the other, for as long as the search goes on.
#[derive(Debug)]
pub struct Search(std::vec::IntoIter<String>);

impl Search {
    /// For a configured name.
    pub fn new(name: &str, rules: &Rules) -> Self {
        Self(candidates(name, rules).into_iter())
    }

    /// For exactly this fully qualified name.
    pub fn only(name: &str) -> Self {
        Self(vec![name.to_owned()].into_iter())
    }

    /// Takes what the name servers said of the last name.
    pub fn answered(&mut self, v4: &Outcome, v6: &Outcome) {
        if !goes_on(v4, v6) {
            self.0 = Vec::new().into_iter();
        }
    }
}

impl Iterator for Search {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0.next()
    }
}

/// Whether a name is `localhost` or below it (RFC 6761 section 6.3): never asked of DNS.
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests;
