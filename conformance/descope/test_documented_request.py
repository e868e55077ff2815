"""The request that Descope's own page on "Verify OTP Code (Email)" prints, sent by curl, after a mail that really arrived.

Word for word but for the host, the project id, the login id and the code. It completes each of the four flows that the page
names, and its answer has every member of the page's example, of that member's type. The server is one of its own, because
this one sends its mails to a real SMTP server.
"""

import asyncio
import json
import os
import queue
import re
import subprocess
import tempfile
import threading
import time
import unittest
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP

BINARY = os.environ["COUNTERSIGN_BINARY"]
PROJECT = os.environ["COUNTERSIGN_PROJECT"]
GUESSES = 5

# A type is what the member must be; a list, that each element must have that shape; a tuple, that one of these fits. What
# an identity provider answered is null for a one-time code: there was none.
IDP_RESPONSE = {
    "samlResponse": str,
    "samlGeneratedUser": str,
    "samlGeneratedRoles": str,
    "oidcResponse": str,
    "oidcGeneratedUser": str,
    "oidcGeneratedRoles": str,
}
USER = {
    "loginIds": [str],
    "userId": str,
    "name": str,
    "email": str,
    "phone": str,
    "verifiedEmail": bool,
    "verifiedPhone": bool,
    "roleNames": [str],
    "userTenants": [{"tenantId": str, "roleNames": [str], "tenantName": str}],
    "status": str,
    "externalIds": [str],
    "picture": str,
    "test": bool,
    "customAttributes": dict,
    "createdTime": int,
    "TOTP": bool,
    "SAML": bool,
    "OAuth": dict,
    "webauthn": bool,
    "password": bool,
    "ssoAppIds": [str],
    "givenName": str,
    "middleName": str,
    "familyName": str,
    "editable": bool,
}
ANSWER = {
    "sessionJwt": str,
    "refreshJwt": str,
    "cookieDomain": str,
    "cookiePath": str,
    "cookieMaxAge": int,
    "cookieExpiration": int,
    "user": USER,
    "firstSeen": bool,
    "idpResponse": (IDP_RESPONSE, None),
}


def misfits(value, shape, at="answer"):
    """Where `value` has not the shape, in words."""
    if isinstance(shape, tuple):
        return [] if any(not misfits(value, one, at) for one in shape) else [f"{at} is {value!r}"]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{at} is {value!r}"]
        missing = [f"{at}.{name} is missing" for name in shape if name not in value]
        return missing + [
            misfit for name in shape if name in value for misfit in misfits(value[name], shape[name], f"{at}.{name}")
        ]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{at} is {value!r}"]
        return [misfit for index, one in enumerate(value) for misfit in misfits(one, shape[0], f"{at}[{index}]")]
    if shape is None:
        return [] if value is None else [f"{at} is {value!r}"]
    # `type`, not `isinstance`: to Python, true is an int.
    return [] if type(value) is shape else [f"{at} is {value!r}"]


