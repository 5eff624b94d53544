//! What is asked again, and in which order: what is easy for the caller first, and two changes together where one
//! alone does not do. At most so many questions, whatever the policies say.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use jit_ssh_proto::explanation::Terms;
use jit_ssh_proto::{Account, Action, Mode, Modifier, Place, Span};

use super::super::Circumstances;
use super::super::annotations::{Offer, Rule};
use super::super::conditions::Condition;
use super::super::decide::Supposed;
use super::ask::{Asker, Standing, Whole};
use super::change::{Change, Fact, Found};
use super::looks::Looks;
use super::windows::{Window, slices};
use crate::places::said_by_certificate;

/// How many lengths are tried.
const LENGTHS: usize = 3;

/// How often the pair that is looked at is another one.
const ROUNDS: usize = 3;

/// For how many accounts of one request another hour is looked for.
const ACCOUNTS: usize = 8;

/// The modes that need no more than their name.
const MODES: [Mode; 3] = [Mode::Shell, Mode::Sftp, Mode::Forward];

/// What would lead to another answer. `pairs` is how many the request has: of several, one after the other is looked
/// at, and what helps it is decided on for all of them.
pub(super) fn ways_out(asker: &mut Asker<'_>, asked: Whole, pairs: usize) -> Vec<Found> {
    let had = asked.standing.terms().cloned();
    let mut whole = asked;
    let mut base = Change::default();
    for _ in 0..ROUNDS {
        let Some(search) = Search::new(asker, &whole, base.clone(), had.clone(), pairs) else {
            return Vec::new();
        };
        let candidates = search.run();
        if pairs == 1 {
            return candidates;
        }
        let (mut found, mut next) = (Vec::new(), None);
        for Found { change, .. } in candidates {
            let Some(then) = asker.whole(&change) else { break };
            match then.standing.terms() {
                Some(terms) if better(terms, had.as_ref()) => {
                    found.push(Found { change, terms: terms.clone() })
                }
                // It helped this pair; another is in the way now.
                Some(_) | None => {
                    next.get_or_insert((change, then));
                }
            }
        }
        match next {
            Some((change, then)) if found.is_empty() => (base, whole) = (change, then),
            Some(_) | None => return found,
        }
    }
    Vec::new()
}

/// What it takes of the caller to be given a pair now: nothing, or some of what they can add to a request. What takes
/// the approval of others only where nothing takes that of fewer.
pub(super) fn taken_now(asker: &mut Asker<'_>, account: &Account, action: Action) -> Option<Found> {
    let standing = asker.pair(&Change::default(), account, action)?;
    let had = standing.terms().cloned();
    let as_it_is = had.clone().map(|terms| Found { change: Change::default(), terms });
    if matches!(standing, Standing::Allowed(_)) {
        return as_it_is;
    }
    let whole = Whole { standing, account: account.clone(), action };
    let Some(mut search) = Search::new(asker, &whole, Change::default(), had, 1) else { return as_it_is };
    let facts = search.facts();
    let all = facts.iter().fold(Change::default(), |all, fact| all.with(*fact));
    if !facts.is_empty() {
        search.together(&all, &facts);
    }
    search.found.pop().or(as_it_is)
}

/// Whether terms are worth a change: any are where there were none, else those that ask fewer people.
fn better(terms: &Terms, had: Option<&Terms>) -> bool {
    let people = |terms: &Terms| terms.approvals.iter().map(|a| u32::from(a.count)).sum::<u32>();
    had.is_none_or(|had| people(terms) < people(had))
}

/// The search around one pair.
struct Search<'s, 'a> {
    asker: &'s mut Asker<'a>,
    account: Account,
    action: Action,
    /// What is otherwise already.
    base: Change,
    standing: Standing,
    had: Option<Terms>,
    /// What the policies look at that may speak about this pair.
    looks: Looks,
    /// The same for every pair.
    looks_of_all: Looks,
    /// The offers of the permits that may speak about this pair.
    offers: Vec<&'a Offer>,
    /// The modes that some permit for this account speaks of.
    modes: Vec<Mode>,
    /// Whether there is no other pair.
    alone: bool,
    found: Vec<Found>,
}

