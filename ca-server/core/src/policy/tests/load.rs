//! What is refused when policies are loaded, and where the error points.

use super::*;

/// Policies at every limit of the scanner: the deepest that Cedar's parser, validator and evaluator are ever given.
fn at_the_limits() -> Vec<(&'static str, String)> {
    let permit = |when: &str| format!("permit (principal, action == Action::\"shell\", resource) when {{ {when} }};");
    let many = |n: usize, one: &str, join: &str| Vec::from_iter(core::iter::repeat_n(one, n)).join(join);
    Vec::from([
        ("brackets", permit(&format!("{}true{}", "(".repeat(23), ")".repeat(23)))),
        ("sets", permit(&format!("{}1{} == {}1{}", "[".repeat(23), "]".repeat(23), "[".repeat(23), "]".repeat(23)))),
        ("records", permit(&format!("{}1{} == 1", "{a: ".repeat(23), "}".repeat(23)))),
        ("and", permit(&many(398, "true", " && "))),
        ("or", permit(&many(398, "false", " || "))),
        ("plus", permit(&format!("{} == 1", many(398, "1", " + ")))),
        ("minus", permit(&format!("{} == 1", many(398, "1", " - ")))),
        ("minus signs", permit(&format!("1 == {}1", "-".repeat(398)))),
        ("times", permit(&format!("{} == 1", many(398, "1", " * ")))),
        ("not", permit(&format!("{}true", "!".repeat(399)))),
        ("equals", permit(&many(399, "1", " == "))),
        ("less", permit(&many(399, "1", " < "))),
        ("dots", permit(&format!("context{}", ".a".repeat(399)))),
        ("has dots", permit(&format!("context has a{}", ".a".repeat(398)))),
        ("if", permit(&format!("{}true", "if true then true else ".repeat(399)))),
        ("if in condition", permit(&format!("{}true{}", "if ".repeat(399), " then true else true".repeat(399)))),
        ("if then", permit(&format!("{}true{}", "if true then ".repeat(399), " else true".repeat(399)))),
        ("when", format!("permit (principal, action == Action::\"shell\", resource) {};", "when { true } ".repeat(400))),
        ("unless", format!("permit (principal, action == Action::\"shell\", resource) {};", "unless { false } ".repeat(400))),
        ("indices", permit(&format!("context{}", "[\"a\"]".repeat(300)))),
        ("calls", permit(&format!("context.now{}", ".offset(duration(\"1s\"))".repeat(390)))),
        ("mixed", permit(&format!("{}true{}", "!(true && ".repeat(23), ")".repeat(23)))),
        ("mixed if", permit(&format!("{}true{}", "(if true then true else !!true && 1 + 2 == 3 || ".repeat(23), ")".repeat(23)))),
        ("is in", permit(&many(99, "principal is User", " && "))),
        ("likes", permit(&many(99, "context.reason like \"*a*\"", " || "))),
        ("path", permit(&format!("{}\"a\" == principal", "A::".repeat(8)))),
        ("annotations", format!("{} permit (principal, action, resource);", "@title(\"x\") ".repeat(5000))),
        ("wide set", permit(&format!("[{}].contains(principal)", many(20_000, "User::\"corp/x\"", ",")))),
        ("wide scope", format!("permit (principal, action in [{}], resource);", many(20_000, "Action::\"shell\"", ","))),
        ("trailing commas", permit(&format!("[{}]", ",".repeat(50_000)))),
        ("ats", "@".repeat(50_000) + ";"),
        ("slots", permit(&many(399, "?principal", "=="))),
    ])
}

#[test]
fn nothing_within_the_limits_exhausts_a_stack() {
    for (name, text) in at_the_limits() {
        std::eprintln!("{name}");
        let result = std::thread::Builder::new().stack_size(16 << 20).spawn(move || try_rules(&text).map(|r| r.len())).unwrap().join();
        std::eprintln!("   {:?}", result.unwrap().map_err(|e| alloc::format!("{:.300}", alloc::format!("{:?}", e[0]))));
    }
}
