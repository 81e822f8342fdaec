//! The balancer-manager of a httpd: status of members, and edits as an administrator makes them.

use crate::httpd::Httpd;
use crate::request::Request;

/// Configuration that [`Httpd::manager`] needs; must stand before a `ProxyPass /`.
pub const MANAGER: &str = "<Location /balancer-manager>
    SetHandler balancer-manager
</Location>
ProxyPass /balancer-manager !";

/// The pages of one balancer.
pub struct Manager<'a> {
    httpd: &'a Httpd,
    balancer: String,
    /// Of which virtual host.
    host: String,
}

impl Httpd {
    /// `balancer`: the name behind `balancer://`. The configuration has [`MANAGER`].
    pub fn manager(&self, balancer: &str) -> Manager<'_> {
        Manager {
            httpd: self,
            balancer: balancer.to_owned(),
            host: "front.test".to_owned(),
        }
    }
}

impl Manager<'_> {
    /// The same balancer in another virtual host.
    pub fn of(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Flags of a member (`http://one.test:9000`) in httpd's words, sorted: `Dis`, `Drn`, `Err`, `HcFl`, `Ign`, `Init`,
    /// `Ok`, `Spar`, `Stby`, `Stop`.
    ///
    /// # Panics
    /// When the balancer has no such member.
    #[track_caller]
    pub fn flags(&self, member: &str) -> Vec<String> {
        let page = self.page("?xml=1");
        let mut found: Vec<String> = flags_of(&page, &self.balancer, member)
            .unwrap_or_else(|| panic!("no member {member} of {}: {page}", self.balancer))
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    }

    /// Whether the member has this flag.
    #[track_caller]
    pub fn has(&self, member: &str, flag: &str) -> bool {
        self.flags(member).iter().any(|f| f == flag)
    }

    /// Posts an edit of a member: `w_status_D=1`, `w_hm=TCP`.
    #[track_caller]
    pub fn edit(&self, member: &str, edit: &str) {
        self.post(&format!("w={member}&{edit}"));
    }

    #[track_caller]
    fn post(&self, edit: &str) {
        let page = self.page("");
        let nonce = nonce_of(&page, &self.balancer)
            .unwrap_or_else(|| panic!("no nonce of {}: {page}", self.balancer));
        let body = format!("b={}&nonce={nonce}&{edit}", self.balancer);
        let page = self.url("");
        let mut request = Request::post(&page, 0)
            .header("Referer", &page)
            .header("Content-Type", "application/x-www-form-urlencoded");
        request.body = body.into_bytes();
        let reply = self.httpd.send(&request).expect("an answer to the edit");
        assert_eq!(reply.status, 200, "{edit}: {}", reply.text());
    }

    /// Adds a member (`growth=`); it begins disabled.
    #[track_caller]
    pub fn add(&self, member: &str) {
        self.post(&format!("b_wyes=1&b_nwrkr={member}"));
    }

    fn url(&self, query: &str) -> String {
        format!("http://{}/balancer-manager{query}", self.host)
    }

    /// The members, in the order in which they came.
    #[track_caller]
    pub fn members(&self) -> Vec<String> {
        let page = self.page("?xml=1");
        members_of(&page, &self.balancer).unwrap_or_default()
    }

    #[track_caller]
    fn page(&self, query: &str) -> String {
        let path = self.url(query);
        let request = Request::get(&path).header("Referer", &self.url(""));
        let reply = self.httpd.send(&request).expect("balancer-manager");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.text()
    }
}

/// The text between `open` and `close` behind the start of `text`, and what follows.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<(&'t str, &'t str)> {
    text.split_once(open)?.1.split_once(close)
}

fn flags_of<'t>(page: &'t str, balancer: &str, member: &str) -> Option<&'t str> {
    let name = format!("<httpd:name>balancer://{balancer}</httpd:name>");
    let (members, _) = between(page, &name, "</httpd:workers>")?;
    let name = format!("<httpd:name>{member}</httpd:name>");
    let (worker, _) = between(members, &name, "</httpd:worker>")?;
    Some(between(worker, "<httpd:status>", "</httpd:status>")?.0)
}

fn members_of(page: &str, balancer: &str) -> Option<Vec<String>> {
    let name = format!("<httpd:name>balancer://{balancer}</httpd:name>");
    let (mut rest, _) = between(page, &name, "</httpd:workers>")?;
    let mut found = Vec::new();
    while let Some((member, more)) = between(rest, "<httpd:name>", "</httpd:name>") {
        found.push(member.to_owned());
        rest = more;
    }
    Some(found)
}

fn nonce_of<'t>(page: &'t str, balancer: &str) -> Option<&'t str> {
    let (_, rest) = page.split_once(&format!("?b={balancer}&amp;"))?;
    let (_, rest) = rest.split_once("nonce=")?;
    let end = rest.find(|c: char| !c.is_ascii_hexdigit() && c != '-')?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::{flags_of, members_of, nonce_of};

    #[test]
    fn pages() {
        let page = "<httpd:name>balancer://a</httpd:name><httpd:workers><httpd:worker>\
            <httpd:name>http://x</httpd:name><httpd:status>Init Ok </httpd:status></httpd:worker></httpd:workers>\
            <httpd:name>balancer://b</httpd:name><httpd:workers><httpd:worker>\
            <httpd:name>http://x</httpd:name><httpd:status>Init Err </httpd:status></httpd:worker></httpd:workers>";
        assert_eq!(flags_of(page, "a", "http://x"), Some("Init Ok "));
        assert_eq!(flags_of(page, "b", "http://x"), Some("Init Err "));
        assert_eq!(flags_of(page, "a", "http://y"), None);
        assert_eq!(members_of(page, "b").unwrap(), ["http://x"]);
        let link = "<a href=\"/m?b=a&amp;w=http://x&amp;nonce=12-ab\">";
        assert_eq!(nonce_of(link, "a"), Some("12-ab"));
        assert_eq!(nonce_of(link, "b"), None);
    }
}
