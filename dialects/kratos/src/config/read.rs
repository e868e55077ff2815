//! From the file to the [`Config`]: each key that is read is read here.

use std::path::Path;
use std::time::Duration;

use engine::MOST_ATTEMPTS;
use serde_json::Value;
use web::cookie::{SameSite, Scope};

use super::document::Document;
use super::{BaseUrl, CodeConfig, Config, FlowConfig, Profile, RegistrationStyle, SessionConfig, csrf_cookie, known};
use crate::cors::Cors;
use crate::schema::Schema;

/// An hour: the life of flows and codes unless the file says otherwise.
const HOUR: Duration = Duration::from_hours(1);

/// A day: the life of a session unless the file says otherwise.
const DAY: Duration = Duration::from_hours(24);

/// Where the original's own example pages are while one develops.
const EXAMPLE_PAGES: &str = "http://127.0.0.1:4455";

/// Reads `text`.
pub(super) fn config(text: &str, folder: &Path, origin: &str) -> Result<Config, String> {
    let mut document = Document::parse(text)?;
    let has_file = !text.trim().is_empty();
    let document = &mut document;
    let mut warnings = Vec::new();
    let base_url = document.text("serve.public.base_url")?.unwrap_or_else(|| origin.to_owned());
    let public = BaseUrl::parse(&base_url).map_err(|problem| format!("serve.public.base_url: {problem}"))?;
    let admin = document.text("serve.admin.base_url")?;
    let admin = admin.map(|url| BaseUrl::parse(&url)).transpose();
    let cookies = cookie_scope(document, "cookies", None, &public)?;
    let (schemas, default_schema) = schemas(document, folder)?;
    let hooks = registration_hooks(document, &mut warnings)?;
    let has_hook = |hooks: &[String], name: &str| hooks.iter().any(|hook| hook == name);
    let mut config = Config {
        profile: profile(document, &mut warnings)?,
        cors: cors(document)?,
        csrf_cookie: csrf_cookie(&base_url),
        admin: admin.map_err(|problem| format!("serve.admin.base_url: {problem}"))?,
        default_return_url: document
            .text("selfservice.default_browser_return_url")?
            .unwrap_or_else(|| format!("{EXAMPLE_PAGES}/")),
        allowed_return_urls: document.texts("selfservice.allowed_return_urls")?,
        error_ui_url: page(document, "error", has_file)?,
        verification: flow(document, "verification", !has_file, has_file)?,
        login: flow(document, "login", true, has_file)?,
        registration: flow(document, "registration", true, has_file)?,
        registration_style: registration_style(document)?,
        registration_signs_in: has_hook(&hooks, "session"),
        registration_shows_verification: has_hook(&hooks, "show_verification_ui"),
        logout_return_url: document.text("selfservice.flows.logout.after.default_browser_return_url")?,
        code: code(document, !has_file, &mut warnings)?,
        session: session(document, &cookies, &public)?,
        cookies,
        schemas,
        default_schema,
        sender: sender(document)?,
        warnings: Vec::new(),
        public,
    };
    if !has_file {
        config.allowed_return_urls.push(EXAMPLE_PAGES.to_owned());
    }
    agree(document);
    warnings.extend(document.left().iter().map(|path| known::warning(path)));
    Ok(Config { warnings, ..config })
}

/// `version`.
fn profile(document: &mut Document, warnings: &mut Vec<String>) -> Result<Profile, String> {
    Ok(match document.text("version")?.as_deref() {
        None => Profile::Newest,
        Some("v26.2.0") => Profile::V26_2,
        Some(version) => {
            warnings.push(format!("version {version} is not one that is told apart here: the newest is spoken"));
            Profile::Newest
        }
    })
}

/// `serve.public.cors`.
fn cors(document: &mut Document) -> Result<Option<Cors>, String> {
    let mut list = |name: &str, preset: &[&str]| {
        let listed = document.texts(&format!("serve.public.cors.{name}"))?;
        Ok::<_, String>(if listed.is_empty() { preset.iter().map(|text| (*text).to_owned()).collect() } else { listed })
    };
    let headers = ["Authorization", "Content-Type", "Max-Age", "X-Session-Token", "X-XSRF-TOKEN", "X-CSRF-TOKEN"];
    let cors = Cors {
        origins: list("allowed_origins", &["*"])?,
        methods: list("allowed_methods", &["POST", "GET", "PUT", "PATCH", "DELETE"])?,
        headers: list("allowed_headers", &headers)?,
        exposed: list("exposed_headers", &["Content-Type"])?,
        credentials: document.truth("serve.public.cors.allow_credentials")?.unwrap_or(true),
        max_age: document.number("serve.public.cors.max_age")?.filter(|seconds| *seconds > 0),
    };
    Ok(document.truth("serve.public.cors.enabled")?.unwrap_or(false).then_some(cors))
}

