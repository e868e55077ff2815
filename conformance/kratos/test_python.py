"""PyPI's ory-kratos-client: verification, registration, login, sessions and identities, with strict models.

Every answer must parse into the client's own types, those of refusals that are flows included. Only the base URL is changed.
"""

import datetime
import json
import os
import unittest
import urllib.parse
import urllib.request

import ory_kratos_client as ory
from ory_kratos_client.exceptions import ApiException

PUBLIC = os.environ["COUNTERSIGN_ORIGIN"]
ADMIN = os.environ["COUNTERSIGN_ADMIN"]


def new_address(name="ada"):
    return f"{name}.{os.urandom(6).hex()}@example.com"


def mails_to(address):
    query = urllib.parse.urlencode({"to": address})
    with urllib.request.urlopen(f"{PUBLIC}/dev/messages?{query}", timeout=10) as answer:
        return json.load(answer)


def mailed_code(address):
    return mails_to(address)[0]["code"]


def wrong(code, step=1):
    return f"{(int(code) + step) % 1_000_000:06d}"


def messages(flow):
    return [message.id for message in flow.ui.messages or []]


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        public = ory.ApiClient(ory.Configuration(host=PUBLIC))
        admin = ory.ApiClient(ory.Configuration(host=ADMIN))
        cls.frontend = ory.FrontendApi(public)
        cls.identities = ory.IdentityApi(admin)
        cls.metadata = [ory.MetadataApi(public), ory.MetadataApi(admin)]

    def refused(self, status, call, *arguments, model=None, **options):
        """The call must be refused with that status; gives the body, as a model where one is named."""
        with self.assertRaises(ApiException) as caught:
            call(*arguments, **options)
        self.assertEqual(caught.exception.status, status, caught.exception.body)
        if model is None:
            return json.loads(caught.exception.body)["error"]
        return model.from_json(caught.exception.body)

    def person(self, email, **more):
        body = ory.CreateIdentityBody(schema_id="person", traits={"email": email}, **more)
        return self.identities.create_identity(body)

    def login_body(self, **fields):
        return ory.UpdateLoginFlowBody(ory.UpdateLoginFlowWithCodeMethod(method="code", csrf_token="", **fields))

    def sign_in(self, email):
        flow = self.frontend.create_native_login_flow()
        body = self.login_body(identifier=email)
        sent = self.refused(400, self.frontend.update_login_flow, flow.id, body, model=ory.LoginFlow)
        self.assertEqual((sent.state, messages(sent)), ("sent_email", [1010014]))
        body = self.login_body(identifier=email, code=mailed_code(email))
        return self.frontend.update_login_flow(flow.id, body)


class Verification(Case):
    def verify(self, flow, **fields):
        method = ory.UpdateVerificationFlowWithCodeMethod(method="code", **fields)
        return self.frontend.update_verification_flow(flow, ory.UpdateVerificationFlowBody(method))

    def test_every_state_of_a_flow_parses(self):
        email = new_address()
        person = self.person(email)
        self.assertEqual(person.verifiable_addresses[0].status, "pending")
        flow = self.frontend.create_native_verification_flow()
        self.assertIsInstance(flow.expires_at, datetime.datetime)
        self.assertEqual(flow.state, "choose_method")
        sent = self.verify(flow.id, email=email)
        self.assertEqual((sent.state, messages(sent)), ("sent_email", [1080003]))
        self.assertEqual(self.identities.get_identity(person.id).verifiable_addresses[0].status, "sent")
        code = mailed_code(email)
        self.assertEqual(messages(self.verify(flow.id, code=wrong(code))), [4070006])
        passed = self.verify(flow.id, code=code)
        self.assertEqual((passed.state, messages(passed)), ("passed_challenge", [1080002]))
        self.assertEqual(self.frontend.get_verification_flow(flow.id).state, "passed_challenge")
        proved = self.identities.get_identity(person.id).verifiable_addresses[0]
        self.assertEqual((proved.verified, proved.status), (True, "completed"))
        over = self.refused(410, self.verify, flow.id, code=code)
        self.assertEqual(over["id"], "self_service_flow_replaced")

    def test_a_flow_of_a_browser_parses(self):
        flow = self.frontend.create_browser_verification_flow()
        self.assertEqual(flow.type, "browser")
        refusal = self.refused(403, self.verify, flow.id, email=new_address())
        self.assertEqual(refusal["id"], "security_csrf_violation")

    def test_a_bad_address_is_a_flow_with_a_message(self):
        flow = self.frontend.create_native_verification_flow()
        method = ory.UpdateVerificationFlowWithCodeMethod(method="code", email="nonsense")
        body = ory.UpdateVerificationFlowBody(method)
        call = self.frontend.update_verification_flow
        refusal = self.refused(400, call, flow.id, body, model=ory.VerificationFlow)
        said = [message.id for node in refusal.ui.nodes for message in node.messages]
        self.assertEqual(said, [4000040])

    def test_an_unknown_flow_is_not_found(self):
        for flow in ("6d1f0c4e-8a5d-4b6e-9f0a-2b1c3d4e5f60", "nonsense"):
            self.assertEqual(self.refused(404, self.frontend.get_verification_flow, flow)["code"], 404)


