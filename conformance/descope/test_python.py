"""PyPI's descope: every call of email codes, sessions and users that a backend makes, synchronously.

Only the base URL is changed.
"""

import concurrent.futures
import json
import os
import time
import unittest

import httpx
from descope import AuthException, DeliveryMethod, DescopeClient
from jwt import InvalidSignatureError

BASE_URL = os.environ["COUNTERSIGN_ORIGIN"]
PROJECT = os.environ["COUNTERSIGN_PROJECT"]
EMAIL = DeliveryMethod.EMAIL
GUESSES = 5


def new_address(name="ada"):
    return f"{name}.{os.urandom(6).hex()}@example.com"


def mails_to(address):
    answer = httpx.get(f"{BASE_URL}/dev/messages", params={"to": address})
    answer.raise_for_status()
    return answer.json()


def mailed_code(address):
    return mails_to(address)[0]["code"]


def wrong(code, step=1):
    return f"{(int(code) + step) % 1_000_000:06d}"


def forged(jwt):
    head, signature = jwt.rsplit(".", 1)
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.descope = DescopeClient(project_id=PROJECT, base_url=BASE_URL)

    def refused(self, status, error_code, call, *arguments, **options):
        """The call must raise that refusal, whole: the client hands on the body as text."""
        with self.assertRaises(AuthException) as caught:
            call(*arguments, **options)
        self.assertEqual(caught.exception.status_code, status, caught.exception)
        body = json.loads(caught.exception.error_message)
        self.assertEqual(body["errorCode"], error_code)
        self.assertTrue(body["errorDescription"])
        self.assertIsInstance(body["errorMessage"], str)
        return body

    def assert_masked(self, masked, address):
        self.assertIn("*", masked)
        self.assertEqual(masked[0], address[0])
        self.assertTrue(masked.endswith("@example.com"), masked)

    def verify(self, address):
        return self.descope.otp.verify_code(EMAIL, address, mailed_code(address))

    def sign_up(self, address=None, user=None):
        address = address or new_address()
        self.assert_masked(self.descope.otp.sign_up(EMAIL, address, user), address)
        return self.verify(address)

    def sign_in(self, address):
        self.assert_masked(self.descope.otp.sign_in(EMAIL, address), address)
        return self.verify(address)


def refresh_token(response):
    return response["refreshSessionToken"]["jwt"]


def session_token(response):
    return response["sessionToken"]["jwt"]


class SignUpAndSignIn(Case):
    def test_a_new_user_signs_up(self):
        address = new_address()
        response = self.sign_up(address, {"name": "Ada Lovelace"})
        self.assertIs(response["firstSeen"], True)
        self.assertEqual(response["user"]["email"], address)
        self.assertEqual(response["user"]["name"], "Ada Lovelace")
        self.assertIs(response["user"]["verifiedEmail"], True)
        self.assertEqual(response["userId"], response["user"]["userId"])
        self.assertEqual(response["projectId"], PROJECT)
        self.assertEqual(response["sessionToken"]["drn"], "DS")
        self.assertEqual(response["refreshSessionToken"]["drn"], "DSR")

    def test_an_existing_user_signs_in(self):
        address = new_address()
        first, second = self.sign_up(address), self.sign_in(address)
        self.assertIs(second["firstSeen"], False)
        self.assertEqual(second["userId"], first["userId"])

    def test_sign_up_of_an_existing_user_is_E062107(self):
        address = new_address()
        self.sign_up(address)
        self.refused(400, "E062107", self.descope.otp.sign_up, EMAIL, address)

    def test_sign_in_of_an_unknown_user_is_E062108(self):
        address = new_address()
        self.refused(400, "E062108", self.descope.otp.sign_in, EMAIL, address)
        self.assertEqual(mails_to(address), [])

    def test_sign_up_or_in_does_the_one_then_the_other(self):
        address = new_address()
        responses = []
        for _ in range(2):
            self.assert_masked(self.descope.otp.sign_up_or_in(EMAIL, address), address)
            responses.append(self.verify(address))
        self.assertEqual([response["firstSeen"] for response in responses], [True, False])
        self.assertEqual(responses[0]["userId"], responses[1]["userId"])


class Codes(Case):
    def test_a_wrong_code_is_401_E061102_then_the_right_one_passes_once(self):
        address = new_address()
        self.descope.otp.sign_up(EMAIL, address)
        code = mailed_code(address)
        self.refused(401, "E061102", self.descope.otp.verify_code, EMAIL, address, wrong(code))
        self.descope.otp.verify_code(EMAIL, address, code)
        self.refused(401, "E061102", self.descope.otp.verify_code, EMAIL, address, code)

    def test_after_too_many_wrong_codes_the_right_one_is_E061103(self):
        address = new_address()
        self.sign_up(address)
        self.descope.otp.sign_in(EMAIL, address)
        code = mailed_code(address)
        for guess in range(1, GUESSES + 1):
            with self.assertRaises(AuthException):
                self.descope.otp.verify_code(EMAIL, address, wrong(code, guess))
        self.refused(401, "E061103", self.descope.otp.verify_code, EMAIL, address, code)

    def test_an_empty_code_is_E011003_and_names_the_field(self):
        body = self.refused(400, "E011003", self.descope.otp.verify_code, EMAIL, new_address(), "")
        self.assertIn("code", body["errorMessage"])


