#!/usr/bin/env python3
"""32 right answers at once, over sockets: one passes. The original lets 2 through a verification, and 31 through a login.

The binary is the first argument. Prints what each kind of flow came to; ends with 1 unless exactly one passed in each.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "oracle"))

from engine.client import Client  # noqa: E402
from engine.mailbox import Mailbox  # noqa: E402
from engine.target import Launcher  # noqa: E402

AT_ONCE = 32
ADA = "ada@example.org"


def main() -> int:
    passed = {}
    with Launcher("countersign", sys.argv[1]) as launcher:
        for kind, address in (("verification", "email"), ("login", "identifier")):
            with Mailbox() as mailbox:
                server = launcher.start("code", mailbox.port, 1)
                try:
                    passed[kind] = play(server.endpoint, mailbox, kind, address)
                finally:
                    server.stop()
    return 0 if all(count == 1 for count in passed.values()) else 1


def play(endpoint, mailbox: Mailbox, kind: str, address: str) -> int:
    """How many of the answers to one flow of `kind` passed."""
    client = Client(endpoint)
    verified = {"value": ADA, "via": "email", "verified": True, "status": "completed"}
    person = {"schema_id": "person", "traits": {"email": ADA}, "verifiable_addresses": [verified]}
    ask(client, "POST", "/admin/identities", "admin", person, 201)
    flow = ask(client, "GET", f"/self-service/{kind}/api", "api", None, 200)["id"]
    path = f"/self-service/{kind}?flow={flow}"
    # A login that has sent its code says so with 400, as the original does.
    ask(client, "POST", path, "api", {"method": "code", address: ADA}, 200 if kind == "verification" else 400)
    mail = mailbox.take(ADA, within=10)
    answer = {"method": "code", "code": mail.code if mail else "none came"}
    if kind == "login":
        answer[address] = ADA
    statuses: Counter[int] = Counter()
    start = threading.Barrier(AT_ONCE)

    def bring() -> None:
        start.wait()
        sent = Client(endpoint).send("POST", path, "api", *encoded(answer), None)
        statuses[sent.status] += 1

    threads = [threading.Thread(target=bring) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{kind}: {AT_ONCE} right answers at once: {dict(sorted(statuses.items()))}")
    return statuses[200] if sum(statuses.values()) == AT_ONCE else 0


def ask(client: Client, method: str, path: str, persona: str, body: dict | None, status: int) -> dict:
    """One request, and the JSON of its answer."""
    headers, content = encoded(body) if body else ({}, None)
    answer = client.send(method, path, persona, headers, content, None)
    if answer.status != status:
        raise SystemExit(f"{method} {path}: {answer.status}, not {status}: {answer.body.decode(errors='replace')}")
    return json.loads(answer.body)


def encoded(body: dict) -> tuple[dict, bytes]:
    """Headers and bytes of a JSON body."""
    return {"Content-Type": "application/json"}, json.dumps(body).encode()


if __name__ == "__main__":
    sys.exit(main())
