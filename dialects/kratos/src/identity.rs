//! Identities as the wire has them: made of the engine's accounts, the identity schema, and the little that this surface keeps besides.

use std::collections::BTreeMap;

use engine::{Account, Address, Engine, Identity, IdentityId, IdentityState, Timestamp, VerifiableAddress};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::config::Config;
use crate::error::Status;
use crate::schema::{Schema, Trait};
use crate::{NAME, Shared};

/// Keep the public ids of identities and of both kinds of addresses apart.
const IDENTITY: &str = "kratos.identity";
const VERIFIABLE: &str = "kratos.verifiable_address";
const RECOVERY: &str = "kratos.recovery_address";

/// The public id of an identity.
pub(crate) fn public_id(engine: &Engine, id: IdentityId) -> Uuid {
    engine.public_id(IDENTITY, id.get())
}

/// The identity that `text` names, if it is one of our ids at all.
pub(crate) fn read_public_id(engine: &Engine, text: &str) -> Option<IdentityId> {
    engine.read_public_id(IDENTITY, Uuid::try_parse(text).ok()?).map(IdentityId::new)
}

/// What is kept about an identity under this surface's name: what neither the engine nor the traits hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// Which schema its traits follow; the default one where an operator has not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schema_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata_public: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata_admin: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organization_id: Option<Uuid>,
    /// When it was last said here whether it may sign in; not since it was made, where this is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_changed_at: Option<Timestamp>,
}

impl Kept {
    /// What is kept about `identity`. Another surface may have made it: then that is nothing.
    pub(crate) fn of(identity: &Identity) -> Self {
        let mut all = object(&identity.metadata);
        all.remove(NAME).and_then(|own| serde_json::from_value(own).ok()).unwrap_or_default()
    }

    /// The same among what other surfaces keep in `metadata`.
    pub(crate) fn written_into(&self, metadata: &str) -> Result<String, Status> {
        let mut all = object(metadata);
        all.insert(NAME.to_owned(), serde_json::to_value(self).map_err(|_| Status::internal())?);
        serde_json::to_string(&all).map_err(|_| Status::internal())
    }

    /// The schema that the traits follow; the default one where theirs is not configured any more.
    pub(crate) fn schema<'a>(&self, config: &'a Config) -> &'a Schema {
        let named = self.schema_id.as_deref().and_then(|id| config.schema(id));
        named.unwrap_or(&config.default_schema)
    }
}

/// A JSON object, or an empty one.
pub(crate) fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// What an address of an identity is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Its owner signs in with it.
    pub(crate) is_identifier: bool,
    /// It is verified.
    pub(crate) is_verifiable: bool,
    /// An account is recovered with it.
    pub(crate) is_recovery: bool,
}

/// A trait that must hold an address, and holds something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoAddress {
    /// The trait's name, as in `email`.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) value: String,
}

/// The addresses in `traits`, each once, and what they are for; or the first trait that should hold one and does not.
pub(crate) fn addresses(schema: &Schema, traits: &Map<String, Value>) -> Result<Vec<(Address, Roles)>, NoAddress> {
    let mut found: Vec<(Address, Roles)> = Vec::new();
    for known in schema.traits.iter() {
        let roles = roles_of(known);
        let Some(value) = leaf(traits, &known.path).filter(|_| roles != Roles::default()) else { continue };
        let text = value.as_str().unwrap_or_default();
        let address =
            Address::email(text).map_err(|_| NoAddress { name: known.path.join("."), value: text.to_owned() })?;
        match found.iter_mut().find(|(other, _)| *other == address) {
            Some((_, other)) => {
                other.is_identifier |= roles.is_identifier;
                other.is_verifiable |= roles.is_verifiable;
                other.is_recovery |= roles.is_recovery;
            }
            None => found.push((address, roles)),
        }
    }
    Ok(found)
}

const fn roles_of(known: &Trait) -> Roles {
    Roles { is_identifier: known.signs_in, is_verifiable: known.verified_by_mail, is_recovery: known.recovers_by_mail }
}

/// What lies at `path` of `traits`; nothing for an empty text.
pub(crate) fn leaf<'a>(traits: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = rest.iter().try_fold(traits.get(first)?, |value, name| value.get(name))?;
    (!value.is_null() && value.as_str() != Some("")).then_some(value)
}

/// What `address` of an identity with `traits` is for.
///
/// One that no trait holds was brought by another surface, or by an operator. It is for everything: whoever has it may sign in there.
pub(crate) fn roles(schema: &Schema, traits: &Map<String, Value>, address: &Address) -> Roles {
    let known = addresses(schema, traits).unwrap_or_default();
    let everything = Roles { is_identifier: true, is_verifiable: true, is_recovery: true };
    known.into_iter().find(|(own, _)| own == address).map_or(everything, |(_, roles)| roles)
}

/// Who is told of an identity, and so how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Whoever it is, and whoever may ask about his session.
    Itself,
    /// The same in a list of sessions: without addresses.
    InList,
    /// An operator.
    Operator {
        /// Whether `metadata_admin` is said where there is none.
        says_no_metadata: bool,
        /// Whether it is said which addresses codes go to.
        with_configuration: bool,
    },
}

/// An identity.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct IdentityBody {
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    credentials: BTreeMap<&'static str, Credential>,
    schema_id: String,
    schema_url: String,
    state: &'static str,
    state_changed_at: String,
    traits: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verifiable_addresses: Vec<VerifiableAddressBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recovery_addresses: Vec<RecoveryAddressBody>,
    metadata_public: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_admin: Option<Value>,
    created_at: String,
    updated_at: String,
    organization_id: Option<Uuid>,
}