class Sessions(Case):
    def test_validate_session_takes_the_session_and_no_forgery(self):
        response = self.sign_up()
        token = session_token(response)
        validated = self.descope.validate_session(token)
        self.assertEqual(validated["userId"], response["userId"])
        self.assertEqual(validated["amr"], ["email"])
        self.assertEqual(validated["iss"], PROJECT)
        self.assertNotIn("aud", validated)
        self.assertLessEqual(validated["iat"], time.time())
        with self.assertRaises(InvalidSignatureError):
            self.descope.validate_session(forged(token))

    def test_refresh_session_gives_a_new_session(self):
        response = self.sign_up()
        refreshed = self.descope.refresh_session(refresh_token(response))
        self.assertEqual(refreshed["userId"], response["userId"])
        self.descope.validate_session(session_token(refreshed))
        again = self.descope.refresh_session(refresh_token(refreshed))
        self.assertEqual(again["userId"], response["userId"])

    def test_four_refreshes_at_once_keep_the_session(self):
        token = refresh_token(self.sign_up())
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            refreshed = list(pool.map(lambda _: self.descope.refresh_session(token), range(4)))
        for response in refreshed:
            self.descope.refresh_session(refresh_token(response))

    def test_validate_and_refresh_session_keeps_a_good_session_and_renews_a_bad_one(self):
        response = self.sign_up()
        session, refresh = session_token(response), refresh_token(response)
        kept = self.descope.validate_and_refresh_session(session, refresh)
        self.assertEqual(session_token(kept), session)
        # It refreshes on its own exceptions only; a forgery is one of PyJWT's, which it hands on.
        with self.assertRaises(InvalidSignatureError):
            self.descope.validate_and_refresh_session(forged(session), refresh)
        renewed = self.descope.validate_and_refresh_session("no token", refresh)
        self.assertEqual(renewed["userId"], response["userId"])
        self.descope.validate_session(session_token(renewed))

    def test_me_is_the_user(self):
        response = self.sign_up()
        self.assertEqual(self.descope.me(refresh_token(response)), response["user"])

    def test_after_logout_the_session_is_not_refreshed_and_another_one_is(self):
        address = new_address()
        here, there = self.sign_up(address), self.sign_in(address)
        self.descope.logout(refresh_token(here))
        body = self.refused(401, "E064001", self.descope.refresh_session, refresh_token(here))
        self.assertIn("Expired due to logout", body["errorMessage"] + body["errorDescription"])
        self.refused(401, "E064001", self.descope.me, refresh_token(here))
        self.descope.refresh_session(refresh_token(there))

    def test_logout_all_ends_every_session_of_the_user(self):
        address = new_address()
        here, there, bystander = self.sign_up(address), self.sign_in(address), self.sign_up()
        self.descope.logout_all(refresh_token(here))
        for response in (here, there):
            self.refused(401, "E064001", self.descope.refresh_session, refresh_token(response))
        self.descope.refresh_session(refresh_token(bystander))

    def test_another_project_is_not_served(self):
        elsewhere = DescopeClient(project_id="P2countersignelsewhere000000", base_url=BASE_URL)
        self.refused(401, "E011008", elsewhere.otp.sign_up_or_in, EMAIL, new_address())


class NewAddress(Case):
    def test_is_taken_when_its_code_comes_back_and_not_before(self):
        old, fresh = new_address("old"), new_address("new")
        response = self.sign_up(old)
        token = refresh_token(response)
        self.assert_masked(self.descope.otp.update_user_email(old, fresh, token), fresh)
        self.assertEqual(self.descope.me(token)["email"], old)
        code = mailed_code(fresh)
        self.refused(401, "E061102", self.descope.otp.verify_code, EMAIL, old, wrong(code))

        updated = self.descope.otp.verify_code(EMAIL, old, code)
        self.assertEqual(updated["userId"], response["userId"])
        self.assertEqual(updated["user"]["email"], fresh)
        self.assertEqual(updated["user"]["loginIds"], [fresh])
        self.assertEqual(self.descope.me(refresh_token(updated))["email"], fresh)
        self.refused(400, "E062108", self.descope.otp.sign_in, EMAIL, old)
        self.assertEqual(self.sign_in(fresh)["userId"], response["userId"])

    def test_needs_the_user_signed_in(self):
        ada, bob = new_address("ada"), new_address("bob")
        token = refresh_token(self.sign_up(ada))
        self.sign_up(bob)
        target = new_address("new")
        for login_id, given in ((ada, forged(token)), (bob, token)):
            with self.assertRaises(AuthException) as caught:
                self.descope.otp.update_user_email(login_id, target, given)
            self.assertEqual(caught.exception.status_code, 401)
        self.assertEqual(mails_to(target), [])


class BaseUrl(Case):
    def test_may_end_in_a_slash(self):
        descope = DescopeClient(project_id=PROJECT, base_url=f"{BASE_URL}/")
        address = new_address()
        descope.otp.sign_up_or_in(EMAIL, address)
        response = descope.otp.verify_code(EMAIL, address, mailed_code(address))
        self.assertEqual(response["user"]["email"], address)


class ManagementKey(Case):
    def test_does_not_hold_the_client_up(self):
        # With one, it asks for its licence when it is made and waits for the answer; one that fails is logged.
        started = time.monotonic()
        with self.assertNoLogs("descope"):
            descope = DescopeClient(project_id=PROJECT, base_url=BASE_URL, management_key="K2countersignmanagement00000")
        self.assertLess(time.monotonic() - started, 2)
        address = new_address()
        self.assert_masked(descope.otp.sign_up_or_in(EMAIL, address), address)


if __name__ == "__main__":
    unittest.main()
