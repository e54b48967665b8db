"""Reference solutions of public problems, the same with hollow bodies, and programs that misbehave, in the sandbox.

Writes benchmarks/results/programs.md. Nothing is chosen here: no model is asked.
"""

from __future__ import annotations

import argparse
import ast
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from runs import RESULTS, machine, test_data

from attune.tasks.code.passing import CodeScores
from attune.tasks.code.sandbox import Limits, run

MISBEHAVING = {
    "endless loop": "while True:\n    pass",
    "endless sleep": "import time\ntime.sleep(3600)",
    "fork bomb": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
    "3 GiB of memory": "x = bytearray(3 << 30)",
    "a file of 1 GiB": "with open('big', 'wb') as f:\n    while True:\n        f.write(b'0' * (1 << 20))",
    "endless output": "while True:\n    print('x' * 1000)",
    "a connection": "import socket\nsocket.create_connection(('1.1.1.1', 53), 5)",
    "a file elsewhere": "open('/var/tmp/attune-was-here', 'w').write('x')",
    "an early exit": "import sys\nsys.exit(0)",
}


@dataclass(frozen=True)
class Problem:
    """A problem with its reference solution, whole, and what `with_tests` reads of it."""

    solution: str
    tests: Mapping[str, Any]


def problems(name: str, file: str) -> Iterator[Problem]:
    """The problems of one file of a public set."""
    for line in (test_data() / name / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if name == "humaneval":
            yield Problem(row["source"] + row["target"], {"tests": row["test"], "entry_point": row["entry_point"]})
        else:
            yield Problem(row["target"], {"tests": row["tests"], "test_setup": row["test_setup"]})


class Hollow(ast.NodeTransformer):
    """Every function does nothing but return None."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Replaces the body."""
        return ast.copy_location(
            ast.FunctionDef(node.name, node.args, [ast.Return(ast.Constant(None))], node.decorator_list), node
        )


def hollow(code: str) -> str:
    """A program whose functions all return None."""
    return ast.unparse(ast.fix_missing_locations(Hollow().visit(ast.parse(code))))


def rows(name: str, files: str) -> Iterator[str]:
    """The lines of the table for one public set."""
    found = [problem for file in files.split() for problem in problems(name, file)]
    for called, candidate in (("reference solutions", str), ("every body `return None`", hollow)):
        begin = time.monotonic()
        scores = CodeScores(
            called, [problem.tests for problem in found], [[candidate(problem.solution)] for problem in found], None
        )
        share = float(scores.measure(np.ones((1, len(found))))["pass_1"][0])
        failed = [number for number, right in enumerate(scores.right()) if not right]
        seconds = time.monotonic() - begin
        print(f"{name} {called}: {share:.2%}", "not passed:" if share > 0.5 else "passed:", failed[:20], flush=True)
        yield f"| {name}: {called} | {len(found)} | {100 * share:.1f} % | {seconds:.0f} |"


def main() -> None:
    """Runs everything and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    lines = [
        "# Candidate programs in the sandbox",
        "",
        "| programs | problems | pass@1 | seconds |",
        "|---|---:|---:|---:|",
    ]
    lines += [*rows("humaneval", "test"), *rows("mbpp", "prompt test dev train")]
    limits = Limits()
    lines += ["", "| program | how it ended | seconds | last words |", "|---|---|---:|---|"]
    for name, program in MISBEHAVING.items():
        found = run(program, limits)
        last = found.printed.strip().splitlines()[-1:] if found.status == "failed" else []
        lines.append(f"| {name} | {found.status} | {found.seconds:.1f} | {''.join(last)[:80]} |")
    held = run("pass", limits).held
    lines += ["", f"Limits: {limits}.", "", f"Held besides: {held}.", "", f"Machine: {machine()}.", ""]
    (RESULTS / "programs.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
