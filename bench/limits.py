#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the kernels of the reference workloads can reach at most on an H100 SXM, from what they were compiled to.

    limits.py [--table <csv>] [--iterations <csv or json>] [--cuobjdump <path> <object>…] [--json]

Registers come from the budgets' table. Instructions of an outer iteration, of one warp, and how many of them load or
store, come from the disassembly of the objects; without it the instructions alone from --iterations (columns `kernel`
and `iteration`, or a JSON object), or the table's column `iteration`. In the disassembly the loops decide
(tests/budgets/loops.py):

    constant extents    the shortest way through an outer iteration, with the steps of the inner descent, T = 10, in the
                        loops that make them
    extents of run time the tightest loop of a matrix-vector product tells what a multiply-add costs; the products of an
                        iteration then tell the rest. What is no product is left out: the limit is one from above

A limit is that of the resource which runs out first. The model of the chip:

    issue    132 multiprocessors × 4 schedulers × one instruction of a warp per clock
    loads    132 × one load or store of a warp per clock: 128 bytes, or fewer where all lanes read the same
    HBM      what a problem is loaded from and stored to, once per solve

at 1.98 GHz, the clock that the chip boosts to; under load it may be lower, by as much as the whole is. Occupancy is what
registers, shared memory and threads leave: warps of a multiprocessor, of 64. It is no limit by itself, but a few warps
hide no latency.
"""
import argparse
import csv
import json
import os
import re
import sys
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
BUDGETS = os.path.join(HERE, os.pardir, "tests", "budgets")
sys.dont_write_bytecode = True
sys.path.insert(0, BUDGETS)

INNER_STEPS = 10


@dataclass
class Chip:
    name: str = "H100 SXM"
    multiprocessors: int = 132
    clock: float = 1.98e9
    schedulers: int = 4
    hbm_bytes_per_second: float = 3.35e12
    registers: int = 65536  # of a multiprocessor, as the next ones
    shared_bytes: int = 233472
    warps: int = 64
    blocks: int = 32
    register_unit: int = 256  # registers are given to warps in such pieces
    shared_per_block: int = 1024  # that the system takes beside a block's own


@dataclass
class Workload:
    name: str
    kernel: str  # in the budgets' table
    threads: int  # of a block
    lanes: int  # of a problem
    shared_bytes: int  # of a block: cuda_plan::shared_bytes
    steps: int  # K
    data_bytes: int  # of a problem, with v, θ and results
    limit: str  # that the goals were made with, computed for a candidate of the kernel
    goal: str
    fma_per_step: int = 0  # of one lane, in a step of the inner descent; 0: see `products`
    products: tuple = ()  # (rows, columns, times) of an iteration


def quadratic_products(n):
    # H in each step of the descent, H and C for the gap, C for the preparation, P for f
    return ((n, n, INNER_STEPS + 4),)


WORKLOADS = [
    Workload("(a) coreset 4x2", "coreset float thread 1 plain 4x2", 128, 1, 0, 5000, 64, "47 M", "26 M",
             fma_per_step=4),
    Workload("(b) coreset 64x16", "coreset float tile 8 plain 64x16", 128, 8, 75776, 5000, 4800, "1.55 M", "0.8 M",
             fma_per_step=2),
    Workload("(c) quadratic 8", "quadratic float tile 4 plain 8x8", 128, 4, 40960, 1000, 770, "22 M", "11 M",
             fma_per_step=16),
    Workload("(c) quadratic 16", "quadratic float tile 8 plain 16x16", 128, 8, 73728, 1000, 2570, "6.4 M", "3.2 M",
             fma_per_step=32),
    Workload("(c) quadratic 32", "quadratic float tile 32 plain 32x32", 128, 32, 69632, 1000, 9200, "1.5 M", "0.75 M",
             fma_per_step=32),
    Workload("(c) quadratic 100", "quadratic float block 128 plain nxn", 128, 128, 87792, 1000, 83000, "52-63 k",
             "35 k", products=quadratic_products(100)),
    Workload("(d) logistic 256x32", "linear_model float block 128 plain nxnxn", 128, 128, 78016, 1000, 68000, "101 k",
             "45 k",
             # the margins and the gradient of each step; of the gap, at both ends; of the validation samples
             products=((256, 32, INNER_STEPS + 2), (32, 256, INNER_STEPS + 1))),
]


def occupancy(chip, workload, registers):
    """(warps, blocks) of a multiprocessor."""
    warps = workload.threads // 32
    of_warp = -(-registers * 32 // chip.register_unit) * chip.register_unit
    blocks = min(chip.blocks, chip.warps // warps, chip.registers // (of_warp * warps),
                 chip.shared_bytes // (workload.shared_bytes + chip.shared_per_block))
    return warps * blocks, blocks


def iteration_loop(kernel, loops):
    """The loop over outer iterations: the largest one inside the loop over problems."""
    if len(kernel.loops) != 1 or not kernel.loops[0].children:
        raise loops.Unreadable("no loop over outer iterations inside a loop over problems")
    return max(kernel.loops[0].children, key=lambda loop: len(kernel.instructions_of(loop)))


def fmas(instructions):
    return sum(i.base == "FFMA" for i in instructions)


def accesses(instructions):
    return sum(i.base in ("LD", "LDG", "LDS", "ST", "STG", "STS") for i in instructions)


def by_trips(kernel, loops, fma_per_step):
    """(instructions, loads and stores) of an iteration where the descent is in loops over constant extents."""
    outer = iteration_loop(kernel, loops)
    descents = []
    for loop in outer.children:
        body = kernel.instructions_of(loop)
        if steps := round(fmas(body) / fma_per_step):
            descents.append((steps, len(body), loop.header))
    if not descents:
        raise loops.Unreadable("no loop of the inner descent")
    # The first step stands before the loops. Longer trips first; of two loops of as many steps the shorter one, for the
    # other is the one for more steps than an int counts.
    left, trips, per_step = INNER_STEPS - 1, {}, (0.0, 0.0)
    inside = {loop.header: loop for loop in outer.children}
    for steps, length, header in sorted(descents, key=lambda d: (-d[0], d[1])):
        trips[header], left = divmod(left, steps)
        per_step = length / steps, accesses(kernel.instructions_of(inside[header])) / steps
    length, path = kernel.shortest_trip(outer, trips)
    loads = sum(trips[b] * accesses(kernel.instructions_of(inside[b])) if trips.get(b) else accesses(kernel.blocks[b])
                for b in path)
    # What is left over runs through code behind the loops, which the shortest way passes by.
    return length + left * per_step[0], loads + left * per_step[1]


def by_products(kernel, loops, products):
    """(instructions, loads and stores) of an iteration, of all warps of a problem, where a loop multiplies a row."""
    outer = iteration_loop(kernel, loops)
    costs = []

    def visit(loop):
        for child in loop.children:
            body = kernel.instructions_of(child)
            # A row times a vector: a load for each multiply-add and some for the vector, and nothing else to speak of.
            if not child.children and fmas(body) >= 4:
                if accesses(body) > fmas(body):
                    costs.append((len(body) / fmas(body), accesses(body) / fmas(body)))
            visit(child)

    visit(outer)
    if not costs:
        raise loops.Unreadable("no loop that multiplies a row")
    warp_steps = sum(-(-rows // 32) * columns * times for rows, columns, times in products)
    return tuple(cost * warp_steps for cost in min(costs))


def disassemble(cuobjdump, objects, workloads):
    """kernel: (instructions, loads and stores) of an iteration; and why there are none for some."""
    try:
        import budgets
        import loops
    except ImportError as what:
        return {}, [f"not counted: {what.name} is missing"]
    found, notes = {}, []
    wanted = {w.kernel: w for w in workloads}
    for path in objects:
        lines, symbol = {}, None
        for line in budgets.tool(cuobjdump, "-sass", path).splitlines():
            if match := re.match(r"\s*Function : (\w+)", line):
                symbol = match[1]
                lines[symbol] = []
            elif symbol:
                lines[symbol].append(line)
        if not lines:
            continue
        for symbol, name in budgets.readable_names(sorted(lines)).items():
            if (workload := wanted.get(name)) is None:
                continue
            try:
                kernel = loops.read(lines[symbol])
                found[name] = (by_products(kernel, loops, workload.products) if workload.products
                               else by_trips(kernel, loops, workload.fma_per_step))
            except loops.Unreadable as what:
                notes.append(f"{name}: not counted: {what}")
    return found, notes


def read_iterations(path):
    with open(path, newline="", encoding="utf-8") as file:
        if path.endswith(".json"):
            return {name: (float(n), None) for name, n in json.load(file).items()}
        return {row["kernel"]: (float(row["iteration"]), None) for row in csv.DictReader(file) if row.get("iteration")}


def limits_of(chip, workload, iteration, loads):
    """Solves per second by resource."""
    # Counted are all warps of a problem, or all problems of a warp.
    problems = 1 if workload.products else 32 / workload.lanes
    per_second = chip.multiprocessors * chip.clock * problems / workload.steps
    result = {"HBM": chip.hbm_bytes_per_second / workload.data_bytes}
    if iteration:
        result["issue"] = chip.schedulers * per_second / iteration
    if loads:
        result["loads"] = per_second / loads
    return result


def readable(rate):
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.3g} {unit}"
    return f"{rate:.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default=os.path.join(BUDGETS, "budgets.csv"))
    parser.add_argument("--architecture", default="sm_90")
    parser.add_argument("--iterations")
    parser.add_argument("--cuobjdump")
    parser.add_argument("--json", action="store_true", help="one object per line instead of a table")
    parser.add_argument("objects", nargs="*")
    options = parser.parse_args()

    with open(options.table, newline="", encoding="utf-8") as file:
        table = {row["kernel"]: row for row in csv.DictReader(file) if row["architecture"] == options.architecture}
    iterations = {name: (float(row["iteration"]), None) for name, row in table.items() if row.get("iteration")}
    if options.iterations:
        iterations.update(read_iterations(options.iterations))
    notes = []
    if options.cuobjdump and os.path.exists(options.cuobjdump):
        counted, notes = disassemble(options.cuobjdump, options.objects, WORKLOADS)
        iterations.update(counted)
    elif options.cuobjdump:
        notes.append(f"not counted: there is no {options.cuobjdump}")

    chip = Chip()
    rows = []
    for w in WORKLOADS:
        if w.kernel not in table:
            sys.exit(f"limits.py: {options.table} has no '{w.kernel}' for {options.architecture}")
        registers = int(table[w.kernel]["registers"])
        warps, blocks = occupancy(chip, w, registers)
        iteration, loads = iterations.get(w.kernel, (None, None))
        limits = limits_of(chip, w, iteration, loads)
        binding = min(limits, key=limits.get)
        rows.append({"workload": w.name, "kernel": w.kernel, "registers": registers, "shared_bytes": w.shared_bytes,
                     "blocks": blocks, "warps": warps, "iteration": round(iteration) if iteration else None,
                     "loads": round(loads) if loads is not None else None, "limits": limits,
                     "binding": binding, "candidate": w.limit, "goal": w.goal})
    if options.json:
        for row in rows:
            print(json.dumps(row))
    else:
        print(f"{chip.name}: {chip.multiprocessors} multiprocessors at {chip.clock / 1e9:g} GHz; solves per second\n")
        layout = "{:<20} {:>5} {:>7} {:>11} {:>10} {:>7} {:>9}  {:<6} {:>12} {:>7}"
        print(layout.format("workload", "regs", "shared", "blocks", "iteration", "loads", "limit", "by",
                            "candidate's", "goal"))
        for row in rows:
            # Without its instructions nothing is known of a kernel's most likely limit.
            is_known = row["iteration"] is not None
            print(layout.format(row["workload"], row["registers"], row["shared_bytes"],
                                f"{row['blocks']} ({row['warps']}/64)", row["iteration"] if is_known else "-",
                                "-" if row["loads"] is None else row["loads"],
                                readable(row["limits"][row["binding"]]) if is_known else "-",
                                row["binding"] if is_known else "-", row["candidate"], row["goal"]))
    for note in notes:
        print(note, file=sys.stderr if options.json else sys.stdout)


if __name__ == "__main__":
    main()
