//! The model as JSON, as it stands.

use super::model::Status;

/// One JSON object, a line end behind it.
pub fn json(status: &Status) -> String {
    // Of plain data with text as keys serde_json makes JSON in any case; an error must not take the page away.
    let mut text = serde_json::to_string(status)
        .unwrap_or_else(|error| format!("{{\"error\":\"{}\"}}", error.classify() as u8));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn hostile_text_stays_in_its_place() {
        let status = sample::hostile();
        let read: serde_json::Value = serde_json::from_str(&json(&status)).unwrap();
        assert_eq!(read["format"], 1);
        assert_eq!(read["server"], sample::HOSTILE);
        assert_eq!(
            read["balancers"][0]["members"][0]["reason"],
            sample::HOSTILE
        );
        assert_eq!(read["events"][0]["subject"], sample::HOSTILE);
    }

    #[test]
    fn names_of_states_as_documented() {
        let read: serde_json::Value = serde_json::from_str(&json(&sample::troubled())).unwrap();
        assert_eq!(read["balancers"][1]["members"][0]["state"], "last-resort");
        let member = &read["balancers"][0]["members"];
        let states: Vec<_> = member.as_array().unwrap().iter().collect();
        assert!(states.iter().any(|m| m["state"] == "down"));
        assert!(states.iter().any(|m| m["admin"][0] == "disabled"));
        assert_eq!(member[0]["live"], "on");
        assert!(read["filter"].is_null());
    }
}
