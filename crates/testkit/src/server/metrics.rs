//! The Prometheus text format, read.

use std::collections::BTreeSet;

/// A reading of every metric that is a whole number: counters, and gauges that count.
#[derive(Debug, Clone)]
pub struct Metrics(Vec<(String, Vec<String>, u64)>);

impl Metrics {
    /// Reads what `/metrics` prints.
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let read = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.trim_end_matches('}').split(',').map(str::to_owned).collect();
            Some((name.to_owned(), labels, value.parse().ok()?))
        });
        Self(read.collect())
    }

    /// The sum of all series called `name` that have all of `labels`, given as they are printed, as in `op="start"`; 0 for none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        self.series(name)
            .filter(|(has, _)| labels.iter().all(|label| has.iter().any(|other| other == label)))
            .map(|(_, value)| value)
            .sum()
    }

    /// The values that `label` has in series called `name`.
    pub fn values_of(&self, name: &str, label: &str) -> BTreeSet<String> {
        let mut values = BTreeSet::new();
        for (labels, _) in self.series(name) {
            for text in labels {
                if let Some(value) = text.strip_prefix(label).and_then(|rest| rest.strip_prefix("=\"")) {
                    values.insert(value.trim_end_matches('"').to_owned());
                }
            }
        }
        values
    }

    fn series(&self, name: &str) -> impl Iterator<Item = (&[String], u64)> {
        self.0.iter().filter(move |(is, ..)| is == name).map(|(_, labels, value)| (labels.as_slice(), *value))
    }
}
