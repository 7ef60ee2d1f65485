#!/usr/bin/env python3
"""Does anybody know of a vulnerability in what uv.lock holds for servers? `make audit`.

pip-audit asks the package registry. What it reports as "no known vulnerabilities" may be that the
registry, a mirror perhaps, knows of none at all: here that counts as not audited.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOT_SERVED = ("test", "dev", "bench", "ppo", "conformance")  # extras that no server needs
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 2


def locked(uv: str) -> list[str]:
    """`name==version` of all that a server may have installed, on any platform and Python."""
    command = [uv, "export", "--quiet", "--frozen", "--no-emit-project", "--no-header"]
    command += ["--no-annotate", "--no-hashes", "--all-groups", "--all-extras"]
    command += [word for extra in NOT_SERVED for word in ("--no-extra", extra)]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted({line.split(";")[0].strip() for line in text.splitlines() if "==" in line})


def rounds(pins: list[str]) -> list[list[str]]:
    """The same, with one version of each package at a time, as pip-audit wants them."""
    by_name: dict[str, list[str]] = {}
    for pin in pins:
        by_name.setdefault(pin.split("==")[0], []).append(pin)
    most = max(map(len, by_name.values()), default=0)
    return [
        [versions[number] for versions in by_name.values() if number < len(versions)]
        for number in range(most)
    ]


def ask(pip_audit: str, pins: list[str]) -> list[dict[str, Any]]:
    """What pip-audit says of each; nothing where it could ask nobody."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins) + "\n")
        file.flush()
        command = [pip_audit, "--requirement", file.name, "--disable-pip", "--no-deps"]
        command += ["--format", "json", "--progress-spinner", "off"]
        ended = subprocess.run(command, capture_output=True, text=True)
    try:
        return list(json.loads(ended.stdout)["dependencies"])
    except (ValueError, KeyError):
        print(
            (ended.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1], file=sys.stderr
        )
        return []


def verdict(pins: list[str], told: list[dict[str, Any]]) -> tuple[int, str]:
    """The exit status, and what to say."""
    audited = {f"{entry['name']}=={entry['version']}" for entry in told if "version" in entry}
    unknown = [pin for pin in pins if pin not in audited]
    lines = [
        f"{entry['name']} {entry['version']}: {flaw['id']}"
        + (f", mended in {', '.join(flaw['fix_versions'])}" if flaw.get("fix_versions") else "")
        for entry in told
        for flaw in entry.get("vulns", ())
    ]
    status = VULNERABLE if lines else UNKNOWN if unknown else CLEAN
    if unknown:
        shown = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
        lines.append(
            f"NOT AUDITED: of {len(unknown)} of {len(pins)} packages this registry has no "
            f"vulnerability data ({shown})"
        )
    else:
        lines.append(f"{len(pins)} packages audited")
    return status, "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--uv", default="uv")
    parser.add_argument("--pip-audit", default="pip-audit")
    parser.add_argument(
        "--if-offered",
        action="store_true",
        help="End with 0 where nothing is known of any package: a mirror without such data.",
    )
    options = parser.parse_args()
    pins = locked(options.uv)
    told = [entry for some in rounds(pins) for entry in ask(options.pip_audit, some)]
    status, text = verdict(pins, told)
    print(text)
    if options.if_offered and not any("version" in entry for entry in told):
        return CLEAN
    return status


if __name__ == "__main__":
    sys.exit(main())
