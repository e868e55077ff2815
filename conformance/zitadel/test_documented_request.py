"""The request that ZITADEL's own page on "Verify My Email" prints, sent by curl, with a token from the flow that it names.

Word for word but for the host, the token and the code. Its answer has every member of the page's example, of that member's
type. The token comes from the authorization code flow with the page's own URLs and its scope, `openid`.
"""

import base64
import concurrent.futures
import hashlib
import json
import os
import re
import secrets
import subprocess
import unittest

from person import Person

ORIGIN = os.environ["COUNTERSIGN_ORIGIN"]
CLIENT = "countersign-dev"
REDIRECT_URI = "http://127.0.0.1:9/callback"
GUESSES = 5
MOMENT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6}|\.\d{9})?Z$")


def shell(command):
    """Runs `command`, a curl, as a shell would; answers with status and body."""
    done = subprocess.run(
        ["bash", "-c", command + ' -s -w "\\n%{http_code}"'], check=True, capture_output=True, text=True
    )
    body, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(body)


def call(token, method, path, body=None):
    """Any of the API's methods, by curl."""
    data = "" if body is None else f" --data-raw '{json.dumps(body)}'"
    return shell(f"curl -X {method} '{ORIGIN}/auth/v1{path}' -H 'Authorization: Bearer {token}'{data}")


def verify(token, code):
    """The printed request."""
    return shell(
        f"""curl -L -X POST '{ORIGIN}/auth/v1/users/me/email/_verify' \\
-H 'Content-Type: application/json' \\
-H 'Accept: application/json' \\
-H 'Authorization: Bearer {token}' \\
--data-raw '{{
"code": "{code}"
}}'"""
    )


def new_address(name):
    return f"{name}.{os.urandom(6).hex()}@example.com"


def signed_in(name="ada"):
    """Somebody new, and a token of his."""
    person = Person(ORIGIN, new_address(name))
    return person, token_of(person)


def token_of(person):
    """Signs somebody in, in the way that the page names."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    answer = person.authorize(
        {
            "client_id": CLIENT,
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "scope": "openid",
            "state": "some-state",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
    )
    assert answer.get("state") == "some-state", answer
    status, tokens = shell(
        f"curl -X POST '{ORIGIN}/oauth/v2/token' -d grant_type=authorization_code -d client_id={CLIENT}"
        f" -d code_verifier={verifier} --data-urlencode 'code={answer['code']}'"
        f" --data-urlencode 'redirect_uri={REDIRECT_URI}'"
    )
    assert status == 200 and tokens["token_type"].lower() == "bearer", tokens
    return tokens["access_token"]


class DocumentedRequest(unittest.TestCase):
    def refused(self, answer, status, code, id):
        self.assertEqual(answer[0], status, answer)
        self.assertEqual(answer[1]["code"], code)
        [detail] = answer[1]["details"]
        self.assertEqual(detail["@type"], "type.googleapis.com/zitadel.v1.ErrorDetail")
        self.assertEqual((detail["id"], answer[1]["message"]), (id, f"{detail['message']} ({id})"))

    def assert_details(self, details):
        """As in the page's example."""
        self.assertEqual(set(details), {"sequence", "creationDate", "changeDate", "resourceOwner"})
        self.assertRegex(details["sequence"], r"^[1-9][0-9]*$")
        self.assertRegex(details["creationDate"], MOMENT)
        self.assertRegex(details["changeDate"], MOMENT)
        self.assertTrue(details["resourceOwner"])

    def is_set(self, token, address):
        """Gives the token's user `address`; the code that was mailed there."""
        status, answer = call(token, "PUT", "/users/me/email", {"email": address})
        self.assertEqual(status, 200, answer)
        self.assert_details(answer["details"])
        code = Person(ORIGIN, address).mailed_code()
        self.assertRegex(code, r"^[A-Z0-9]{6}$")
        return code

    def shown(self, token):
        status, answer = call(token, "GET", "/users/me/email")
        self.assertEqual(status, 200, answer)
        return answer["email"]

    def test_verifies(self):
        person, token = signed_in()
        self.assertEqual(self.shown(token), {"email": person.address, "isEmailVerified": True})
        self.refused(verify(token, "H83J3"), 404, 5, "COMMAND-3n8ud")
        fresh = new_address("new")
        code = self.is_set(token, fresh)
        self.assertEqual(self.shown(token), {"email": fresh})

        # As printed: that code is somebody else's.
        self.refused(verify(token, "H83J3"), 400, 3, "COMMAND-Gdsgs")
        status, answer = verify(token, code)
        self.assertEqual(status, 200, answer)
        self.assertEqual(set(answer), {"details"})
        self.assert_details(answer["details"])
        self.assertEqual(self.shown(token), {"email": fresh, "isEmailVerified": True})
        self.refused(verify(token, code), 404, 5, "COMMAND-3n8ud")

        status, answer = call(token, "GET", "/users/me")
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["user"]["human"]["email"], {"email": fresh, "isEmailVerified": True})
        self.assertEqual(answer["user"]["loginNames"], [fresh])

    def test_signs_in_with_the_new_address_and_not_with_the_old(self):
        person, token = signed_in()
        user = call(token, "GET", "/users/me")[1]["user"]["id"]
        old, fresh = person.address, new_address("new")
        self.assertEqual(verify(token, self.is_set(token, fresh))[0], 200)

        def user_of(address):
            return call(token_of(Person(ORIGIN, address)), "GET", "/users/me")[1]["user"]["id"]

        self.assertEqual(user_of(fresh), user)
        self.assertNotEqual(user_of(old), user)

    def test_a_new_code_replaces_the_old_one(self):
        _, token = signed_in()
        fresh = new_address("new")
        old = self.is_set(token, fresh)
        status, answer = call(token, "POST", "/users/me/email/_resend_verification", {})
        self.assertEqual(status, 200, answer)
        self.assert_details(answer["details"])
        new = Person(ORIGIN, fresh).mailed_code()
        self.assertNotEqual(new, old)
        self.refused(verify(token, old), 400, 3, "COMMAND-Gdsgs")
        self.assertEqual(verify(token, new)[0], 200)
        answer = call(token, "POST", "/users/me/email/_resend_verification")
        self.refused(answer, 400, 9, "COMMAND-3M9ds")

    def test_five_wrong_codes_end_it(self):
        _, token = signed_in()
        code = self.is_set(token, new_address("new"))
        wrong = "".join("1" if symbol == "0" else "0" for symbol in code)
        for _ in range(GUESSES):
            self.refused(verify(token, wrong), 400, 3, "COMMAND-Gdsgs")
        self.refused(verify(token, code), 404, 5, "COMMAND-3n8ud")

    def test_only_the_tokens_own_user_verifies(self):
        _, token = signed_in()
        _, stranger = signed_in("eve")
        code = self.is_set(token, new_address("new"))
        self.refused(verify(stranger, code), 404, 5, "COMMAND-3n8ud")
        self.refused(verify(token[:-4] + "AAAA", code), 401, 16, "AUTH-7fs1e")
        self.refused(verify("<TOKEN>", code), 401, 16, "AUTH-7fs1e")
        self.assertEqual(verify(token, code)[0], 200)

    def test_of_32_right_codes_at_once_one_passes(self):
        _, token = signed_in()
        code = self.is_set(token, new_address("new"))
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda _: verify(token, code), range(32)))
        self.assertEqual(sorted(status for status, _ in answers), [200] + 31 * [404])


if __name__ == "__main__":
    unittest.main(verbosity=2)
