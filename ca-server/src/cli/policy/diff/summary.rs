//! What is printed: each difference, each policy that changed, what else changed, and the sum of it.

use anyhow::bail;

use super::super::super::print;
use super::super::found::count;
use super::{Args, Comparison, alterations};
use crate::config::Excerpt;

impl Comparison {
    pub(super) fn tell(&self, args: &Args, people: usize, nobody: &[String]) -> anyhow::Result<()> {
        for ((change, extent), accounts) in &self.changes {
            print(&if args.json {
                change.as_json(extent, accounts).to_string()
            } else {
                change.as_text(extent, accounts, self.new.set.rules.inventory())
            })?;
        }
        for altered in &self.altered {
            let line = alterations::line(altered, &self.seen);
            let json = || alterations::as_json(altered, &self.seen).to_string();
            (if args.json { Some(json()) } else { line }).map_or(Ok(()), |line| print(&line))?;
        }
        let mut besides: Vec<String> = nobody.to_vec();
        let rest = self.new.set.rules.changes_since(&self.old.set.rules);
        let rest = rest.iter().filter(|change| change.of != jit_ssh_proto::event::Ruled::Policies);
        besides.extend(rest.map(|change| format!("the inventory changed: {change}")));
        let excerpts = (&self.old.set.excerpt, &self.new.set.excerpt);
        let differs = |of: fn(&Excerpt) -> String| of(excerpts.0) != of(excerpts.1);
        for (what, differs) in [
            ("timezone", self.zones_differ),
            ("limits", differs(|excerpt| format!("{:?}", excerpt.limits))),
            ("issuers", differs(|excerpt| format!("{:?}", excerpt.issuers))),
        ] {
            besides.extend(differs.then(|| format!("ca.toml changed: {what}")));
        }
        if !args.json {
            besides.iter().try_for_each(|line| print(line))?;
        }
        let of = format!("{}, for {}", self.questions(), count(people, "identity"));
        let untold = alterations::untold(&self.altered, &self.seen);
        let differences = count(self.changes.len(), "difference");
        let said = match (self.changes.len(), untold) {
            (0, 0) if self.altered.is_empty() && besides.is_empty() => format!("nothing changes ({of})"),
            (0, 0) => format!("no answer changes ({of})"),
            (0, untold) => format!(
                "no answer changes, but {} changed that no question asked shows ({of})",
                count(untold, "policy")
            ),
            (_, 0) => format!("{differences} ({of})"),
            (_, untold) => format!(
                "{differences}, and {} changed that no question asked shows ({of})",
                count(untold, "policy")
            ),
        };
        if args.exit_code && (!self.changes.is_empty() || untold > 0) {
            bail!("{said}");
        }
        if !args.json {
            print(&said)?;
        }
        Ok(())
    }

    fn questions(&self) -> String {
        if self.asked == 1 { "1 question".to_owned() } else { format!("{} questions", self.asked) }
    }
}
