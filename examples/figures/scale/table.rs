//! Figures by column, printed as a Markdown table.

use crate::beside::median;

/// Rows appear in the order in which they were first told of.
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    what: String,
    digits: usize,
    /// Of each column: one value or several, of which the median counts.
    values: Vec<Vec<f64>>,
}

impl Table {
    pub fn new(columns: &[String]) -> Table {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a value.
    pub fn add(&mut self, what: &str, column: usize, digits: usize, value: f64) {
        let known = self.rows.iter().position(|row| row.what == what);
        let at = known.unwrap_or_else(|| {
            self.rows.push(Row {
                what: what.to_owned(),
                digits,
                values: vec![Vec::new(); self.columns.len()],
            });
            self.rows.len() - 1
        });
        self.rows[at].values[column].push(value);
    }

    pub fn print(&self) {
        println!("\n| | {} |", self.columns.join(" | "));
        println!("|---|{}", "---:|".repeat(self.columns.len()));
        for row in &self.rows {
            let cells = row.values.iter().map(|values| match values.is_empty() {
                true => String::new(),
                false => format!("{:.*}", row.digits, median(values)),
            });
            println!(
                "| {} | {} |",
                row.what,
                cells.collect::<Vec<String>>().join(" | ")
            );
        }
        println!();
    }
}
