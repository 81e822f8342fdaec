//! Text of the configuration for other eyes: without what may be a secret.

/// A URL without credentials, and without what stands in its query.
pub fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return path(text);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}", path(behind))
}

/// A path without what stands in its query, which may be a token: `/healthz?...`.
pub fn path(text: &str) -> String {
    match text.split_once('?') {
        Some((path, _)) => format!("{path}?..."),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, want) in [
            ("http://app.test:8080", "http://app.test:8080"),
            ("http://app.test/x/", "http://app.test/x/"),
            ("http://user:pw@app.test/x", "http://app.test/x"),
            ("http://user@app.test", "http://app.test"),
            ("http://u:p@w@app.test:81/", "http://app.test:81/"),
            ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
            ("http://u:p@[::1]?key=1", "http://[::1]?..."),
            (
                "https://app.test/x?token=t&u=http://a:b@c/",
                "https://app.test/x?...",
            ),
            (
                "unix:/run/s|http://u:p@app.test/",
                "unix:/run/s|http://app.test/",
            ),
            ("balancer://shop", "balancer://shop"),
            ("no url?x", "no url?..."),
            ("", ""),
        ] {
            assert_eq!(url(text), want, "{text}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(path("/healthz"), "/healthz");
        assert_eq!(path("/healthz?token=t"), "/healthz?...");
        assert_eq!(path("/?a?b"), "/?...");
        assert_eq!(path("/x?"), "/x?...");
    }
}