impl<'s, 'a> Search<'s, 'a> {
    /// None if nothing at all is this caller's there.
    fn new(
        asker: &'s mut Asker<'a>,
        whole: &Whole,
        base: Change,
        had: Option<Terms>,
        pairs: usize,
    ) -> Option<Self> {
        let Whole { standing, account, action } = whole.clone();
        let supposed = asker.supposed;
        let compiled = &supposed.rules.compiled;
        let speaks = |condition: &Condition, action: Action| {
            supposed.rules.vocabulary.action(action).is_ok_and(|action| condition.speaks_of(&action))
        };
        // What no certificate says there is no way out.
        let device =
            supposed.rules.inventory.account(&account).is_some_and(|host| host.authority().is_some());
        let sayable = |mode: &Mode| !device || said_by_certificate(Action::from(*mode));
        let (mut looks, mut offers, mut modes) = (Looks::default(), Vec::new(), Vec::new());
        for condition in supposed.parts(&account)? {
            if speaks(condition, action) {
                looks.add(condition.when());
            }
            match compiled.rules.get(condition.id()) {
                Some(Rule::Permit(offer)) => {
                    let spoken = |mode: &Mode| sayable(mode) && speaks(condition, Action::from(*mode));
                    modes.extend(MODES.into_iter().filter(spoken));
                    offers.extend(speaks(condition, action).then_some(offer));
                }
                Some(Rule::Forbid(_)) | None => {}
            }
        }
        let mut looks_of_all = looks.clone();
        if pairs > 1 {
            for account in asker.accounts.iter().take(ACCOUNTS) {
                let conditions = supposed.parts(account).into_iter().flatten();
                conditions.for_each(|condition| looks_of_all.add(condition.when()));
            }
        }
        let (alone, found) = (pairs == 1, Vec::new());
        Some(Self {
            asker,
            account,
            action,
            base,
            standing,
            had,
            looks,
            looks_of_all,
            offers,
            modes,
            alone,
            found,
        })
    }

    fn run(mut self) -> Vec<Found> {
        let facts = self.facts();
        let all = facts.iter().fold(self.base.clone(), |all, fact| all.with(*fact));
        for fact in &facts {
            self.take(&self.base.with(*fact));
        }
        self.shorter(&self.base.clone());
        if !self.at_once() && facts.len() > 1 {
            self.together(&all, &facts);
        }
        if !self.at_once() && self.looks.at("duration") && all != self.base {
            self.shorter(&all);
        }
        self.without_modifiers();
        if !self.at_once() {
            self.another_hour(&all, &facts);
        }
        if !self.at_once() {
            self.another_mode(&all);
            self.another_login(&all);
        }
        if !self.at_once() {
            self.break_glass(&all, &facts);
        }
        self.found
    }

    /// Whether something was found that nobody has to agree to.
    fn at_once(&self) -> bool {
        self.found.iter().any(|found| found.terms.approvals.is_empty())
    }

