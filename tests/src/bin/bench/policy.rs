//! `cargo xtask bench policy`: what a decision costs from 10 to 10,000 policies and from 100 to 1,000,000 hosts, beside
//! asking every policy; what loading them costs, in time, in memory, and those who decide meanwhile.

mod company;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use jit_ssh_ca::config::{Layout, load_rules};
use jit_ssh_core::policy::{Decision, Rules};
use jit_ssh_proto::Span;

use crate::figures::{Figures, median};
use crate::note;
use crate::policy::company::{Asker, Company};

/// Hosts beside which the number of policies varies, and policies beside which the number of hosts does.
const HOSTS: usize = 10_000;
const POLICIES: usize = 1_000;
/// How long decisions are counted.
const COUNTED: Duration = Duration::from_secs(1);

const TTL: Span = Span::from_seconds(1800);

pub(crate) fn run(figures: &mut Figures) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let layout = Layout::new(dir.path());
    for policies in [10, 100, 1_000, 10_000] {
        note(&format!("{policies} policies, {HOSTS} hosts"));
        let rules = load(&layout, &Company { policies, hosts: HOSTS })?;
        decisions(figures, &format!("policy.p{policies}"), &rules, &Company { policies, hosts: HOSTS })?;
        if policies == 10_000 {
            note("the same, asking every policy");
            let all = rules.asking_everything();
            let asked = measure(&all, &Company { policies, hosts: HOSTS })?;
            figures.add("policy.naive_10000_us", asked.median_us, "us");
        }
    }
    for hosts in [100, 10_000, 1_000_000] {
        note(&format!("{POLICIES} policies, {hosts} hosts"));
        let company = Company { policies: POLICIES, hosts };
        let rules = load(&layout, &company)?;
        decisions(figures, &format!("policy.h{hosts}"), &rules, &company)?;
    }
    reload(figures, &layout)
}

/// Writes the files of a company and loads them as the server does.
fn load(layout: &Layout, company: &Company) -> anyhow::Result<Rules> {
    write(layout, company)?;
    Ok(load_rules(layout, TTL)?)
}

fn write(layout: &Layout, company: &Company) -> anyhow::Result<()> {
    for (folder, files) in
        [(layout.policies(), company.policy_files()), (layout.inventory(), company.inventory_files())]
    {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        for (name, text) in files {
            std::fs::write(folder.join(name), text)?;
        }
    }
    Ok(())
}

struct Measured {
    median_us: f64,
    p99_us: f64,
    per_s: f64,
}

fn decisions(figures: &mut Figures, name: &str, rules: &Rules, company: &Company) -> anyhow::Result<()> {
    let measured = measure(rules, company)?;
    figures.add(&format!("{name}.decide_us"), measured.median_us, "us");
    figures.add(&format!("{name}.decide_p99_us"), measured.p99_us, "us");
    figures.add(&format!("{name}.decisions_per_s"), measured.per_s, "1/s");
    Ok(())
}

/// Decides for many people about many hosts, one after the other, on one thread.
fn measure(rules: &Rules, company: &Company) -> anyhow::Result<Measured> {
    let askers = company.askers(512)?;
    let (mut times, mut allowed) = (Vec::new(), 0_usize);
    // Once for whatever is not in memory yet.
    for asker in &askers {
        allowed += usize::from(is_allowed(asker, rules));
    }
    if allowed * 4 < askers.len() || allowed == askers.len() {
        bail!("{allowed} of {} are allowed: that is no measure", askers.len());
    }
    let began = Instant::now();
    while began.elapsed() < COUNTED {
        for asker in &askers {
            let asked = Instant::now();
            std::hint::black_box(asker.decide(rules));
            times.push(asked.elapsed().as_secs_f64() * 1e6);
        }
    }
    let per_s = count(times.len()) / began.elapsed().as_secs_f64();
    let median_us = median(&mut times);
    let p99_us = times.get(times.len() * 99 / 100).copied().context("nothing was measured")?;
    Ok(Measured { median_us, p99_us, per_s })
}

fn is_allowed(asker: &Asker, rules: &Rules) -> bool {
    match asker.decide(rules) {
        Decision::Allowed(_) => true,
        Decision::Denied(_) => false,
    }
}

/// Ten thousand policies and a million hosts: loading them beside somebody who decides all the while.
fn reload(figures: &mut Figures, layout: &Layout) -> anyhow::Result<()> {
    let company = Company { policies: 10_000, hosts: 1_000_000 };
    note("10000 policies, 1000000 hosts: loading them");
    write(layout, &company)?;
    let before = resident_mb()?;
    let began = Instant::now();
    let rules = load_rules(layout, TTL)?;
    figures.add("policy.load_alone_ms", began.elapsed().as_secs_f64() * 1e3, "ms");
    figures.add("policy.rss_mb", resident_mb()? - before, "MB");
    let askers = company.askers(64)?;
    let done = AtomicBool::new(false);
    let (took, longest) = std::thread::scope(|scope| {
        // As many as the machine has cores, as the server's workers are.
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(|| delays(&rules, &askers, &done))).collect();
        let began = Instant::now();
        let again = load_rules(layout, TTL);
        let took = began.elapsed();
        done.store(true, Ordering::Relaxed);
        let longest = workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a worker failed")));
        let longest = longest.collect::<anyhow::Result<Vec<Duration>>>()?;
        drop(again?);
        anyhow::Ok((took, longest.into_iter().max().unwrap_or_default()))
    })?;
    figures.add("policy.reload_ms", took.as_secs_f64() * 1e3, "ms");
    figures.add("policy.reload.longest_decision_ms", longest.as_secs_f64() * 1e3, "ms");
    figures.add("policy.reload.peak_mb", peak_mb()?, "MB");
    Ok(())
}

/// The longest that a decision took, of one every millisecond.
fn delays(rules: &Rules, askers: &[Asker], done: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    for asker in askers.iter().cycle() {
        if done.load(Ordering::Relaxed) {
            break;
        }
        // From when it was due: what comes late was delayed too.
        let due = Instant::now() + Duration::from_millis(1);
        std::thread::sleep(Duration::from_millis(1));
        std::hint::black_box(asker.decide(rules));
        longest = longest.max(due.elapsed());
    }
    longest
}

fn resident_mb() -> anyhow::Result<f64> {
    status("VmRSS:")
}

fn peak_mb() -> anyhow::Result<f64> {
    status("VmHWM:")
}

/// A figure of this process, as Linux has it.
fn status(name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("there is no such figure")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Figures are numbers with a point.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
