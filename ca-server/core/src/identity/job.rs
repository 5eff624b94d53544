//! The marks of a job's token. A platform that gives tokens to people and to jobs under one issuer lets jobs choose the
//! audience, and the client id of an entry for people is no secret: what tells the two apart is what else they say.

use alloc::format;
use alloc::string::String;

use jit_ssh_proto::{Code, Problem};
use serde_json::{Map, Value};

/// A platform, and the claims that its jobs' tokens have and people's do not: all of them.
const MARKS: &[(&str, &[&str])] = &[
    ("GitLab CI", &["project_path", "job_id"]),
    ("GitLab CI", &["project_path", "pipeline_id"]),
    ("GitHub Actions", &["repository", "run_id"]),
    ("Buildkite", &["pipeline_slug", "build_number"]),
    ("CircleCI", &["oidc.circleci.com/project-id"]),
    ("Bitbucket Pipelines", &["repositoryUuid", "stepUuid"]),
    ("Terraform", &["terraform_run_id"]),
];

/// What the claims of a Kubernetes service account begin with, in tokens of both makes.
const KUBERNETES: &str = "kubernetes.io";

/// Refuses a job's token where people log in, in whatever way it came.
///
/// # Errors
/// `token_of_a_job`
pub(super) fn none_here(payload: &Map<String, Value>) -> Result<(), Problem> {
    let marked = MARKS.iter().find(|(_, marks)| marks.iter().all(|mark| payload.contains_key(*mark)));
    let platform = match marked {
        Some((platform, _)) => platform,
        None if payload.keys().any(|claim| claim.starts_with(KUBERNETES)) => "Kubernetes",
        None => return Ok(()),
    };
    Err(Problem::new(
        Code::TokenOfAJob,
        format!(
            "The ID token is one that {platform} gave to a job, and only people log in here with tokens of this issuer: log \
             in with `jit-ssh login`; jobs need an entry of their own with kind = \"workload\" at the CA."
        ),
    ))
}