/// The page of a flow. A file that offers a flow to browsers must say where its page is.
fn page(document: &mut Document, name: &str, has_file: bool) -> Result<String, String> {
    let key = format!("selfservice.flows.{name}.ui_url");
    match document.text(&key)? {
        Some(url) => Ok(url),
        None if has_file => Err(format!("{key} is missing: there is no page to fall back to")),
        None => Ok(format!("{EXAMPLE_PAGES}/{name}")),
    }
}

/// `selfservice.flows.<name>`.
fn flow(document: &mut Document, name: &str, enabled: bool, has_file: bool) -> Result<FlowConfig, String> {
    let key = |last: &str| format!("selfservice.flows.{name}.{last}");
    let enabled = document.truth(&key("enabled"))?.unwrap_or(enabled);
    let ui_url =
        if enabled { page(document, name, has_file)? } else { document.text(&key("ui_url"))?.unwrap_or_default() };
    Ok(FlowConfig {
        enabled,
        ui_url,
        lifespan: document.duration(&key("lifespan"))?.unwrap_or(HOUR),
        after_return_url: document.text(&key("after.default_browser_return_url"))?,
        notifies_unknown: document.truth(&key("notify_unknown_recipients"))?.unwrap_or(false),
    })
}

/// `selfservice.flows.registration.style`.
fn registration_style(document: &mut Document) -> Result<RegistrationStyle, String> {
    let key = "selfservice.flows.registration.style";
    match document.text(key)?.as_deref() {
        None | Some("profile_first") => Ok(RegistrationStyle::ProfileFirst),
        Some("unified") => Ok(RegistrationStyle::Unified),
        Some(_) => Err(format!("{key} must be profile_first or unified")),
    }
}

/// The hooks that run after a registration.
const REGISTRATION_HOOKS: [&str; 2] = ["session", "show_verification_ui"];

/// The names of the hooks after a registration by code, of those there are here; of the others the operator is told.
fn registration_hooks(document: &mut Document, warnings: &mut Vec<String>) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for key in ["selfservice.flows.registration.after.code.hooks", "selfservice.flows.registration.after.hooks"] {
        let Some(listed) = document.take(key) else { continue };
        let listed = listed.as_array().ok_or_else(|| format!("{key} must be a list"))?;
        for entry in listed {
            let name = entry.get("hook").and_then(Value::as_str);
            let name = name.ok_or_else(|| format!("{key}: every entry must have a hook, which is text"))?;
            if REGISTRATION_HOOKS.contains(&name) {
                names.push(name.to_owned());
            } else {
                warnings.push(format!("{key}: the hook {name} is not supported and does not run"));
            }
        }
    }
    Ok(names)
}

/// `selfservice.methods.code`.
fn code(document: &mut Document, passwordless: bool, warnings: &mut Vec<String>) -> Result<CodeConfig, String> {
    let key = "selfservice.methods.code.config.max_submissions";
    let asked = document.number(key)?.unwrap_or(MOST_ATTEMPTS.into());
    if asked == 0 {
        return Err(format!("{key} must be at least 1"));
    }
    if asked > MOST_ATTEMPTS.into() {
        warnings.push(format!("{key} is {asked}, and no flow here takes more than {MOST_ATTEMPTS} codes"));
    }
    Ok(CodeConfig {
        enabled: document.truth("selfservice.methods.code.enabled")?.unwrap_or(true),
        passwordless_enabled: document.truth("selfservice.methods.code.passwordless_enabled")?.unwrap_or(passwordless),
        lifespan: document.duration("selfservice.methods.code.config.lifespan")?,
        max_submissions: u8::try_from(asked).unwrap_or(MOST_ATTEMPTS).min(MOST_ATTEMPTS),
    })
}

