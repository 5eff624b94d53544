//! Numbered, announced steps with the time that each took. The first that fails ends the task.

use std::time::Instant;

use anyhow::{Context, Result};

/// The steps of one task, in order.
pub(crate) struct Steps {
    began: Instant,
    taken: u32,
}

impl Steps {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), taken: 0 }
    }

    /// Announces a step, takes it and says how long it took; an error names the step.
    pub(crate) fn take<T>(&mut self, title: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        self.taken += 1;
        let number = self.taken;
        eprintln!("\n== {number}. {title}");
        let began = Instant::now();
        let result = step();
        let took = began.elapsed().as_secs_f64();
        match &result {
            Ok(_) => eprintln!("== {number}. done in {took:.1} s"),
            Err(_) => eprintln!("== {number}. failed after {took:.1} s"),
        }
        result.with_context(|| format!("step {number} ({title}) failed"))
    }

    /// The closing line of a task that got through.
    pub(crate) fn end(self, what: &str) {
        eprintln!("\n{what}: {} steps in {:.1} s", self.taken, self.began.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_step_and_keeps_its_cause() {
        let mut steps = Steps::begin();
        steps.take("first", || Ok(())).unwrap();
        let error = steps.take("second", || -> Result<()> { anyhow::bail!("the cause") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "step 2 (second) failed: the cause");
    }
}