class Mailbox:
    """An SMTP server that keeps what it is sent, on a thread of its own."""

    def __init__(self):
        self.arrived = queue.Queue()
        self.loop = asyncio.new_event_loop()
        self.port = None
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result(10)

    async def listen(self):
        server = await self.loop.create_server(lambda: SMTP(self, loop=self.loop), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def handle_DATA(self, _server, _session, envelope):
        self.arrived.put((envelope.rcpt_tos, envelope.original_content))
        return "250 taken"

    def text_to(self, address):
        """What the next mail says, which must be to `address`."""
        recipients, content = self.arrived.get(timeout=10)
        assert recipients == [address], f"a mail to {recipients}, not to {address}"
        mail = message_from_bytes(content, policy=policy.default)
        return mail.get_body(("plain",)).get_content()

    def code_to(self, address):
        """The code in the next mail, which must be to `address`."""
        return re.search(r"^([0-9]{6})\s*$", self.text_to(address), re.MULTILINE).group(1)


class Server:
    """`countersign dev` with a relay."""

    def __init__(self, relay_port, folder):
        self.process = subprocess.Popen(
            [BINARY, "dev", "--listen", "127.0.0.1:0", "--data", folder, "--smtp", f"smtp://127.0.0.1:{relay_port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        first_line = self.process.stdout.readline()
        self.origin = re.search(r"https?://\S+$", first_line.strip()).group(0).rstrip("/")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def curl(request):
    """Runs `request` as a shell would; answers with status and body."""
    command = request + ' -s -w "\\n%{http_code}"'
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True)
    body, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(body)


class DocumentedRequest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.mailbox = Mailbox()
        cls.server = Server(cls.mailbox.port, cls.folder.name)
        cls.addClassCleanup(cls.server.close)
        cls.numbers = iter(range(1000))

    def new_address(self):
        return f"ada.{next(self.numbers)}@example.com"

    def send(self, flow, body, refresh_jwt=None):
        bearer = PROJECT if refresh_jwt is None else f"{PROJECT}:{refresh_jwt}"
        status, answer = curl(
            f"""curl -X POST "{self.server.origin}/v1/auth/otp/{flow}" \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer {bearer}" \\
  -d '{json.dumps(body)}'"""
        )
        self.assertEqual(status, 200, answer)
        self.assertIn("maskedEmail", answer)

    def verify(self, login_id, code):
        return curl(
            f"""curl -X POST "{self.server.origin}/v1/auth/otp/verify/email" \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer {PROJECT}" \\
  -d '{{
  "loginId": "{login_id}",
  "code": "{code}"
}}'"""
        )

    def passes(self, login_id, code):
        status, answer = self.verify(login_id, code)
        self.assertEqual(status, 200, answer)
        self.assertEqual(misfits(answer, ANSWER), [])
        self.assertEqual(answer["sessionJwt"].count("."), 2)
        self.assertEqual(answer["refreshJwt"].count("."), 2)
        self.assertGreater(answer["cookieExpiration"], time.time())
        return answer

    def fails(self, error_code, login_id, code):
        status, answer = self.verify(login_id, code)
        self.assertEqual((status, answer["errorCode"]), (401, error_code), answer)
        self.assertEqual(misfits(answer, {"errorCode": str, "errorDescription": str, "errorMessage": str}), [])

    def signed_up(self):
        address = self.new_address()
        self.send("signup/email", {"loginId": address})
        return address, self.passes(address, self.mailbox.code_to(address))

    # Each asks for a code in its way and answers with: who asked, where the mail went, who they are afterwards.

    def sign_up(self):
        address = self.new_address()
        self.send("signup/email", {"loginId": address, "user": {"email": address}})
        return address, address, {"firstSeen": True}

    def sign_in(self):
        address, answer = self.signed_up()
        self.send("signin/email", {"loginId": address})
        return address, address, {"firstSeen": False, "userId": answer["user"]["userId"]}

    def sign_up_or_in(self):
        address = self.new_address()
        self.send("signup-in/email", {"loginId": address})
        return address, address, {"firstSeen": True}

    def update_email(self):
        old, answer = self.signed_up()
        fresh = self.new_address()
        self.send("update/email", {"loginId": old, "email": fresh}, answer["refreshJwt"])
        return old, fresh, {"firstSeen": False, "userId": answer["user"]["userId"]}

    def completes(self, flow):
        login_id, address, expected = flow()
        code = self.mailbox.code_to(address)
        wrong = f"{(int(code) + 1) % 1_000_000:06d}"
        self.fails("E061102", login_id, wrong)
        answer = self.passes(login_id, code)
        self.assertEqual(answer["user"]["email"], address)
        self.assertIs(answer["user"]["verifiedEmail"], True)
        self.assertEqual(answer["user"]["loginIds"], [address])
        self.assertEqual({"userId": answer["user"]["userId"], **expected}["userId"], answer["user"]["userId"])
        self.assertIs(answer["firstSeen"], expected["firstSeen"])
        if address != login_id:
            # The address that was replaced is told.
            self.assertIn("took the place of this address", self.mailbox.text_to(login_id))
        self.fails("E061102", login_id, code)

        login_id, address, _ = flow()
        code = self.mailbox.code_to(address)
        for guess in range(1, GUESSES + 1):
            status, answer = self.verify(login_id, f"{(int(code) + guess) % 1_000_000:06d}")
            self.assertEqual(status, 401, answer)
        self.fails("E061103", login_id, code)

    def test_completes_sign_up(self):
        self.completes(self.sign_up)

    def test_completes_sign_in(self):
        self.completes(self.sign_in)

    def test_completes_sign_up_or_in(self):
        self.completes(self.sign_up_or_in)

    def test_completes_update_email(self):
        self.completes(self.update_email)

    def test_refuses_whom_nobody_knows(self):
        self.fails("E061102", "nobody@example.com", "123456")


if __name__ == "__main__":
    unittest.main()
