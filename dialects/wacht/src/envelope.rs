//! What every answer is wrapped in, and the session that it shows: one that documentation, kit and the original's server can each read.

use engine::{Caller, DeviceView, Flow, FlowId, FlowState, Purpose, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::ErrorItem;
use crate::user::{Names, User};
use crate::wire::{Decimal, Time};

/// How many completed attempts of a kind are shown.
const COMPLETED_SHOWN: usize = 3;

/// Every answer but the bare key set.
#[derive(Serialize)]
pub(crate) struct Envelope<'a, D: ?Sized, S: ?Sized> {
    /// The HTTP status again: some callers look only here.
    pub(crate) status: u16,
    pub(crate) message: &'a str,
    pub(crate) data: Option<&'a D>,
    pub(crate) session: Option<&'a S>,
    pub(crate) errors: &'a [ErrorItem<'a>],
}

/// What a flow of ours remembers: what its attempt is called, and whom it is about until something is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) attempt: i64,
    pub(crate) email: String,
}

/// What a session of ours remembers: from where it was opened.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Origin {
    pub(crate) address: String,
    pub(crate) user_agent: String,
}

/// One attempt to sign in or up.
pub(crate) struct Attempt<'a> {
    pub(crate) flow: &'a Flow,
    pub(crate) note: Note,
}

impl<'a> Attempt<'a> {
    /// Those of a device to do `purpose`.
    pub(crate) fn of(view: &'a DeviceView, purpose: Purpose) -> impl Iterator<Item = Self> {
        let flows = view.flows.iter().filter(move |flow| flow.purpose == purpose);
        flows.filter_map(|flow| Some(Self { flow, note: serde_json::from_str(flow.memo.as_deref()?).ok()? }))
    }

    /// Those that are shown: not those that are over, and of those that are done only the last; the one just acted on is the last of
    /// all, because the kit looks there.
    fn shown(view: &'a DeviceView, purpose: Purpose, now: Timestamp, touched: Option<FlowId>) -> Vec<Self> {
        let mut attempts: Vec<_> = Self::of(view, purpose).filter(|attempt| now < attempt.flow.expires_at).collect();
        attempts.sort_by_key(|attempt| (Some(attempt.flow.id) == touched, attempt.updated_at(), attempt.flow.id));
        let completed = attempts.iter().filter(|attempt| attempt.is_completed()).count();
        let mut dropped = completed.saturating_sub(COMPLETED_SHOWN);
        attempts.retain(|attempt| {
            let is_dropped = attempt.is_completed() && dropped > 0;
            dropped -= usize::from(is_dropped);
            !is_dropped
        });
        attempts
    }

    pub(crate) fn is_completed(&self) -> bool {
        self.flow.state == FlowState::Passed
    }

    fn updated_at(&self) -> Timestamp {
        self.flow.challenge.as_ref().map_or(self.flow.issued_at, |challenge| challenge.sent_at.max(self.flow.issued_at))
    }

    /// The step it is at, and the steps that are left.
    fn steps(&self, step: &'static str) -> (&'static str, Vec<&'static str>) {
        if self.is_completed() { ("", Vec::new()) } else { (step, vec![step]) }
    }
}

/// A session, before and after somebody signs in.
#[derive(Serialize)]
pub(crate) struct Session<'a> {
    id: Decimal,
    created_at: Time,
    updated_at: Time,
    active_signin_id: Option<Decimal>,
    active_signin: Option<Signin<'a>>,
    signins: Vec<Signin<'a>>,
    signin_attempts: Vec<SigninAttempt>,
    signup_attempts: Vec<SignupAttempt>,
}

impl<'a> Session<'a> {
    /// The session that a device is. `touched` is the flow that was just acted on.
    pub(crate) fn new(view: &'a DeviceView, now: Timestamp, touched: Option<FlowId>) -> Self {
        let device = &view.device;
        let active = active(view).map(|caller| Signin::new(view, caller));
        let attempts = |purpose| Attempt::shown(view, purpose, now, touched).into_iter();
        Self {
            id: Decimal(device.id.get()),
            created_at: Time(device.id.made_at()),
            updated_at: Time(device.updated_at),
            active_signin_id: active.as_ref().map(|signin| signin.id),
            active_signin: active,
            signins: view.callers.iter().map(|caller| Signin::new(view, caller)).collect(),
            signin_attempts: attempts(Purpose::SignIn).map(|attempt| SigninAttempt::new(view, attempt)).collect(),
            signup_attempts: attempts(Purpose::SignUp).map(|attempt| SignupAttempt::new(view, attempt)).collect(),
        }
    }
}

/// Who is signed in at a device and active.
pub(crate) fn active(view: &DeviceView) -> Option<&Caller> {
    view.callers.iter().find(|caller| Some(caller.session.id) == view.device.active)
}

