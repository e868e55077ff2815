//! What of the original's configuration has no effect here, and why.

/// Keys that something else of this server takes the place of; a key stands for all below it.
const ELSEWHERE: [(&str, &str); 12] = [
    ("dsn", "the server keeps its own database"),
    ("secrets", "keys are the server's own"),
    ("log", "the server's own configuration says how it logs"),
    ("serve.public.host", "the server's own configuration says where it listens"),
    ("serve.public.port", "the server's own configuration says where it listens"),
    ("serve.admin.host", "the server's own configuration says where it listens"),
    ("serve.admin.port", "the server's own configuration says where it listens"),
    ("courier.smtp", "the server's own configuration says by which relay mail is sent, and from whom"),
    ("courier.worker", "mail is sent as soon as it is owed"),
    ("courier.message_retries", "mail is tried again until its code is worthless"),
    ("hashers", "nothing here has a password"),
    ("ciphers", "keys are the server's own"),
];

/// What the operator is told about the key at `path`, which nothing has read.
pub(super) fn warning(path: &str) -> String {
    let is_below = |key: &str| path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    match ELSEWHERE.iter().find(|(key, _)| is_below(key)) {
        Some((_, why)) => format!("{path} has no meaning here: {why}"),
        None => format!("{path} is not supported and has no effect"),
    }
}
