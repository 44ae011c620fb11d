#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the compiled kernels to their budgets, by what cuobjdump tells of their resources and their instructions.

    budgets.py --cuobjdump <path> --table <csv> [--update] <object>…

Every kernel: no stack, no local memory, no access to it; no double precision arithmetic where numbers are float. Its
registers and its number of instructions may not exceed the table's by more than a tenth; the table names all kernels and
no others. --update writes the table anew.
"""
import argparse
import csv
import os
import re
import subprocess
import sys

SKIPPED = 77
MARGIN = 1.1
FP64 = re.compile(r"^(DADD|DMUL|DFMA|DSETP|DMNMX|DMMA|MUFU\.\w*64H?|(F2F|I2F|F2I)\S*F64)")
LOCAL = re.compile(r"^(LDL|STL)")


def tool(cuobjdump, *arguments):
    # cuobjdump looks for nvdisasm on the PATH
    environment = dict(os.environ, PATH=os.path.dirname(os.path.abspath(cuobjdump)) + os.pathsep + os.environ["PATH"])
    return subprocess.run([cuobjdump, *arguments], check=True, text=True, capture_output=True, env=environment).stdout


def readable_names(mangled):
    """'quadratic float tile 8 full 16x16' for the kernel's symbol."""
    text = subprocess.run(["c++filt"], input="\n".join(mangled), check=True, text=True, capture_output=True).stdout
    names = {}
    for symbol, name in zip(mangled, text.splitlines()):
        mapping = re.search(r"(thread|tile|block)_mapping<(float|double), (\d+)", name)
        family = re.search(r"(\w+)_family, (true|false)", name)
        if not mapping or not family:
            sys.exit(f"budgets.py: no kernel of ours: {name}")
        lanes = "1" if mapping[1] == "thread" else mapping[3]
        extents = [n if int(n) >= 0 else "n" for n in re.findall(r"extent<\(?(?:int\))?(-?\d+)>", name)]
        text = "full" if family[2] == "true" else "plain"
        names[symbol] = " ".join([family[1], mapping[2], mapping[1], lanes, text, "x".join(extents) or "fixed"])
    return names


def measure(cuobjdump, objects):
    """(kernel, architecture): registers, instructions, and what breaks a rule."""
    found = {}
    for path in objects:
        symbol = arch = None
        for line in tool(cuobjdump, "-res-usage", path).splitlines():
            if match := re.search(r"arch = (sm_\d+)", line):
                arch = match[1]
            elif match := re.match(r"\s*Function (\w+):", line):
                symbol = match[1]
            elif match := re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", line):
                faults = []
                if int(match[2]) or int(match[3]):
                    faults.append(f"{match[2]} bytes of stack, {match[3]} of local memory")
                found[symbol, arch] = {"registers": int(match[1]), "instructions": 0, "faults": faults}
        for line in tool(cuobjdump, "-sass", path).splitlines():
            if match := re.search(r"arch = (sm_\d+)", line):
                arch = match[1]
            elif match := re.match(r"\s*Function : (\w+)", line):
                symbol = match[1]
            elif match := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", line):
                entry = found[symbol, arch]
                if match[1] == "NOP":
                    continue
                entry["instructions"] += 1
                entry.setdefault("opcodes", set()).add(match[1])
    names = readable_names(sorted({symbol for symbol, _ in found}))
    result = {}
    for (symbol, arch), entry in found.items():
        opcodes = entry.pop("opcodes", set())
        local = sorted(o for o in opcodes if LOCAL.match(o))
        double = sorted(o for o in opcodes if FP64.match(o)) if " float " in names[symbol] else []
        for what, which in (("local memory", local), ("double precision", double)):
            if which:
                entry["faults"].append(f"{what}: {' '.join(which)}")
        result[names[symbol], arch] = entry
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuobjdump", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("objects", nargs="+")
    options = parser.parse_args()
    if not os.path.exists(options.cuobjdump):
        print(f"SKIPPED: there is no {options.cuobjdump}; ./test.sh fetches it from PyPI")
        return SKIPPED

    found = measure(options.cuobjdump, options.objects)
    failures = [f"{kernel}, {arch}: {fault}" for (kernel, arch), e in sorted(found.items()) for fault in e["faults"]]
    if options.update:
        with open(options.table, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["kernel", "architecture", "registers", "instructions"])
            for (kernel, arch), e in sorted(found.items()):
                writer.writerow([kernel, arch, e["registers"], e["instructions"]])
    else:
        with open(options.table, newline="", encoding="utf-8") as file:
            table = {(row["kernel"], row["architecture"]): row for row in csv.DictReader(file)}
        architectures = {arch for _, arch in found}
        for key in sorted(k for k in table if k[1] in architectures and k not in found):
            failures.append(f"{key[0]}, {key[1]}: in the table, but not compiled")
        for (kernel, arch), e in sorted(found.items()):
            row = table.get((kernel, arch))
            if row is None:
                if arch in {a for _, a in table}:
                    failures.append(f"{kernel}, {arch}: not in the table")
                continue
            for what in ("registers", "instructions"):
                if e[what] > MARGIN * int(row[what]):
                    failures.append(f"{kernel}, {arch}: {e[what]} {what}, at most a tenth above {row[what]} expected")
    for failure in failures:
        print(failure)
    print(f"{len(found)} kernels, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