/// `session`.
fn session(document: &mut Document, cookies: &Scope, public: &BaseUrl) -> Result<SessionConfig, String> {
    Ok(SessionConfig {
        lifespan: document.duration("session.lifespan")?.unwrap_or(DAY),
        cookie_name: document.text("session.cookie.name")?.unwrap_or_else(|| "ory_kratos_session".to_owned()),
        is_persistent: document.truth("session.cookie.persistent")?.unwrap_or(true),
        scope: cookie_scope(document, "session.cookie", Some(cookies), public)?,
    })
}

/// Where a cookie goes: what stands under `section`, else what `inherited` says.
fn cookie_scope(
    document: &mut Document,
    section: &str,
    inherited: Option<&Scope>,
    public: &BaseUrl,
) -> Result<Scope, String> {
    let key = |last: &str| format!("{section}.{last}");
    let same_site = match document.text(&key("same_site"))?.as_deref() {
        None => inherited.map_or(SameSite::Lax, |scope| scope.same_site),
        Some("Strict") => SameSite::Strict,
        Some("Lax") => SameSite::Lax,
        Some("None") => SameSite::None,
        Some(_) => return Err(format!("{section}.same_site must be Strict, Lax or None")),
    };
    let scope = Scope {
        path: document
            .text(&key("path"))?
            .or(inherited.map(|scope| scope.path.clone()))
            .unwrap_or_else(|| "/".to_owned()),
        domain: document.text(&key("domain"))?.or(inherited.and_then(|scope| scope.domain.clone())),
        secure: match document.truth(&key("secure"))? {
            Some(secure) => secure,
            None => inherited.map_or(public.origin.starts_with("https://"), |scope| scope.secure),
        },
        same_site,
    };
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    if is_plain(&scope.path) && scope.domain.as_deref().is_none_or(is_plain) {
        return Ok(scope);
    }
    Err(format!("{section}: path and domain must be what a cookie may hold"))
}

/// `identity.schemas`, and which of them is the default.
fn schemas(document: &mut Document, folder: &Path) -> Result<(Vec<Schema>, Schema), String> {
    let default = document.text("identity.default_schema_id")?;
    let listed = document.take("identity.schemas").unwrap_or_else(|| serde_json::json!([]));
    let listed = listed.as_array().ok_or("identity.schemas must be a list")?;
    let mut schemas = Vec::new();
    for (index, entry) in listed.iter().enumerate() {
        let place = format!("identity.schemas[{index}]");
        let text =
            |name: &str| entry.get(name).and_then(|value| value.as_str()).ok_or(format!("{place}.{name} is missing"));
        let schema =
            Schema::load(text("id")?, text("url")?, folder).map_err(|problem| format!("{place}: {problem}"))?;
        if schemas.iter().any(|other: &Schema| other.id == schema.id) {
            return Err(format!("{place}: there are two schemas {:?}", schema.id));
        }
        schemas.push(schema);
    }
    if schemas.is_empty() {
        schemas.push(Schema::preset()?);
    }
    let default = match default {
        Some(id) => schemas
            .iter()
            .find(|schema| schema.id == id)
            .ok_or(format!("identity.default_schema_id: there is no schema {id:?}"))?,
        None => schemas.iter().find(|schema| schema.id == "default").or(schemas.first()).ok_or("there is no schema")?,
    };
    let default = default.clone();
    Ok((schemas, default))
}

/// Who mails are from.
fn sender(document: &mut Document) -> Result<Option<String>, String> {
    let name = document.text("courier.smtp.from_name")?;
    let address = document.text("courier.smtp.from_address")?;
    Ok(match (address, name) {
        (Some(address), Some(name)) => Some(format!("{name} <{address}>")),
        (Some(address), None) => Some(address),
        (None, _) => None,
    })
}

/// What is off here, whatever the file says.
const OFF: [&str; 10] = [
    "selfservice.methods.password.enabled",
    "selfservice.methods.link.enabled",
    "selfservice.methods.oidc.enabled",
    "selfservice.methods.totp.enabled",
    "selfservice.methods.lookup_secret.enabled",
    "selfservice.methods.webauthn.enabled",
    "selfservice.methods.passkey.enabled",
    "selfservice.methods.profile.enabled",
    "selfservice.methods.code.mfa_enabled",
    "selfservice.flows.recovery.enabled",
];

/// Takes what says no more than what is so here anyway.
fn agree(document: &mut Document) {
    for path in OFF {
        document.agree(path, &Value::Bool(false));
    }
    document.agree("selfservice.flows.verification.use", &"code".into());
    document.agree("courier.delivery_strategy", &"smtp".into());
}
