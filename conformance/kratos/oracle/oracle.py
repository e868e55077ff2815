#!/usr/bin/env python3
"""Ask a real server what is right, keep the answers, and hold another server against them.

    oracle.py record --target kratos --binary PATH [--scenarios DIR]
    oracle.py check --target countersign --binary PATH [--scenarios DIR]
    oracle.py list [--scenarios DIR]

See README.md for the format of scenarios and transcripts.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from engine.client import Client
from engine.compare import Accepted, compare
from engine.hooks import HookReceiver
from engine.mailbox import Mailbox
from engine.pretty import dumps
from engine.scenario import Played, Player, Scenario, ScenarioError, load_scenarios
from engine.target import Endpoint, Launcher, TargetError, load_profile

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        scenarios = load_scenarios(Path(options.scenarios), options.only)
        if options.command == "list":
            return _list(scenarios)
        if options.attach:
            scenarios = [scenario for scenario in scenarios if scenario.profile == options.profile]
        if not scenarios:
            print("no scenarios", file=sys.stderr)
            return 2
        claims = options.command == "record"
        run = _record if claims else _check
        if options.attach:
            return run(scenarios, _attached(options, claims), options)
        overrides = yaml.safe_load(Path(options.config_patch).read_text()) if options.config_patch else None
        with Launcher(options.target, options.binary, overrides) as launcher:
            return run(scenarios, _launched(launcher, claims), options)
    except (TargetError, ScenarioError, ValueError) as problem:
        print(f"oracle: {problem}", file=sys.stderr)
        return 2


def _record(scenarios: list[Scenario], play, options) -> int:
    """Write each transcript beside its scenario; refuse those that stopped or whose claims are false."""
    failed = exchanges = changed = 0
    for scenario, played in _play_all(scenarios, play, options.jobs):
        problems = list(played.false_claims) + ([played.stopped] if played.stopped else [])
        if problems:
            failed += 1
            print(f"{scenario.name}: not recorded")
            for problem in problems:
                print(f"    {problem}")
            continue
        exchanges += len(played.transcript)
        text = dumps(played.transcript) + "\n"
        path = scenario.expected_path
        if not path.exists() or path.read_text() != text:
            changed += 1
            path.write_text(text)
    print(f"{len(scenarios)} scenarios, {exchanges} exchanges, {changed} transcripts changed, {failed} failed")
    return 1 if failed else 0


def _check(scenarios: list[Scenario], play, options) -> int:
    """Print what differs from the recorded transcripts, one block per scenario that differs."""
    accepted = Accepted(Path(options.accepted))
    agree = explained = differ = 0
    for scenario, played in _play_all(scenarios, play, options.jobs):
        if not scenario.expected_path.exists():
            raise ScenarioError(f"{scenario.name} has no recorded transcript")
        differences = compare(json.loads(scenario.expected_path.read_text()), played.transcript)
        reasons = [accepted.reason(scenario.name, difference) for difference in differences]
        open_ones = [item for item, reason in zip(differences, reasons) if reason is None]
        explained += len(differences) - len(open_ones)
        if not open_ones and not played.stopped:
            agree += 1
            continue
        differ += 1
        print(f"{scenario.name} ({scenario.profile}): {scenario.about}")
        for difference in open_ones[: options.limit]:
            print(f"    {difference}")
        if len(open_ones) > options.limit:
            print(f"    … and {len(open_ones) - options.limit} more")
        if played.stopped:
            print(f"    stopped at {played.stopped}")
    if not options.only:
        for entry in accepted.unused:
            print(f"accepted but not seen: {entry}")
    if explained:
        print(f"{explained} differences are accepted")
    print(f"{len(scenarios)} scenarios, {agree} agree, {differ} differ")
    return 1 if differ else 0


def _list(scenarios: list[Scenario]) -> int:
    for scenario in scenarios:
        print(f"{scenario.name}  [{scenario.profile}]  {scenario.about}")
    print(f"{len(scenarios)} scenarios")
    return 0


# -- playing ---------------------------------------------------------------------------------


def _play_all(scenarios: list[Scenario], play, jobs: int):
    """(scenario, what happened) in file order, `jobs` scenarios at a time."""
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        yield from zip(scenarios, pool.map(play, scenarios))


def _launched(launcher: Launcher, claims: bool):
    """A player that gives every scenario its own server and its own mailbox."""

    def play(scenario: Scenario) -> Played:
        try:
            with Mailbox() as mailbox, HookReceiver() as hooks:
                server = launcher.start(scenario.profile, mailbox.port, hooks.port)
                try:
                    return Player(scenario, server.endpoint, mailbox, claims).play()
                finally:
                    server.stop()
        except TargetError as problem:
            return Played(stopped=str(problem))

    return play


def _attached(options, claims: bool):
    """A player for a server that already runs with the configuration of `--profile`."""
    public_port, admin_port = (int(port) for port in options.attach.split(","))
    settings = load_profile(options.profile)
    endpoint = Endpoint(
        public_port,
        admin_port,
        settings["serve"]["public"]["base_url"].rstrip("/"),
        settings["serve"]["admin"]["base_url"].rstrip("/"),
        settings["selfservice"]["default_browser_return_url"].rstrip("/"),
    )
    options.jobs = 1

    def play(scenario: Scenario) -> Played:
        if options.wipe:
            _delete_identities(Client(endpoint))
        with Mailbox(options.smtp_port) as mailbox, HookReceiver(options.hook_port):
            return Player(scenario, endpoint, mailbox, claims).play()

    return play


def _delete_identities(client: Client) -> None:
    """An attached server has the identities of earlier scenarios; sessions and flows go with them."""
    while identities := json.loads(client.send("GET", "/admin/identities", "admin", {}, None, None).body):
        for identity in identities:
            client.send("DELETE", f"/admin/identities/{identity['id']}", "admin", {}, None, None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="oracle.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("record", "write expected transcripts"),
        ("check", "compare with the transcripts"),
        ("list", "name the scenarios"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--scenarios", default=str(HERE / "scenarios" / "kratos"), metavar="DIR")
        command.add_argument("--only", metavar="TEXT", help="scenarios whose name contains TEXT")
        if name == "list":
            continue
        command.add_argument("--target", default="kratos", help="a name in targets.yml (default: kratos)")
        command.add_argument("--binary", metavar="PATH", help="the server; default: the target's name on PATH")
        command.add_argument("--config-patch", metavar="FILE", help="YAML laid over every profile, to see a check fail")
        command.add_argument("--jobs", type=int, default=2, metavar="N", help="servers at a time (default: 2)")
        command.add_argument("--attach", metavar="PUBLIC,ADMIN", help="ports of a server that already runs")
        command.add_argument("--wipe", action="store_true", help="with --attach: delete all identities first")
        command.add_argument("--profile", default="code", help="with --attach: the profile it was started with")
        command.add_argument("--smtp-port", type=int, default=0, help="with --attach: where it sends mail")
        command.add_argument("--hook-port", type=int, default=0, help="with --attach: where its web hooks go")
        if name == "check":
            command.add_argument("--accepted", default=str(HERE.parent / "accepted.yml"), metavar="FILE")
            command.add_argument("--limit", type=int, default=12, metavar="N", help="differences shown per scenario")
    return parser


if __name__ == "__main__":
    sys.exit(main())
