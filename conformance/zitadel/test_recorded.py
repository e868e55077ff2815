"""What a real ZITADEL was asked and answered (recorded.json), asked again on the wire: status, code, id and shape agree, or the
difference stands in differences.json.

The tests of dialects/zitadel ask the same without a socket, and with them what needs a clock to move, an operator, or another
configuration than `countersign dev` has; here those are left out.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import unittest
import urllib.parse

from person import Person
from test_documented_request import call, new_address, signed_in

ORIGIN = os.environ["COUNTERSIGN_ORIGIN"]
FOLDER = pathlib.Path(__file__).parent
EXCHANGES = {one["id"]: one for one in json.loads((FOLDER / "recorded.json").read_text())["exchanges"]}
DIFFERENCES = json.loads((FOLDER / "differences.json").read_text())
INSTEAD = {one["id"]: one for one in DIFFERENCES["exchanges"]}

# An hour goes by, or an operator does something.
LEFT_OUT = {f"auth-v1-codes/{number}" for number in (13, 15, 20, 22, 25)}


def repeated(text):
    """`{repeated n times}` written out."""
    return re.sub(r"(.)\{repeated (\d+) times\}", lambda found: found[1] * int(found[2]), text)


def misfits(recorded, actual, at="body"):
    """Where `actual` is not what was recorded, in words."""
    if isinstance(recorded, dict) and isinstance(actual, dict):
        members = DIFFERENCES["members"]
        missing = [name for name in recorded if name not in actual and name not in members["theirs"]]
        more = [name for name in actual if name not in recorded and name not in members["ours"]]
        both = [name for name in recorded if name in actual]
        return (
            [f"{at}.{name} is missing" for name in missing]
            + [f"{at}.{name} was not there" for name in more]
            + [misfit for name in both for misfit in misfits(recorded[name], actual[name], f"{at}.{name}")]
        )
    if isinstance(recorded, list) and isinstance(actual, list) and len(recorded) == len(actual):
        return [misfit for pair in zip(recorded, actual) for misfit in misfits(*pair, at)]
    if isinstance(recorded, str) and isinstance(actual, str):
        pattern = r"\d+" if at.endswith(".sequence") else re.sub(r"<\w+(\\?:\d+)?>", ".+", re.escape(recorded))
        return [] if re.fullmatch(pattern, actual) else [f"{at} is {actual!r} instead of {recorded!r}"]
    return [] if recorded == actual else [f"{at} is {actual!r} instead of {recorded!r}"]


class Recorded(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.person, cls.token = signed_in()
        cls.address = cls.person.address

    def ask(self, exchange, bound):
        """Status and body of what an exchange's request gets, `bound` in the place of its placeholders."""

        def fill(text):
            for name, value in bound.items():
                text = text.replace(name, value)
            self.assertNotRegex(text, r"<[a-z-]+:\d+>")
            return repeated(text)

        request = exchange["request"]
        body = request.get("body")
        if body == "<5 MB>":
            body = json.dumps({"code": "A" * 5_000_000})
        elif body is not None:
            body = fill(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False))
        headers = {name: fill(value) for name, value in request.get("headers", {}).items()}
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(ORIGIN).netloc, timeout=10)
        with contextlib.closing(connection):
            try:
                connection.request(request["method"], request["path"], body and body.encode(), headers)
            except (BrokenPipeError, ConnectionResetError):
                # It was refused before it was whole: the answer is there nevertheless.
                pass
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text else None

    def check(self, id, bound):
        exchange = EXCHANGES[id]
        status, body = self.ask(exchange, bound)
        recorded = exchange["response"]
        found = [] if status == recorded["status"] else [f"status {status} instead of {recorded['status']}"]
        if "body" in recorded:
            found += misfits(recorded["body"], body)
        what = f"{id}, {exchange['name']}: {found}, {body}"
        if id not in INSTEAD:
            self.assertEqual(found, [], what)
            return
        instead = INSTEAD[id]
        self.assertNotEqual(found, [], f"{what}: it agrees after all")
        detail = body.get("details", [{}])[0] if isinstance(body.get("details"), list) else {}
        code, id = body.get("code", 0), detail.get("id", "")
        self.assertEqual((status, code, id), (instead["status"], instead["code"], instead["detail"]), what)

    def staged(self, token):
        """Gives the user an address that he has not proved; the address, and its code."""
        address = new_address("pending")
        self.assertEqual(call(token, "PUT", "/users/me/email", {"email": address})[0], 200)
        return address, Person(ORIGIN, address).mailed_code()

    def test_what_was_asked_over_json(self):
        organisation = call(self.token, "GET", "/users/me/email")[1]["details"]["resourceOwner"]
        played = [id for id in EXCHANGES if id.startswith("auth-v1-json/")]
        self.assertEqual(len(played), 64)
        for id in played:
            number = int(id.rsplit("/", 1)[1])
            address, code = self.staged(self.token)
            if 74 <= number <= 79:
                self.assertEqual(call(self.token, "POST", "/users/me/email/_verify", {"code": code})[0], 200)
            bound = {
                "<access-token, last four characters altered>": self.token[:-4] + "AAAA",
                "<access-token:1>": self.token,
                "<access-token:2>": self.token,
                "<id-token:1>": "an opaque one",
                "<session-token:1>": "an opaque one",
                "<token:service-pat>": "an opaque one",
                "<org:1>": organisation,
                "<email:1>": address,
                "UAF24FA9F@EXAMPLE.TEST": address.upper(),
                "<code:1>": code.lower(),
                "<code:2>": code,
            }
            # A user without a name is shown without one.
            with self.subTest(id):
                if number == 1:
                    bare = EXCHANGES[id]["response"]["body"]["user"]["human"]["profile"]
                    for name in ("firstName", "lastName"):
                        bare.pop(name, None)
                    bare["displayName"] = "<text>"
                self.check(id, bound)

    def test_the_life_of_a_code(self):
        _, token = signed_in()
        address, code = self.staged(token)
        other = new_address("other")
        codes = [code]
        for number, mailed_to in [(1, address), (2, None), (3, address), (4, None), (5, other), (6, None), (8, address)]:
            bound = {
                "<access-token:1>": token,
                "<code:1>": codes[0],
                "<code:2>": codes[1] if len(codes) > 1 else "",
                "<email:1>": other,
                "<email:2>": address,
            }
            self.check(f"auth-v1-codes/{number}", bound)
            if mailed_to:
                codes.append(Person(ORIGIN, mailed_to).mailed_code())
        self.check("auth-v1-codes/9", {"<access-token:1>": token, "<code:4>": codes[-1]})

    def test_a_user_who_was_never_asked(self):
        _, token = signed_in()
        for number in (16, 18):
            bound = {"<access-token:3>": token, "<email:3>": new_address("new")}
            self.check(f"auth-v1-codes/{number}", bound)

    def test_somebody_elses_address_and_a_large_body(self):
        stranger, _ = signed_in("eve")
        bound = {"<access-token:1>": self.token, "<access-token:2>": self.token, "<email:1>": stranger.address}
        for number in (8, 14):
            self.check(f"races-and-mails/{number}", bound)

    def test_nothing_is_left_out_unsaid(self):
        played = {f"auth-v1-codes/{number}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 16, 18)}
        played |= {"races-and-mails/8", "races-and-mails/14"}
        rest = {id for id in EXCHANGES if not id.startswith("auth-v1-json/")}
        self.assertEqual(rest, played | LEFT_OUT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
