//! The name in a question.

use hickory_resolver::proto::rr::Name;

/// A fully qualified name as DNS carries it: underscores are legal, letters beyond ASCII
/// become punycode (IDNA). `None` for what DNS cannot carry.
pub fn dns_name(name: &str) -> Option<Name> {
    let parsed = match name.is_ascii() {
        true => Name::from_ascii(name),
        false => Name::from_utf8(name),
    };
    // a backslash before the last dot makes it part of a label
    parsed.ok().filter(|name| name.is_fqdn() && !name.is_root())
}

#[cfg(test)]
mod tests;