class RegistrationAndLogin(Case):
    def register(self, flow, **fields):
        method = ory.UpdateRegistrationFlowWithCodeMethod(method="code", **fields)
        return self.frontend.update_registration_flow(flow, ory.UpdateRegistrationFlowBody(method))

    def test_registers_signs_in_and_out(self):
        email = new_address()
        traits = {"email": email, "name": "Ada"}
        flow = self.frontend.create_native_registration_flow()
        sent = self.refused(400, self.register, flow.id, traits=traits, model=ory.RegistrationFlow)
        self.assertEqual((sent.state, messages(sent)), ("sent_email", [1040005]))
        code = mailed_code(email)
        missed = self.refused(400, self.register, flow.id, traits=traits, code=wrong(code), model=ory.RegistrationFlow)
        self.assertEqual(messages(missed), [4040003])
        done = self.register(flow.id, traits=traits, code=code)
        self.assertEqual(done.identity.traits, traits)
        self.assertTrue(done.identity.verifiable_addresses[0].verified)

        signed_in = self.sign_in(email)
        self.assertRegex(signed_in.session_token, "^ory_st_[0-9A-Za-z]{32}$")
        whoami = self.frontend.to_session(x_session_token=signed_in.session_token)
        self.assertEqual(whoami, signed_in.session)
        self.assertEqual(whoami.identity.id, done.identity.id)
        self.assertEqual([device.location for device in whoami.devices], [""])
        body = ory.PerformNativeLogoutBody(session_token=signed_in.session_token)
        self.frontend.perform_native_logout(body)
        self.refused(401, self.frontend.to_session, x_session_token=signed_in.session_token)

    def test_every_form_of_the_first_step_parses(self):
        flow = self.frontend.create_native_registration_flow()
        traits = {"email": new_address()}

        def submit(**fields):
            method = ory.UpdateRegistrationFlowWithProfileMethod(method="profile", traits=traits, **fields)
            body = ory.UpdateRegistrationFlowBody(method)
            call = self.frontend.update_registration_flow
            return self.refused(400, call, flow.id, body, model=ory.RegistrationFlow)

        self.assertEqual(messages(submit()), [1040009])
        self.assertEqual(messages(submit(screen="previous")), [])
        read = self.frontend.get_registration_flow(flow.id)
        values = {node.attributes.actual_instance.name: node.attributes.actual_instance.value for node in read.ui.nodes}
        self.assertEqual(values["traits.email"], traits["email"])

    def test_a_second_session_is_seen_and_ended_by_the_first(self):
        email = new_address()
        self.person(email)
        first, second = self.sign_in(email), self.sign_in(email)
        token = first.session_token
        others = self.frontend.list_my_sessions(x_session_token=token)
        self.assertEqual([session.id for session in others], [second.session.id])
        self.frontend.disable_my_session(second.session.id, x_session_token=token)
        self.refused(401, self.frontend.to_session, x_session_token=second.session_token)
        self.sign_in(email)
        self.assertEqual(self.frontend.disable_my_other_sessions(x_session_token=token).count, 1)

    def test_a_wrong_login_code_is_a_flow_with_a_message(self):
        email = new_address()
        self.person(email)
        flow = self.frontend.create_native_login_flow()
        call = self.frontend.update_login_flow
        self.refused(400, call, flow.id, self.login_body(identifier=email), model=ory.LoginFlow)
        body = self.login_body(identifier=email, code=wrong(mailed_code(email)))
        self.assertEqual(messages(self.refused(400, call, flow.id, body, model=ory.LoginFlow)), [4010008])
        self.assertEqual(self.frontend.get_login_flow(flow.id).state, "sent_email")


class Administration(Case):
    def test_creates_finds_changes_and_deletes(self):
        email = new_address()
        proved = ory.VerifiableIdentityAddress(value=email, via="email", verified=True, status="completed")
        person = self.person(email, verifiable_addresses=[proved], metadata_admin={"note": "vip"}, external_id=email)
        self.assertTrue(person.verifiable_addresses[0].verified)
        self.assertEqual(self.refused(409, self.person, email)["code"], 409)
        found = self.identities.list_identities(credentials_identifier=email)
        self.assertEqual([identity.id for identity in found], [person.id])
        read = self.identities.get_identity(person.id, include_credential=["code"])
        self.assertEqual(read.credentials["code"].identifiers, [email])

        patch = [ory.JsonPatch(op="replace", path="/traits/name", value="Ada")]
        self.refused(400, self.identities.patch_identity, person.id, patch)
        patch = [ory.JsonPatch(op="add", path="/traits/name", value="Ada")]
        self.assertEqual(self.identities.patch_identity(person.id, patch).traits["name"], "Ada")
        body = ory.UpdateIdentityBody(schema_id="person", state="inactive", traits={"email": email})
        self.assertEqual(self.identities.update_identity(person.id, body).state, "inactive")
        self.identities.delete_identity(person.id)
        self.refused(404, self.identities.get_identity, person.id)

    def test_pages_through_everybody(self):
        mine = {self.person(new_address("page")).id for _ in range(3)}
        seen, token = set(), None
        while True:
            answer = self.identities.list_identities_with_http_info(page_size=2, page_token=token)
            seen.update(identity.id for identity in answer.data)
            line = next(value for name, value in answer.headers.items() if name.lower() == "link")
            links = [link for link in line.split(",") if 'rel="next"' in link]
            if not links:
                break
            query = urllib.parse.urlsplit(links[0].split(">")[0].lstrip("<")).query
            token = urllib.parse.parse_qs(query)["page_token"][0]
        self.assertLessEqual(mine, seen)

    def test_is_alive_and_ready_on_both_listeners(self):
        for metadata in self.metadata:
            self.assertEqual(metadata.is_alive().status, "ok")
            self.assertEqual(metadata.is_ready().status, "ok")

    def test_schemas_parse(self):
        schemas = self.identities.list_identity_schemas()
        self.assertIn("person", [schema.id for schema in schemas])


if __name__ == "__main__":
    unittest.main(verbosity=2)
