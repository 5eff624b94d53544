//! What is printed: each difference, each policy that changed, what else changed, and the sum of it.

use anyhow::bail;
use jit_ssh_proto::event::Ruled;

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
        for entry in &self.entries {
            print(&if args.json { entry.as_json().to_string() } else { entry.as_text() })?;
        }
        let mut besides: Vec<String> = nobody.to_vec();
        let rest = self.new.set.rules.changes_since(&self.old.set.rules);
        // Policies and guests were told one by one.
        let rest = rest.iter().filter(|change| match change.of {
            Ruled::Policies | Ruled::Guests => false,
            Ruled::Hosts | Ruled::Groups => true,
        });
        besides.extend(rest.map(|change| format!("the inventory changed: {change}")));
        let excerpts = (&self.old.set.excerpt, &self.new.set.excerpt);
        let differs = |of: fn(&Excerpt) -> String| of(excerpts.0) != of(excerpts.1);
        for (what, differs) in
            [("timezone", self.zones_differ), ("limits", differs(|excerpt| format!("{:?}", excerpt.limits)))]
        {
            besides.extend(differs.then(|| format!("ca.toml changed: {what}")));
        }
        if !args.json {
            besides.iter().try_for_each(|line| print(line))?;
        }
        let of = format!("{}, for {}", self.questions(), count(people, "identity"));
        let untold = alterations::untold(&self.altered, &self.seen);
        let mut more = Vec::new();
        if untold > 0 {
            more.push(format!("{} changed that no question asked shows", count(untold, "policy")));
        }
        if !self.entries.is_empty() {
            more.push(format!("{} to issuers and guests", count(self.entries.len(), "change")));
        }
        let more = more.join(" and ");
        let said = match (self.changes.len(), more.as_str()) {
            (0, "") if self.altered.is_empty() && besides.is_empty() => format!("nothing changes ({of})"),
            (0, "") => format!("no answer changes ({of})"),
            (0, more) => format!("no answer changes, but {more} ({of})"),
            (differences, "") => format!("{} ({of})", count(differences, "difference")),
            (differences, more) => format!("{}, and {more} ({of})", count(differences, "difference")),
        };
        if args.exit_code && (!self.changes.is_empty() || !more.is_empty()) {
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
