//! The two pages: pick a person, and what went wrong. No script, nothing from elsewhere, everything escaped.

use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use url::Url;

use super::people::{PEOPLE, Person};

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:30rem;margin:12vh auto 2rem;padding:0 1rem}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem}\
form{display:grid;gap:.75rem;margin:1.5rem 0}\
button{font:inherit;text-align:left;padding:.75rem 1rem;border:1px solid GrayText;border-radius:.5rem;\
background:Canvas;color:CanvasText;cursor:pointer}\
button:hover,button:focus-visible{border-color:Highlight;outline:2px solid Highlight}\
button strong{display:block}\
small{opacity:.8}";

/// The page to pick a person on, for an answer that goes to `redirect`.
pub(super) fn people(ticket: &str, redirect: &Url) -> Response {
    let buttons: String = PEOPLE.iter().map(button).collect();
    let body = format!(
        "<h1>Who is logging in?</h1>\
         <p>This is the development identity provider of jit-ssh. It asks for no password: pick somebody.</p>\
         <form method=\"post\" action=\"/authorize\">\
         <input type=\"hidden\" name=\"ticket\" value=\"{}\">{buttons}</form>\
         <p><small>The answer goes to {}, a program on this machine.</small></p>",
        escape(ticket),
        escape(redirect.as_str()),
    );
    // `form-action` also governs where the answer may redirect. An IPv6 address cannot be written there.
    let target = match redirect.host() {
        Some(url::Host::Ipv4(_)) => format!("http://127.0.0.1:{}", redirect.port().unwrap_or_default()),
        Some(url::Host::Ipv6(_) | url::Host::Domain(_)) | None => "http:".to_owned(),
    };
    html(StatusCode::OK, "Who is logging in?", &body, &format!("'self' {target}"))
}

fn button(person: &Person) -> String {
    let groups = if person.groups.is_empty() { "no groups".to_owned() } else { person.groups.join(", ") };
    format!(
        "<button name=\"person\" value=\"{}\"><strong>{}</strong><small>{} · {}</small></button>",
        escape(person.login),
        escape(person.name),
        escape(person.login),
        escape(&groups),
    )
}

/// A request that cannot be answered to anybody but the person before the screen.
pub(super) fn refusal(why: &str) -> Response {
    let body = format!(
        "<h1>This login cannot go on</h1><p>Because {}. Start it again from the terminal.</p>",
        escape(why)
    );
    html(StatusCode::BAD_REQUEST, "This login cannot go on", &body, "'none'")
}

fn html(status: StatusCode, title: &str, body: &str, form_action: &str) -> Response {
    let digest = BASE64.encode(&Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    );
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>",
        escape(title),
    );
    let headers: [(HeaderName, &str); 6] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, &policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, page).into_response()
}

/// For text and for values in double quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("<a href=\"'&\">"), "&lt;a href=&quot;&#39;&amp;&quot;&gt;");
    }
}
