//! Medians of rounds, with their spread.

/// The least, the median and the greatest.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Self {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        Self { least: values[0], median: values[values.len() / 2], most: values[values.len() - 1] }
    }

    /// ` (0.61 to 0.70 over 5 rounds)`, as a figure's name goes on.
    pub fn told(&self, rounds: usize) -> String {
        let digits = if self.most < 100.0 { 2 } else { 0 };
        format!(" ({:.digits$} to {:.digits$} over {rounds} rounds)", self.least, self.most)
    }
}

/// Nearest rank.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent).div_ceil(100).saturating_sub(1)]
}
