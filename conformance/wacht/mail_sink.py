"""A relay that takes every mail and keeps its text, one JSON object a line, in the file it is given. Prints its port."""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP


class Keep:
    def __init__(self, path):
        self.path = path

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text = message.get_body(("plain",)).get_content()
        with open(self.path, "a", encoding="utf-8") as kept:
            print(json.dumps({"to": envelope.rcpt_tos[0], "text": text}), file=kept)
        return "250 kept"


async def main(path):
    keep = Keep(path)
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(keep), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1]))
