#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the compiled kernels to their budgets, by what cuobjdump tells of their resources and their instructions.

    budgets.py --cuobjdump <path> --table <csv> [--update] <object>…

Every kernel: no stack, no local memory, no access to it, but for a few bytes in the full text of the linear model, one
quadratic and one coreset, which have more to hold than registers; no double precision arithmetic where numbers are float. Its
registers and its number of instructions may not exceed the table's by more than a tenth; the table names all kernels and
no others. --update writes the table anew.

Two kinds of kernel are held to what their loops promise (loops.py finds them):

    a coreset per thread, float, plain   nothing in the loop over outer iterations reads memory but for constants; the
                                         column `iteration`, the instructions that one of them takes at T = 10, is held
                                         like the registers; what is above the goals is told, and is no failure
    quadratics of constant extents,      H is in registers: the loop of the inner descent reads θ from shared memory, and
    plain                                nothing else from anywhere
"""
import argparse
import csv
import os
import re
import subprocess
import sys
from collections import Counter

import loops

SKIPPED = 77
MARGIN = 1.1
FP64 = re.compile(r"^(DADD|DMUL|DFMA|DSETP|DMNMX|DMMA|MUFU\.\w*64H?|(F2F|I2F|F2I)\S*F64)")
LOCAL = re.compile(r"^(LDL|STL)")
COUNTED = ("registers", "instructions", "iteration")

THREAD_CORESET = re.compile(r"^coreset float thread 1 plain \d+x(?P<dim>\d+)$")
# Everything that a solve can be asked for, of tens of arrays: more than 255 registers hold. Bytes that may be spilled.
SPILLING = {
    re.compile(r"^linear_model (float|double) (block|tile) \d+ full nxnxn$"): 144,
    re.compile(r"^(quadratic double block 128 full nxn|coreset float tile 8 full 64x16)$"): 8,
}
TILE_QUADRATIC = re.compile(r"^quadratic (?P<real>float|double) tile (?P<lanes>\d+) plain (?P<n>\d+)x(?P=n)$")
INNER_STEPS = 10
GOALS = {"registers": 64, "iteration": 200}  # of the coreset


def count(instructions, *bases):
    found = Counter(i.base for i in instructions)
    return sum(found[base] for base in bases)


def iteration_loop(kernel):
    """The loop over outer iterations: the largest one inside the loop over problems."""
    if len(kernel.loops) != 1:
        raise loops.Unreadable(f"{len(kernel.loops)} outermost loops, expected that over the problems alone")
    inside = kernel.loops[0].children
    if not inside:
        raise loops.Unreadable("no loop in the loop over the problems")
    found = max(inside, key=lambda loop: len(kernel.instructions_of(loop)))
    if not found.children:
        raise loops.Unreadable("no loop in the loop over outer iterations")
    return found


def check_coreset(kernel, dim):
    """The instructions of an outer iteration, and the faults."""
    outer = iteration_loop(kernel)
    faults = []
    if loads := count(kernel.instructions_of(outer), "LDG", "LD"):
        faults.append(f"{loads} loads from memory in the loop over outer iterations")
    # A step of the descent is two fma for each coordinate. The compiler, or the text, makes several steps per trip.
    per_step = 2 * dim
    descents = []
    for loop in outer.children:
        fmas = count(kernel.instructions_of(loop), "FFMA")
        if loop.children or fmas == 0 or fmas % per_step:
            raise loops.Unreadable(f"the loop at {loop.header:#x} has {fmas} fma, no multiple of a step's {per_step}")
        descents.append((-fmas // per_step, len(kernel.instructions_of(loop)), loop.header))
    # The first step stands before the loops; of two loops of the same steps, the longer one is for what no int counts.
    left, trips = INNER_STEPS - 1, {}
    for steps, _, header in sorted(descents):
        trips[header], left = divmod(left, -steps)
    if left:
        raise loops.Unreadable(f"{left} steps of the descent are in no loop")
    return kernel.shortest_trip(outer, trips)[0], faults


def check_quadratic(kernel, real, lanes, n):
    """The faults."""
    rows = n // lanes
    outer = iteration_loop(kernel)
    faults = []
    fma = "FFMA" if real == "float" else "DFMA"
    for loop in outer.children:
        inside = kernel.instructions_of(loop)
        where = f"in the descent's loop at {loop.header:#x}"
        steps = count(inside, fma) // (rows * n)
        if steps == 0:
            faults.append(f"{count(inside, fma)} fma {where}, expected {rows * n} and more")
            continue
        if loads := count(inside, "LDG", "LD", "LDL"):
            faults.append(f"{loads} loads from memory {where}")
        # All of θ, and a lane's own elements once more for the step, perhaps on either side of a branch.
        most = steps * (n + 2 * rows)
        if count(inside, "LDS") > most:
            faults.append(f"{count(inside, 'LDS')} loads from shared memory {where}, {most} would be theta alone")
    return faults


def check_loops(name, lines, entry):
    """Adds to the figures and faults of a kernel what its loops tell."""
    try:
        if match := THREAD_CORESET.match(name):
            entry["iteration"], faults = check_coreset(loops.read(lines), int(match["dim"]))
            entry["faults"] += faults
        elif match := TILE_QUADRATIC.match(name):
            entry["faults"] += check_quadratic(loops.read(lines), match["real"], int(match["lanes"]), int(match["n"]))
    except loops.Unreadable as what:
        entry["faults"].append(f"its loops are not understood: {what}")


def tool(cuobjdump, *arguments):
    # cuobjdump looks for nvdisasm on the PATH
    environment = dict(os.environ, PATH=os.path.dirname(os.path.abspath(cuobjdump)) + os.pathsep + os.environ["PATH"])
    return subprocess.run([cuobjdump, *arguments], check=True, text=True, capture_output=True, env=environment).stdout


def stage_names():
    """The enumerators of `stage`, in their order."""
    header = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../include/cubome/core/stage_arguments.hpp")
    with open(header, encoding="utf-8") as file:
        enumerators = re.search(r"enum class stage : [\w:]+ \{(.*?)\};", file.read(), re.DOTALL)[1]
    return re.findall(r"^\s*(\w+),", enumerators, re.MULTILINE)


def readable_names(mangled):
    """'quadratic float tile 8 full 16x16', 'staged float block 128 update' … for the kernel's symbol."""
    stages, passes = stage_names(), ("residuals", "losses", "gap")
    text = subprocess.run(["c++filt"], input="\n".join(mangled), check=True, text=True, capture_output=True).stdout
    names = {}
    for symbol, name in zip(mangled, text.splitlines()):
        if stage := re.search(r"stage_kernel<\(cubome::stage\)(\d+), (float|double), \(?(?:int\))?(\d+)>", name):
            names[symbol] = f"staged {stage[2]} block {stage[3]} {stages[int(stage[1])]}"
            continue
        if work := re.search(r"softmax_kernel<.*::(\w+)(?:<\([\w:]*pass_kind\)(\d)>)?, \(?(?:int\))?(\d+)>\(", name):
            names[symbol] = f"softmax float block {work[3]} {work[1] if work[2] is None else passes[int(work[2])]}"
            continue
        mapping = re.search(r"(thread|tile|block)_mapping<(float|double), (\d+)", name)
        family = re.search(r"(\w+)_family, \(cubome::solve_text\)([012])", name)
        if not mapping or not family:
            sys.exit(f"budgets.py: no kernel of ours: {name}")
        lanes = "1" if mapping[1] == "thread" else mapping[3]
        extents = [n if int(n) >= 0 else "n" for n in re.findall(r"extent<\(?(?:int\))?(-?\d+)>", name)]
        text = ("plain", "plain_automatic", "full")[int(family[2])]
        names[symbol] = " ".join([family[1], mapping[2], mapping[1], lanes, text, "x".join(extents) or "fixed"])
    return names


