//! Reads httpd's error log: which lines are warnings or worse, and what tells of a crash.

/// One line of the error log in httpd's default form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Module that logged, empty when the line has no `[module:level]`.
    pub module: String,
    /// `warn`, `notice`, `trace2`, ...; empty when unknown.
    pub level: String,
    /// The line as it is.
    pub text: String,
}

impl Line {
    /// Parses one line; a line of another form (a library writing to stderr) has an empty level.
    pub fn parse(text: &str) -> Line {
        let tag = text
            .split('[')
            .nth(2)
            .and_then(|t| t.split_once(']'))
            .map(|(t, _)| t);
        let (module, level) = tag.and_then(|t| t.split_once(':')).unwrap_or(("", ""));
        Line {
            module: module.to_owned(),
            level: level.to_owned(),
            text: text.to_owned(),
        }
    }

    /// A warning or worse, a crash, or a line that did not come from httpd's log functions.
    pub fn is_trouble(&self) -> bool {
        let severe = matches!(
            self.level.as_str(),
            "warn" | "error" | "crit" | "alert" | "emerg"
        );
        severe
            || self.level.is_empty()
            || self.text.contains("exit signal")
            || self.text.contains("panicked")
    }
}

/// Lines that say only that all threads or slots were taken: scenarios do that on purpose. The last two say that
/// this machine did not come round to the leading child in time (62: ETIME).
const BUSY: [&str; 9] = [
    "AH00161:",
    "AH00286:",
    "AH00287:",
    "AH00484:",
    "AH10159:",
    "AH00288:",
    "AH00485:",
    "probes are late by up to",
    "cannot be probed: trouble on this machine (errno 62)",
];

/// The lines of `log` that no `expected` text announces.
pub(crate) fn unexpected(log: &str, expected: &[String]) -> Vec<Line> {
    let lines = log
        .lines()
        .filter(|l| !l.trim().is_empty())
        .map(Line::parse);
    let announced = |l: &Line| {
        BUSY.iter().any(|b| l.text.contains(b))
            || expected.iter().any(|e| l.text.contains(e.as_str()))
    };
    lines.filter(|l| l.is_trouble() && !announced(l)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARN: &str =
        "[Fri Nov 20 11:43:21.433122 2026] [core:warn] [pid 5:tid 5] AH00111: something";

    #[test]
    fn levels() {
        let line = Line::parse(WARN);
        assert_eq!(
            (line.module.as_str(), line.level.as_str()),
            ("core", "warn")
        );
        let info =
            "[Fri Nov 20 11:43:21.4 2026] [mpm_event:notice] [pid 1:tid 2] AH00489: configured";
        assert!(!Line::parse(info).is_trouble());
        let crash = "[Fri Nov 20 1 2026] [core:notice] [pid 1] AH00052: child pid 8 exit signal Segmentation fault (11)";
        assert!(Line::parse(crash).is_trouble());
        assert!(Line::parse("thread 'x' panicked at src/lib.rs").is_trouble());
    }

    #[test]
    fn announced_lines_pass() {
        assert_eq!(unexpected(WARN, &[]).len(), 1);
        assert!(unexpected(WARN, &["AH00111".to_owned()]).is_empty());
        assert!(unexpected(&WARN.replace("AH00111", "AH00484"), &[]).is_empty());
    }
}
