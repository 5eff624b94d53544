//! Figures: a table for people, lines of JSON for programs.

/// Where figures go.
pub(crate) struct Figures {
    json: bool,
}

impl Figures {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints one figure.
    pub(crate) fn add(&mut self, name: &str, value: f64, unit: &str) {
        if self.json {
            println!("{}", serde_json::json!({ "figure": name, "value": value, "unit": unit }));
        } else {
            println!("{name:<48} {value:>12.2} {unit}");
        }
    }
}

/// The middle of what was measured; zero of nothing.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