def measure(cuobjdump, objects):
    """(kernel, architecture): registers, instructions, and what breaks a rule."""
    found, lines, stack = {}, {}, {}
    for path in objects:
        symbol = arch = None
        for line in tool(cuobjdump, "-res-usage", path).splitlines():
            if match := re.search(r"arch = (sm_\d+)", line):
                arch = match[1]
            elif match := re.match(r"\s*Function (\w+):", line):
                symbol = match[1]
            elif match := re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", line):
                found[symbol, arch] = {"registers": int(match[1]), "instructions": 0, "faults": []}
                stack[symbol, arch] = int(match[2]) + int(match[3])
        for line in tool(cuobjdump, "-sass", path).splitlines():
            if match := re.search(r"arch = (sm_\d+)", line):
                arch = match[1]
            elif match := re.match(r"\s*Function : (\w+)", line):
                symbol = match[1]
                lines[symbol, arch] = []
            elif match := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", line):
                entry = found[symbol, arch]
                lines[symbol, arch].append(line)
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
        spilled = stack[symbol, arch]
        may_spill = next((most for which, most in SPILLING.items() if which.match(names[symbol])), 0)
        if spilled > may_spill:
            entry["faults"].append(f"{spilled} bytes of stack or local memory")
        for what, which in (("local memory", [] if may_spill else local), ("double precision", double)):
            if which:
                entry["faults"].append(f"{what}: {' '.join(which)}")
        check_loops(names[symbol], lines.get((symbol, arch), []), entry)
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
            writer.writerow(["kernel", "architecture", *COUNTED])
            for (kernel, arch), e in sorted(found.items()):
                writer.writerow([kernel, arch, *(e.get(what, "") for what in COUNTED)])
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
            for what in COUNTED:
                if what in e and not row.get(what):
                    failures.append(f"{kernel}, {arch}: {e[what]} {what}, but none in the table")
                elif what in e and e[what] > MARGIN * int(row[what]):
                    failures.append(f"{kernel}, {arch}: {e[what]} {what}, at most a tenth above {row[what]} expected")
    for (kernel, arch), e in sorted(found.items()):
        for what, goal in GOALS.items() if THREAD_CORESET.match(kernel) else ():
            if e.get(what, 0) > goal:
                print(f"{kernel}, {arch}: {e[what]} {what}, the goal is {goal}")
    for failure in failures:
        print(failure)
    print(f"{len(found)} kernels, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
