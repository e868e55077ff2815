"""Runs the shell blocks of a README that talk to the server, and compares what they print with what is printed under them.

The blocks of one section are one script, because a reader goes from one to the next; each section begins anew. What they print
are the section's `text` blocks, in which `…` stands for anything on its line.
"""

import os
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A row of the table of surfaces, and the section that it leads to.
ROW = re.compile(r"^\| \[([a-z]+)\]\(dialects/\1\) \|.*\| \[try it\]\(#([a-z-]+)\) \|$", re.MULTILINE)


def sections(text):
    """Each section's heading as an anchor, its blocks for a shell, and what they print."""
    for section in re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        blocks = BLOCK.findall(body)
        script = [block for kind, block in blocks if kind == "sh" and "$origin" in block]
        if script:
            printed = [block for kind, block in blocks if kind == "text"]
            yield heading.strip().lower().replace(" ", "-"), "".join(script), "".join(printed)


def is_printed(expected, seen):
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, seen) is not None


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    tried = set()
    for anchor, script, expected in sections(text):
        print(f"\n-- {anchor}", flush=True)
        assert script.startswith("origin=http://127.0.0.1:8080\n"), "a section's first block says where the server is"
        assert expected, "a section says what its blocks print"
        with tempfile.TemporaryDirectory() as folder:
            # What the blocks leave behind goes with the folder.
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=folder,
                env=os.environ | {"TMPDIR": folder},
                stdout=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        print(done.stdout, end="", flush=True)
        if done.returncode != 0 or not is_printed(expected, done.stdout):
            sys.exit(f"{anchor}: ended with {done.returncode}; the README says that it prints\n{expected}")
        tried.add(anchor)

    surfaces = dict(ROW.findall(text))
    without = sorted(name for name in os.listdir("dialects") if surfaces.get(name) not in tried)
    assert not without, f"the README's table leads to no block for {', '.join(without)}"


if __name__ == "__main__":
    main()