    /// What a caller can add to a request and policies look at, but for breaking the glass.
    fn facts(&self) -> Vec<Fact> {
        let supposed = &self.asker.supposed;
        let fact =
            |fact, missing: bool, looked: bool| (missing && looked && !self.base.has(fact)).then_some(fact);
        let verify = self.offers.iter().any(|offer| offer.verify);
        [
            fact(Fact::Reason, supposed.request.reason().is_empty(), self.looks.at("reason")),
            fact(Fact::Ticket, supposed.request.ticket().is_empty(), self.looks.at("ticket")),
            // Where the provider does not say when somebody logged in, another login changes nothing.
            fact(Fact::Login, supposed.identity.auth_time().is_some(), self.looks.at("auth")),
            fact(Fact::FidoKey, !supposed.key.is_fido(), verify || self.looks.at("key")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Asks for a change and, if that is only too long, for as long as would do.
    fn ask(&mut self, change: &Change) -> Option<(Change, Standing)> {
        let standing = self.asker.pair(change, &self.account, self.action)?;
        match standing {
            Standing::TooLong(most) if change.length != Some(most) => {
                let shorter = change.lasting(most);
                let standing = self.asker.pair(&shorter, &self.account, self.action)?;
                Some((shorter, standing))
            }
            Standing::TooLong(_)
            | Standing::Allowed(_)
            | Standing::Pending(_)
            | Standing::Denied(_)
            | Standing::Failed => Some((change.clone(), standing)),
        }
    }

    /// Asks for a change and keeps it if it helps.
    fn take(&mut self, change: &Change) -> bool {
        let Some((change, standing)) = self.ask(change) else { return false };
        let Some(terms) = standing.terms().filter(|terms| better(terms, self.had.as_ref())) else {
            return false;
        };
        self.found.push(Found { change, terms: terms.clone() });
        true
    }

    /// The same, if it leads to more than what was found already.
    fn take_if_more(&mut self, change: &Change) -> bool {
        let Some((change, standing)) = self.ask(change) else { return false };
        let Some(terms) = standing.terms().filter(|_| self.worth_it(&standing)) else { return false };
        self.found.push(Found { change, terms: terms.clone() });
        true
    }

    /// Asks for changes that do together what none does alone, and then leaves out what is not needed.
    fn together(&mut self, all: &Change, facts: &[Fact]) {
        let Some((mut change, mut standing)) = self.ask(all) else { return };
        if !self.worth_it(&standing) {
            return;
        }
        for fact in facts {
            let less = change.but(*fact);
            let Some(then) = self.asker.pair(&less, &self.account, self.action) else { break };
            if then.distance() <= standing.distance() && then.terms().is_some() {
                (change, standing) = (less, then);
            }
        }
        if let Some(terms) = standing.terms() {
            self.found.push(Found { change, terms: terms.clone() });
        }
    }

    /// Whether it leads to more than what was found already.
    fn worth_it(&self, standing: &Standing) -> bool {
        let Some(terms) = standing.terms() else { return false };
        let found = self.found.iter().all(|found| better(terms, Some(&found.terms)));
        found && better(terms, self.had.as_ref())
    }

    /// The longest of the lengths below what was asked for. Who asked for none asked for each that an offer gives, and
    /// so for nothing shorter that a policy sets the limit at.
    fn shorter(&mut self, base: &Change) {
        let rules = self.asker.supposed.rules;
        let longest = || self.offers.iter().map(|offer| rules.given_for(offer.ttl)).max();
        let asked = base.length.or(self.asker.supposed.request.duration()).or_else(longest);
        let Some(asked) = asked else { return };
        let mut lengths: Vec<Span> = match &self.standing {
            Standing::TooLong(most) => Vec::from([*most]),
            Standing::Pending(_) => {
                self.offers.iter().filter(|o| o.approvals.is_none()).map(|o| rules.given_for(o.ttl)).collect()
            }
            Standing::Denied(_) | Standing::Allowed(_) | Standing::Failed => Vec::new(),
        };
        lengths.extend(&self.looks.lengths);
        lengths.retain(|length| *length < asked);
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        for length in lengths.into_iter().take(LENGTHS) {
            if self.take(&base.lasting(length)) {
                return;
            }
        }
    }

    /// Modifiers are asked for on top of a mode, and can be left out: all that are in the way.
    fn without_modifiers(&mut self) {
        let request = self.asker.supposed.request;
        let mode = Action::from(request.mode());
        let asked: Vec<Modifier> = Modifier::ALL
            .into_iter()
            .filter(|modifier| request.modifiers().iter().any(|asked| asked == *modifier))
            .filter(|modifier| !self.base.without.contains(modifier))
            .collect();
        if self.action == mode || !asked.iter().any(|modifier| Action::from(*modifier) == self.action) {
            return;
        }
        let mut change = self.base.clone();
        for modifier in asked {
            let action = Action::from(modifier);
            let in_the_way = action == self.action || {
                let Some(standing) = self.asker.pair(&self.base, &self.account, action) else { return };
                !standing.terms().is_some_and(|terms| better(terms, self.had.as_ref()))
            };
            if in_the_way {
                change.without.insert(modifier);
            }
        }
        // There is no such pair any more: what it comes to is decided on with the whole.
        if let Some(standing) = self.asker.pair(&change, &self.account, mode)
            && let Some(terms) = standing.terms()
        {
            self.found.push(Found { change, terms: terms.clone() });
        }
    }

    /// The next time in which it would be allowed, and what else it takes then.
    fn another_hour(&mut self, all: &Change, facts: &[Fact]) {
        let looks = &self.looks_of_all;
        let crowd = self.asker.accounts.len() > ACCOUNTS;
        if crowd || (!looks.at("local") && !looks.at("now")) {
            return;
        }
        // The last day of a guest is one like any other to policy.
        let Supposed { rules, identity, at, .. } = self.asker.supposed;
        let guest = rules.inventory.guest(identity).next().is_some();
        let over = |at: &Circumstances| guest && rules.ended(identity, at).is_some();
        let slices = slices(looks, at, self.asker.calendar, over);
        let daily = looks.daily();
        let window = |from, until| Window { from, until, daily };
        // 1. The first slice in which it would do. Those of one class are alike, so that one question is enough for all.
        let mut closed = BTreeSet::from([0]);
        let mut rest = slices.iter();
        let (opens, (mut change, mut standing)) = loop {
            let Some(slice) = rest.find(|slice| !closed.contains(&slice.class)) else { return };
            let Some((change, standing)) = self.ask(&all.during(window(slice.from, None))) else { return };
            if self.worth_it(&standing) {
                break (slice, (change, standing));
            }
            closed.insert(slice.class);
        };
        // 2. What is not needed then is not asked for.
        for fact in facts {
            let less = change.but(*fact);
            let Some(then) = self.asker.pair(&less, &self.account, self.action) else { break };
            if then.distance() <= standing.distance() && then.terms().is_some() {
                (change, standing) = (less, then);
            }
        }
        // 3. How long that lasts: no longer than one slice where others have a say.
        let mut same = BTreeSet::from([opens.class]);
        let mut until = None;
        for slice in rest {
            if !same.contains(&slice.class) {
                let later = change.during(window(slice.from, None));
                let alike = self.alone
                    && self.asker.pair(&later, &self.account, self.action).as_ref() == Some(&standing);
                if !alike {
                    until = Some(slice.from);
                    break;
                }
                same.insert(slice.class);
            }
        }
        if let Some(terms) = standing.terms() {
            self.found.push(Found { change: change.during(window(opens.from, until)), terms: terms.clone() });
        }
    }

    /// Another mode of the same account.
    fn another_mode(&mut self, all: &Change) {
        let asked = self.asker.supposed.request.mode();
        if Action::from(asked) != self.action || self.base.mode.is_some() {
            return;
        }
        for mode in MODES.into_iter().filter(|mode| *mode != asked) {
            let spoken_of = self.modes.contains(&mode);
            let in_mode = |change: &Change| Change { mode: Some(mode), ..change.clone() };
            if spoken_of && !self.take_if_more(&in_mode(&self.base)) && *all != self.base {
                self.take_if_more(&in_mode(all));
            }
        }
    }

    /// Another login of the same host: one's own first.
    fn another_login(&mut self, all: &Change) {
        let supposed = self.asker.supposed;
        let [account @ Account { place: Place::Host(_), .. }] = supposed.request.accounts() else { return };
        let Some(host) = supposed.rules.inventory.account(account) else { return };
        let mut logins: Vec<_> = host.logins().iter().filter(|login| **login != account.login).collect();
        logins.sort_by_key(|login| supposed.identity.login() != Some(*login));
        for login in logins {
            let as_login = |change: &Change| Change { login: Some(login.clone()), ..change.clone() };
            if self.take_if_more(&as_login(&self.base))
                || (*all != self.base && self.take_if_more(&as_login(all)))
            {
                return;
            }
        }
    }

    /// Broken glass, where policy has any.
    fn break_glass(&mut self, all: &Change, facts: &[Fact]) {
        let any = self.offers.iter().any(|offer| offer.break_glass) || self.looks.at("break_glass");
        if !any
            || self.asker.supposed.request.break_glass()
            // Not every way to log in may.
            || !self.asker.supposed.identity.is_privileged()
            || self.take_if_more(&self.base.with(Fact::BreakGlass))
        {
            return;
        }
        if *all != self.base {
            self.together(&all.with(Fact::BreakGlass), facts);
        }
    }
}
