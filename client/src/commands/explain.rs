//! `jit-ssh explain LOGIN@HOST…`: what a request would come to, why, and what would change the answer.

use jit_ssh_proto::event::Asked;
use jit_ssh_proto::explanation::{self, Answer, Explanation, NOT_YET, NearMiss, Terms};
use jit_ssh_proto::wire::ExplainBody;
use serde_json::{Value, json};

use crate::access::Wanted;
use crate::cli::ExplainArgs;
use crate::client::Client;
use crate::error::{Error, Exit, Result};
use crate::output::{Waiting, escape, facts, print, print_json};

pub(super) fn run(args: &ExplainArgs) -> Result<()> {
    let asked = Wanted::new(&args.accounts, &args.access)?.asked();
    let client = Client::load()?;
    let session = client.require_session()?;
    let body = ExplainBody {
        accounts: asked.accounts.iter().map(ToString::to_string).collect(),
        mode: asked.mode,
        modifiers: asked.modifiers.clone(),
        command: asked.command.as_ref().map(ToString::to_string),
        duration: asked.duration.map(|duration| duration.to_string()),
        reason: asked.reason.to_string(),
        ticket: asked.ticket.to_string(),
        break_glass: args.break_glass,
        starts_in: None,
    };
    let explanation = {
        let _waiting = Waiting::for_("asking the CA");
        client.ca().explain(&session, &body)?
    };
    let asking = Asking { asked, break_glass: args.break_glass };
    if args.json {
        print_json(&to_json(&explanation, &asking))?;
    } else {
        print(&in_words(&explanation, &asking))?;
    }
    match explanation.answer {
        Answer::Allowed => Ok(()),
        Answer::Pending => Err(Error::Told(Exit::Pending)),
        Answer::Denied => Err(Error::Told(Exit::Denied)),
    }
}

/// What was asked about, and what of it can be asked for.
struct Asking {
    asked: Asked,
    break_glass: bool,
}

impl Asking {
    /// The command that gets what is allowed. None where there is none: break-glass and approvals cannot be asked for yet.
    fn command(&self, explanation: &Explanation) -> Option<String> {
        match explanation.answer {
            Answer::Allowed if !self.break_glass => Some(explanation::command(&self.asked, false, false)),
            Answer::Allowed | Answer::Pending | Answer::Denied => None,
        }
    }

    /// A way out in words.
    fn words(&self, near: &NearMiss) -> String {
        if self.break_glass && near.can_be_asked_for() {
            format!("{near} ({NOT_YET})")
        } else {
            near.in_words()
        }
    }

    /// The command that goes a way out.
    fn way(&self, near: &NearMiss) -> Option<String> {
        if self.break_glass { None } else { near.command(&self.asked) }
    }
}

/// The explanation as the CA gave it, each way out and what is allowed with the command that goes it.
fn to_json(explanation: &Explanation, asking: &Asking) -> Value {
    let mut value = json!(explanation);
    let add = |to: Option<&mut Value>, name: &str, what: Value| {
        if let Some(fields) = to.and_then(Value::as_object_mut) {
            fields.insert(name.to_owned(), what);
        }
    };
    if let Some(command) = asking.command(explanation) {
        add(Some(&mut value), "command", json!(command));
    }
    for (at, near) in explanation.advice.iter().enumerate() {
        let way = format!("/advice/{at}");
        add(value.pointer_mut(&way), "words", json!(asking.words(near)));
        add(value.pointer_mut(&way), "command", json!(asking.way(near)));
    }
    value
}

fn in_words(explanation: &Explanation, asking: &Asking) -> String {
    let answer = match explanation.answer {
        Answer::Allowed if asking.break_glass => format!("allowed under break-glass, {NOT_YET}"),
        Answer::Allowed => "allowed".to_owned(),
        Answer::Pending => format!("needs approval, {NOT_YET}"),
        Answer::Denied => "denied".to_owned(),
    };
    let mut rows = vec![("Answer", answer), ("Why", escape(&explanation.detail))];
    if let Some(terms) = &explanation.terms {
        rows.extend(in_rows(terms));
    }
    for pair in &explanation.pairs {
        let by = format!("{} on {} by {}", pair.action, pair.account, pair.policy);
        rows.push(("Policy", escape(&by)));
    }
    rows.extend(asking.command(explanation).map(|command| ("Run", command)));
    let mut text = facts(&rows);
    for near in &explanation.advice {
        let least = if near.terms.approvals.is_empty() { "allowed" } else { "possible" };
        text.push_str(&format!("\nIt would be {least} {}", escape(&asking.words(near))));
        text.push_str(&match asking.way(near) {
            Some(command) => format!(":\n    {command}\n"),
            None => ".\n".to_owned(),
        });
    }
    text
}

fn in_rows(terms: &Terms) -> Vec<(&'static str, String)> {
    let mut rows = vec![("At most", terms.duration.to_string())];
    rows.extend(terms.approvals.iter().map(|approval| ("Takes", approval.to_string())));
    if terms.pin_source {
        rows.push(("Only from", "the address that you ask from".to_owned()));
    }
    if terms.verify {
        rows.push(("Each use", "needs the FIDO key's PIN or finger".to_owned()));
    }
    rows
}
