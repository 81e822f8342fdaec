//! httpd's tree of directives, after the configuration was read.

use super::{sys, text};
use crate::config::lines::Directive;

/// Those of mod_proxy that take parameters of workers.
const NAMES: [&str; 6] = [
    "ProxyPass",
    "ProxyPassMatch",
    "BalancerMember",
    "ProxySet",
    "<Proxy",
    "<ProxyMatch",
];

/// All directives with parameters of workers, in the order of the configuration.
pub(super) fn directives() -> Vec<Directive> {
    let mut found = Vec::new();
    // SAFETY: httpd's tree of the configuration that was just read; it lives in pconf.
    unsafe { walk(sys::ap_conftree, "", &mut found) };
    found
}

/// # Safety
/// `first` is NULL or a directive of a tree that is not changed meanwhile.
unsafe fn walk(first: *const sys::ap_directive_t, around: &str, found: &mut Vec<Directive>) {
    // SAFETY: by the caller's promise; `next` is NULL or another directive of the tree.
    let mut at = unsafe { first.as_ref() };
    while let Some(directive) = at {
        // SAFETY: name, arguments and file are NULL or C strings of the tree.
        let (name, mut args, file) = unsafe {
            (
                text(directive.directive),
                text(directive.args),
                text(directive.filename),
            )
        };
        if name.starts_with('<') {
            args.truncate(args.rfind('>').unwrap_or(args.len()));
        }
        // mod_proxy reads what stands in a section before the section's own parameters.
        if !directive.first_child.is_null() {
            let inside = format!("{around} {args}");
            // SAFETY: as above.
            unsafe { walk(directive.first_child, &inside, found) };
        }
        if NAMES.iter().any(|one| one.eq_ignore_ascii_case(&name)) {
            found.push(Directive {
                args,
                around: around.to_owned(),
                place: format!("{file}:{}", directive.line_num),
            });
        }
        // SAFETY: as above.
        at = unsafe { directive.next.as_ref() };
    }
}
