//! Report that a run prints: one JSON object on one line.

use std::fmt;

/// A JSON object, built name by name.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<(String, String)>);

impl Report {
    /// Numbers, and what is JSON already.
    pub(crate) fn set(&mut self, name: &str, value: impl fmt::Display) -> &mut Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        let safe: String =
            value.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
        self.set(name, format_args!("\"{safe}\""))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}\"{name}\":{value}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("}")
    }
}
