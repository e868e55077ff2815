"""A real SMTP server (aiosmtpd) for tests, told what to do and telling what happened in lines of JSON.

Started with one argument, the options as JSON. Commands come on standard input, events go to standard output. Bytes cross as
Latin-1 text, one character each. It ends when its standard input does, so that it never outlives the test.
"""

import asyncio
import itertools
import json
import logging
import ssl
import sys

import trustme
from aiosmtpd.smtp import SMTP, AuthResult


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Server:
    """Everything that sessions share: the rules, and who is connected."""

    def __init__(self, options):
        self.options = options
        self.rules = []
        self.sessions = set()
        self.numbers = itertools.count(1)

    def rule_for(self, command, argument):
        """The first rule that applies, counted down; none if all goes its way."""
        for rule in self.rules:
            if rule["command"] != command or rule["times"] == 0:
                continue
            if rule["address"] is not None and rule["address"] not in argument:
                continue
            if rule["times"] is not None:
                rule["times"] -= 1
            return rule
        return None

    def obey(self, command):
        name = command["command"]
        if name == "add_rule":
            self.rules.append(command["rule"])
        elif name == "clear_rules":
            self.rules.clear()
        elif name == "close_connections":
            for session in list(self.sessions):
                session.drop()
        tell("obeyed")


class Handler:
    """What aiosmtpd calls when a whole message has come in."""

    def __init__(self, server):
        self.server = server

    async def handle_DATA(self, smtp, _session, envelope):
        answer = "250 2.0.0 taken"
        rule = self.server.rule_for("CONTENT", " ".join(envelope.rcpt_tos))
        if rule is not None:
            await asyncio.sleep(rule["delay"])
            if rule["answer"] != "":
                answer = rule["answer"]
        tell(
            "message",
            session=smtp.number,
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            content=envelope.original_content.decode("latin-1"),
            answer=None if answer is None else int(answer[:3]),
        )
        if answer is None:
            smtp.drop()
            # The task that runs this ends with its connection.
            await asyncio.sleep(60)
        return answer


class Session(SMTP):
    def __init__(self, server, **arguments):
        self.server = server
        self.number = next(server.numbers)
        super().__init__(Handler(server), **arguments)

    def connection_made(self, transport):
        super().connection_made(transport)
        self.server.sessions.add(self)

    def connection_lost(self, error):
        self.server.sessions.discard(self)
        super().connection_lost(error)

    def data_received(self, data):
        tell("heard", session=self.number, bytes=data.decode("latin-1"))
        super().data_received(data)

    def drop(self):
        if self.transport is not None:
            self.transport.abort()

    async def intercepted(self, command, argument):
        rule = self.server.rule_for(command, argument or "")
        if rule is None:
            return False
        await asyncio.sleep(rule["delay"])
        if rule["answer"] is None:
            self.drop()
        elif rule["answer"] == "":
            return False
        else:
            await self.push(rule["answer"])
            if rule["answer"].startswith("421"):
                self._writer.close()
        return True

    async def smtp_EHLO(self, argument):
        if not await self.intercepted("EHLO", argument):
            await super().smtp_EHLO(argument)

    async def smtp_MAIL(self, argument):
        if not await self.intercepted("MAIL", argument):
            await super().smtp_MAIL(argument)

    async def smtp_RCPT(self, argument):
        if not await self.intercepted("RCPT", argument):
            await super().smtp_RCPT(argument)

    async def smtp_DATA(self, argument):
        if not await self.intercepted("DATA", argument):
            await super().smtp_DATA(argument)

    async def smtp_STARTTLS(self, argument):
        if not await self.intercepted("STARTTLS", argument):
            await super().smtp_STARTTLS(argument)


def tls_context(names):
    """A fresh authority, and a certificate of it for `names`."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context, authority.cert_pem.bytes().decode("ascii")


async def main():
    options = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    context, authority = None, None
    if options["tls"] != "none":
        context, authority = tls_context(options["certificate_names"])
    server = Server(options)
    credentials = options["credentials"]

    def authenticate(_server, _session, _envelope, _mechanism, given):
        right = [given.login.decode(), given.password.decode()] == credentials
        return AuthResult(success=right, handled=False)

    arguments = {"hostname": "mailbox.test", "require_starttls": False, "auth_require_tls": False, "ident": "mailbox"}
    if options["tls"] == "starttls":
        arguments.update(tls_context=context, require_starttls=True, auth_require_tls=True)
    if credentials is not None:
        arguments.update(auth_required=True, authenticator=authenticate)
        arguments["auth_exclude_mechanism"] = options["mechanisms_withheld"]

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: Session(server, **arguments),
        "127.0.0.1",
        options["port"],
        ssl=context if options["tls"] == "implicit" else None,
    )
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tell("listening", port=listener.sockets[0].getsockname()[1], authority=authority)
    while line := await reader.readline():
        server.obey(json.loads(line))


asyncio.run(main())