/// Somebody who is signed in.
#[derive(Clone, Serialize)]
struct Signin<'a> {
    id: Decimal,
    session_id: Decimal,
    user_id: Decimal,
    created_at: Time,
    updated_at: Time,
    expires_at: Time,
    last_active_at: Time,
    ip_address: String,
    browser: String,
    device: &'static str,
    city: &'static str,
    region: &'static str,
    region_code: &'static str,
    country: &'static str,
    country_code: &'static str,
    active_organization_membership_id: Option<Decimal>,
    active_workspace_membership_id: Option<Decimal>,
    user: User<'a>,
}

impl<'a> Signin<'a> {
    fn new(view: &DeviceView, caller: &'a Caller) -> Self {
        let session = &caller.session;
        let origin = session.memo.as_deref().and_then(|memo| serde_json::from_str(memo).ok());
        let Origin { address, user_agent } = origin.unwrap_or_default();
        Self {
            id: Decimal(session.id.get()),
            session_id: Decimal(view.device.id.get()),
            user_id: Decimal(session.identity.get()),
            created_at: Time(session.issued_at),
            updated_at: Time(session.issued_at),
            expires_at: Time(session.expires_at),
            last_active_at: Time(session.issued_at),
            ip_address: address,
            browser: user_agent,
            device: "",
            city: "",
            region: "",
            region_code: "",
            country: "",
            country_code: "",
            active_organization_membership_id: None,
            active_workspace_membership_id: None,
            user: User::new(&caller.account),
        }
    }
}

/// An attempt to sign in. Until its code was right it says nothing that depends on whether anybody has the address.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the published object has these")]
struct SigninAttempt {
    id: Decimal,
    session_id: Decimal,
    method: &'static str,
    email: String,
    current_step: &'static str,
    remaining_steps: Vec<&'static str>,
    completed: bool,
    errored: bool,
    errors: [&'static str; 0],
    expires_at: Time,
    first_method_authenticated: bool,
    second_method_authenticated: bool,
    second_method_authentication_required: bool,
    available_2fa_methods: [&'static str; 0],
    requires_completion: bool,
    missing_fields: [&'static str; 0],
    required_fields: [&'static str; 0],
    sso_provider: &'static str,
    user_id: Option<Decimal>,
    identifier_id: Option<Decimal>,
    created_at: Time,
    updated_at: Time,
}

impl SigninAttempt {
    fn new(view: &DeviceView, attempt: Attempt<'_>) -> Self {
        let is_completed = attempt.is_completed();
        let (current_step, remaining_steps) = attempt.steps("verify_email_otp");
        let user = attempt.flow.identity.filter(|_| is_completed);
        let identifier = user.and_then(|user| {
            let caller = view.callers.iter().find(|caller| caller.session.identity == user)?;
            caller.account.addresses.iter().find(|own| own.address.as_str() == attempt.note.email)
        });
        Self {
            id: Decimal(attempt.note.attempt),
            session_id: Decimal(view.device.id.get()),
            method: "email_otp",
            current_step,
            remaining_steps,
            completed: is_completed,
            errored: false,
            errors: [],
            expires_at: Time(attempt.flow.expires_at),
            first_method_authenticated: is_completed,
            second_method_authenticated: false,
            second_method_authentication_required: false,
            available_2fa_methods: [],
            requires_completion: false,
            missing_fields: [],
            required_fields: [],
            sso_provider: "",
            user_id: user.map(|user| Decimal(user.get())),
            identifier_id: identifier.map(|own| Decimal(own.id.get())),
            created_at: Time(attempt.flow.issued_at),
            updated_at: Time(attempt.updated_at()),
            email: attempt.note.email,
        }
    }
}

/// An attempt to sign up. The user comes to be when its code was right.
#[derive(Serialize)]
struct SignupAttempt {
    id: Decimal,
    session_id: Decimal,
    first_name: String,
    last_name: String,
    email: String,
    username: &'static str,
    phone_number: &'static str,
    phone_country_code: &'static str,
    required_fields: [&'static str; 1],
    missing_fields: [&'static str; 0],
    current_step: &'static str,
    remaining_steps: Vec<&'static str>,
    completed: bool,
    is_oauth_signup: bool,
    expires_at: Time,
    created_at: Time,
    updated_at: Time,
}

impl SignupAttempt {
    fn new(view: &DeviceView, attempt: Attempt<'_>) -> Self {
        let (current_step, remaining_steps) = attempt.steps("verify_email");
        let Names { given_name, family_name } = attempt.flow.attributes.as_deref().map(Names::read).unwrap_or_default();
        Self {
            id: Decimal(attempt.note.attempt),
            session_id: Decimal(view.device.id.get()),
            first_name: given_name,
            last_name: family_name,
            username: "",
            phone_number: "",
            phone_country_code: "",
            required_fields: ["email_address"],
            missing_fields: [],
            current_step,
            remaining_steps,
            completed: attempt.is_completed(),
            is_oauth_signup: false,
            expires_at: Time(attempt.flow.expires_at),
            created_at: Time(attempt.flow.issued_at),
            updated_at: Time(attempt.updated_at()),
            email: attempt.note.email,
        }
    }
}
