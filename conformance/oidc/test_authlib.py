"""PyPI's authlib as a relying party: its requests session, its ID token validation.

The person is a browser that runs no scripts: it keeps cookies, follows redirects and fills in forms.
"""

import os
import re
import secrets
import unittest
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

# The issuer of `countersign dev` is plain http, on this machine.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

ISSUER = os.environ["COUNTERSIGN_ORIGIN"]
CALLBACK = "http://127.0.0.1:7357/callback"
GOODBYE = "http://127.0.0.1:7357/goodbye"
PUBLIC = {"client_id": "countersign-dev", "token_endpoint_auth_method": "none"}
CONFIDENTIAL = {"client_id": "countersign-dev-confidential", "client_secret": "countersign-dev-secret"}
METADATA = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=10).json()


def mailed_code(address):
    return requests.get(f"{ISSUER}/dev/messages", params={"to": address}, timeout=10).json()[0]["code"]


class Person:
    def __init__(self):
        self.address = f"ada.{secrets.token_hex(6)}@example.com"
        self.browser = requests.Session()

    def go_to(self, url):
        """Signs in if a page asks; the URL that the application is called at."""
        left, page = self.follow(self.browser.get(url, allow_redirects=False, timeout=10))
        if page and 'name="email"' in page:
            left, page = self.send(page, "/sign-in", email=self.address)
            left, page = self.send(page, "/sign-in/code", code=mailed_code(self.address))
        assert left, page
        return left

    def send(self, page, path, **typed):
        form = dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)">', page)) | typed
        return self.follow(self.browser.post(ISSUER + path, data=form, allow_redirects=False, timeout=10))

    def follow(self, response):
        while response.status_code == 303:
            target = urljoin(response.url, response.headers["location"])
            if not target.startswith(ISSUER + "/"):
                return target, None
            response = self.browser.get(target, allow_redirects=False, timeout=10)
        return None, response.text


class Flow:
    """One authorization of one client."""

    def __init__(self, registration, person=None, scope="openid email profile offline_access"):
        self.person = person or Person()
        self.verifier = generate_token(48)
        self.nonce = generate_token(20)
        self.session = OAuth2Session(
            **registration, scope=scope, redirect_uri=CALLBACK, code_challenge_method="S256"
        )
        url, self.state = self.session.create_authorization_url(
            METADATA["authorization_endpoint"], code_verifier=self.verifier, nonce=self.nonce
        )
        self.came = self.person.go_to(url)

    def fetch(self, session=None, **changed):
        more = {"authorization_response": self.came, "code_verifier": self.verifier, "state": self.state} | changed
        return (session or self.session).fetch_token(METADATA["token_endpoint"], **more)


def claims_of(token, client_id, nonce=None):
    """The claims of the ID token, checked as authlib checks them: issuer, audience, azp, nonce, at_hash, times."""
    keys = KeySet.import_key_set(requests.get(METADATA["jwks_uri"], timeout=10).json())
    decoded = jwt.decode(token["id_token"], keys, algorithms=METADATA["id_token_signing_alg_values_supported"])
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        options={"iss": {"values": [METADATA["issuer"]]}, "aud": {"values": [client_id]}},
        params={"nonce": nonce, "client_id": client_id, "access_token": token["access_token"]},
    )
    claims.validate(leeway=5)
    return claims


class Case(unittest.TestCase):
    def refused(self, error, call, *arguments, **options):
        with self.assertRaises(OAuthError) as caught:
            call(*arguments, **options)
        self.assertEqual(caught.exception.error, error)
        self.assertTrue(caught.exception.description)

    def test_the_whole_way_for_each_kind_of_client(self):
        for registration in (PUBLIC, CONFIDENTIAL, CONFIDENTIAL | {"token_endpoint_auth_method": "client_secret_post"}):
            with self.subTest(registration["client_id"]):
                flow = Flow(registration)
                self.assertEqual(parse_qs(urlsplit(flow.came).query)["iss"], [METADATA["issuer"]])
                token = flow.fetch()
                claims = claims_of(token, registration["client_id"], flow.nonce)
                info = flow.session.get(METADATA["userinfo_endpoint"]).json()
                self.assertEqual(info["sub"], claims["sub"])
                self.assertEqual((info["email"], info["email_verified"]), (flow.person.address, True))

                fresh = flow.session.refresh_token(METADATA["token_endpoint"], token["refresh_token"])
                self.assertNotEqual(fresh["refresh_token"], token["refresh_token"])
                self.assertEqual(claims_of(fresh, registration["client_id"])["sub"], claims["sub"])
                self.assertEqual(flow.session.get(METADATA["userinfo_endpoint"]).json(), info)

                goodbye = requests.Request(
                    "GET",
                    METADATA["end_session_endpoint"],
                    params={"id_token_hint": fresh["id_token"], "post_logout_redirect_uri": GOODBYE, "state": "x"},
                )
                self.assertEqual(flow.person.go_to(goodbye.prepare().url), f"{GOODBYE}?state=x")
                self.assertEqual(flow.session.get(METADATA["userinfo_endpoint"]).status_code, 401)

    def test_a_replayed_code_is_refused_and_takes_back_what_it_brought(self):
        flow = Flow(CONFIDENTIAL)
        token = flow.fetch()
        self.refused("invalid_grant", flow.fetch)
        self.refused("invalid_grant", flow.session.refresh_token, METADATA["token_endpoint"], token["refresh_token"])

    def test_a_wrong_verifier_burns_the_code(self):
        flow = Flow(PUBLIC)
        self.refused("invalid_grant", flow.fetch, code_verifier=generate_token(48))
        self.refused("invalid_grant", flow.fetch)

    def test_another_redirect_uri_is_refused(self):
        flow = Flow(PUBLIC)
        self.refused("invalid_grant", flow.fetch, redirect_uri="http://127.0.0.1:7357/other")

    def test_another_client_gets_nothing(self):
        flow, stranger = Flow(PUBLIC), OAuth2Session(**CONFIDENTIAL, redirect_uri=CALLBACK)
        self.refused("invalid_grant", flow.fetch, session=stranger)
        flow = Flow(PUBLIC)
        token = flow.fetch()
        self.refused("invalid_grant", stranger.refresh_token, METADATA["token_endpoint"], token["refresh_token"])

    def test_a_wrong_secret_is_refused(self):
        stranger = OAuth2Session(**(CONFIDENTIAL | {"client_secret": "wrong"}), redirect_uri=CALLBACK)
        flow = Flow(CONFIDENTIAL)
        self.refused("invalid_client", flow.fetch, session=stranger)

    def test_a_token_that_was_given_back_is_worth_nothing(self):
        flow = Flow(CONFIDENTIAL)
        token = flow.fetch()
        answer = flow.session.revoke_token(METADATA["revocation_endpoint"], token["refresh_token"])
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(flow.session.get(METADATA["userinfo_endpoint"]).status_code, 401)


if __name__ == "__main__":
    unittest.main(verbosity=2)