/// How an identity may sign in.
#[derive(Debug, Clone, Serialize)]
struct Credential {
    #[serde(rename = "type")]
    kind: &'static str,
    identifiers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<CodeConfiguration>,
    version: u8,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Clone, Serialize)]
struct CodeConfiguration {
    addresses: Vec<Channelled>,
}

#[derive(Debug, Clone, Serialize)]
struct Channelled {
    channel: &'static str,
    address: String,
}

#[derive(Debug, Clone, Serialize)]
struct VerifiableAddressBody {
    id: Uuid,
    value: String,
    verified: bool,
    via: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at: Option<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Clone, Serialize)]
struct RecoveryAddressBody {
    id: Uuid,
    value: String,
    via: &'static str,
    created_at: String,
    updated_at: String,
}

impl IdentityBody {
    /// `account`, as `audience` is told of it.
    pub(crate) fn new(shared: &Shared, account: &Account, audience: Audience) -> Self {
        let identity = &account.identity;
        let kept = Kept::of(identity);
        let schema = kept.schema(&shared.config);
        let traits = object(&identity.traits);
        let created_at = identity.created_at.rfc3339();
        let updated_at = identity.updated_at.rfc3339();
        let state_changed_at = kept.state_changed_at.unwrap_or(identity.created_at).rfc3339();
        let mut body = Self {
            id: public_id(&shared.engine, identity.id),
            external_id: kept.external_id,
            credentials: BTreeMap::new(),
            schema_id: schema.id.clone(),
            schema_url: String::new(),
            state: state_name(identity.state),
            state_changed_at,
            traits,
            verifiable_addresses: Vec::new(),
            recovery_addresses: Vec::new(),
            metadata_public: kept.metadata_public,
            metadata_admin: None,
            created_at,
            updated_at,
            organization_id: kept.organization_id,
        };
        match audience {
            Audience::InList => {}
            Audience::Itself => body.add_addresses(shared, schema, account),
            Audience::Operator { says_no_metadata, with_configuration } => {
                body.add_addresses(shared, schema, account);
                body.add_credentials(schema, account, with_configuration);
                body.metadata_admin = kept.metadata_admin.or(says_no_metadata.then_some(Value::Null));
            }
        }
        body
    }

    /// Its public id, as text.
    pub(crate) fn id(&self) -> String {
        self.id.to_string()
    }

    fn add_addresses(&mut self, shared: &Shared, schema: &Schema, account: &Account) {
        self.schema_url = shared.config.url(&format!("/schemas/{}", schema.public_id()));
        for own in &account.addresses {
            let roles = roles(schema, &self.traits, &own.address);
            if roles.is_verifiable {
                self.verifiable_addresses.push(verifiable(&shared.engine, own));
            }
            if roles.is_recovery {
                self.recovery_addresses.push(recovery(&shared.engine, own));
            }
        }
    }

    fn add_credentials(&mut self, schema: &Schema, account: &Account, with_configuration: bool) {
        let identifiers = account.addresses.iter().map(|own| &own.address);
        let identifiers = identifiers.filter(|address| roles(schema, &self.traits, address).is_identifier);
        let identifiers: Vec<_> = identifiers.collect();
        if identifiers.is_empty() {
            return;
        }
        let channelled =
            |address: &&Address| Channelled { channel: via(address), address: address.as_str().to_owned() };
        let config = CodeConfiguration { addresses: identifiers.iter().map(channelled).collect() };
        let code = Credential {
            kind: "code",
            identifiers: identifiers.iter().map(|address| address.as_str().to_owned()).collect(),
            config: with_configuration.then_some(config),
            version: 1,
            created_at: self.created_at.clone(),
            updated_at: self.updated_at.clone(),
        };
        self.credentials.insert("code", code);
    }
}

/// Whether an identity may sign in, in one word.
pub(crate) const fn state_name(state: IdentityState) -> &'static str {
    match state {
        IdentityState::Active => "active",
        IdentityState::Inactive => "inactive",
    }
}

/// How messages reach an address.
const fn via(address: &Address) -> &'static str {
    match address.channel() {
        engine::Channel::Email => "email",
        engine::Channel::Sms => "sms",
    }
}

fn verifiable(engine: &Engine, own: &VerifiableAddress) -> VerifiableAddressBody {
    // While it is verified again, too, it is "sent": what counts is `verified`.
    let status = match (own.verified_at, own.asked_at) {
        (_, Some(_)) => "sent",
        (Some(_), None) => "completed",
        (None, None) => "pending",
    };
    let changed_at = own.verified_at.max(own.asked_at).map_or(own.created_at, |at| at.max(own.created_at));
    VerifiableAddressBody {
        id: engine.public_id(VERIFIABLE, own.id.get()),
        value: own.address.as_str().to_owned(),
        verified: own.verified_at.is_some(),
        via: via(&own.address),
        status,
        verified_at: own.verified_at.map(Timestamp::rfc3339),
        created_at: own.created_at.rfc3339(),
        updated_at: changed_at.rfc3339(),
    }
}

fn recovery(engine: &Engine, own: &VerifiableAddress) -> RecoveryAddressBody {
    RecoveryAddressBody {
        id: engine.public_id(RECOVERY, own.id.get()),
        value: own.address.as_str().to_owned(),
        via: via(&own.address),
        created_at: own.created_at.rfc3339(),
        updated_at: own.created_at.rfc3339(),
    }
}
