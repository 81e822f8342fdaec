//! Sets of HTTP statuses, as `liveexpect` names them.

use std::fmt;

/// Ranges of statuses, in ascending order, none touching another. Never empty.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Statuses(Vec<(u16, u16)>);

impl Default for Statuses {
    /// 200 to 399.
    fn default() -> Self {
        Self(vec![(200, 399)])
    }
}

impl Statuses {
    /// Reads `200-399` or `200,204,301-302`: statuses from 100 to 599. None when it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut ranges: Vec<(u16, u16)> = text.split(',').map(range).collect::<Option<_>>()?;
        ranges.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for (from, to) in ranges {
            match joined.last_mut() {
                Some((_, last)) if from <= *last + 1 => *last = to.max(*last),
                _ => joined.push((from, to)),
            }
        }
        Some(Self(joined))
    }

    pub fn contains(&self, status: u16) -> bool {
        let holds = |(from, to): &(u16, u16)| (*from..=*to).contains(&status);
        self.0.iter().any(holds)
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (status(from)?, status(to)?);
    (from <= to).then_some((from, to))
}

fn status(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits)?;
    (100..=599).contains(&number).then_some(number)
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (from, to)) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            match from == to {
                true => write!(f, "{from}")?,
                false => write!(f, "{from}-{to}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lists() {
        for (text, shown) in [
            ("200-399", "200-399"),
            ("200,204", "200,204"),
            ("204,200", "200,204"),
            ("200,201", "200-201"),
            ("200-299,250-310,404", "200-310,404"),
            ("100-599", "100-599"),
            ("503", "503"),
        ] {
            assert_eq!(Statuses::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(Statuses::parse("200-399"), Some(Statuses::default()));
    }

    #[test]
    fn bad_lists() {
        for text in [
            "", ",", "200,", "99", "600", "2xx", "200-", "-200", "399-200", "200 204", "+200",
            "0200", "200--300", "200;204",
        ] {
            assert_eq!(Statuses::parse(text), None, "{text}");
        }
    }

    #[test]
    fn members() {
        let set = Statuses::parse("200,204,300-302").unwrap();
        for status in [200, 204, 300, 301, 302] {
            assert!(set.contains(status), "{status}");
        }
        for status in [0, 199, 201, 203, 205, 299, 303, u16::MAX] {
            assert!(!set.contains(status), "{status}");
        }
    }
}
