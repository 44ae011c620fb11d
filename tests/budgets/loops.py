# SPDX-License-Identifier: Apache-2.0
"""The loops of a kernel, from its disassembly: blocks, back edges, nesting, and what one trip costs."""
import re
from dataclasses import dataclass, field

INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][\w.]*)\s*([^;]*);")
TARGET = re.compile(r"(0x[0-9a-f]+)\s*$")
PREDICATE_FIRST = re.compile(r"^!?U?P\w+\s*,")
STEP = 16  # bytes of an instruction, since compute capability 7.0


@dataclass
class Instruction:
    address: int
    predicate: str
    opcode: str
    operands: str

    @property
    def base(self):
        return self.opcode.split(".")[0]

    @property
    def target(self):
        match = TARGET.search(self.operands)
        return int(match[1], 16) if match else None

    @property
    def is_conditional(self):
        return bool(self.predicate and self.predicate != "@PT") or bool(PREDICATE_FIRST.match(self.operands))


@dataclass
class Loop:
    header: int
    blocks: set
    latches: set
    children: list = field(default_factory=list)


class Unreadable(Exception):
    """The control flow is not of the kinds that this reads."""


class Kernel:
    """Blocks and loops of one kernel's instructions. A call is an instruction like others: what it calls are the slow
    paths of divisions, which are no part of any loop here."""

    def __init__(self, instructions):
        self.instructions = {i.address: i for i in instructions}
        self._find_blocks()
        self._find_dominators()
        self._find_loops()

    def _next(self, instruction):
        """Where control may go from an instruction; none: it leaves the kernel or returns from a slow path."""
        after = instruction.address + STEP
        if instruction.base in ("BRA", "JMP"):
            if instruction.target is None:
                raise Unreadable(f"{instruction.opcode} {instruction.operands}")
            return [instruction.target] + ([after] if instruction.is_conditional else [])
        if instruction.base in ("BRX", "JMX"):
            raise Unreadable(instruction.opcode)
        if instruction.base in ("EXIT", "RET"):
            return [after] if instruction.is_conditional else []
        if instruction.base == "BSYNC":
            # Lanes meet where the barrier's BSSY says, mostly right behind.
            barrier = instruction.operands.strip()
            meeting = {i.target for i in self.instructions.values()
                       if i.base == "BSSY" and i.operands.split(",")[0].strip() == barrier}
            return [after] if after in meeting or not meeting else sorted(meeting)
        return [after]

    def _find_blocks(self):
        first = min(self.instructions)
        # Only what can be reached: behind the code there is padding, a branch to itself.
        reached, pending = set(), [first]
        while pending:
            address = pending.pop()
            if address in reached or address not in self.instructions:
                continue
            reached.add(address)
            pending += self._next(self.instructions[address])
        starts = {first}
        for address in reached:
            instruction = self.instructions[address]
            following = self._next(instruction)
            if following != [address + STEP]:
                starts |= set(following)
                starts.add(address + STEP)
        self.blocks, self.after = {}, {}
        current = None
        for address in sorted(reached):
            if address in starts or current is None or address - STEP not in reached:
                current = address
                self.blocks[current] = []
            self.blocks[current].append(self.instructions[address])
        for start, block in self.blocks.items():
            self.after[start] = [a for a in self._next(block[-1]) if a in self.blocks]
        self.entry = first

    def _find_dominators(self):
        before = {b: [] for b in self.blocks}
        for block, following in self.after.items():
            for b in following:
                before[b].append(block)
        self.before = before
        everything = set(self.blocks)
        self.dominators = {b: everything for b in self.blocks}
        self.dominators[self.entry] = {self.entry}
        changed = True
        while changed:
            changed = False
            for block in sorted(self.blocks):
                if block == self.entry:
                    continue
                of_all = set.intersection(*(self.dominators[b] for b in before[block])) if before[block] else set()
                found = of_all | {block}
                if found != self.dominators[block]:
                    self.dominators[block] = found
                    changed = True

    def _find_loops(self):
        loops = {}
        for block, following in self.after.items():
            for header in following:
                if header not in self.dominators[block]:
                    continue
                loop = loops.setdefault(header, Loop(header, {header}, set()))
                loop.latches.add(block)
                pending = [block]
                while pending:
                    b = pending.pop()
                    if b not in loop.blocks:
                        loop.blocks.add(b)
                        pending += self.before[b]
        self.loops = []
        ordered = sorted(loops.values(), key=lambda loop: len(loop.blocks))
        for n, loop in enumerate(ordered):
            parent = next((p for p in ordered[n + 1:] if loop.blocks < p.blocks), None)
            (parent.children if parent else self.loops).append(loop)

    def instructions_of(self, loop, without=()):
        """All instructions of a loop but those of the loops `without`."""
        left_out = set().union(*(w.blocks for w in without)) if without else set()
        return [i for b in sorted(loop.blocks - left_out) for i in self.blocks[b] if i.base != "NOP"]

    def shortest_trip(self, loop, trips):
        """The fewest instructions of one trip through a loop that makes, of each loop inside it, the trips given, and
        the addresses of its blocks. Other loops inside are passed as if they were none."""
        inside = [child for child in loop.children if trips.get(child.header, 0) > 0]
        closed = [child for child in loop.children if trips.get(child.header, 0) == 0]
        shut = set().union(*(c.blocks for c in closed)) if closed else set()
        of_block = {b: n for n, child in enumerate(inside) for b in child.blocks}

        def cost(block):
            return sum(i.base != "NOP" for i in self.blocks[block])

        def length_of(child):
            return self.shortest_trip(child, {})[0]

        best = {}
        pending = [(0, loop.header, frozenset(), (loop.header,))]
        results = []
        while pending:
            pending.sort(reverse=True, key=lambda p: p[0])
            spent, block, passed, path = pending.pop()
            if best.get((block, passed), float("inf")) <= spent:
                continue
            best[block, passed] = spent
            if block in of_block and of_block[block] not in passed:
                # All trips at once, then out by any edge that leaves it.
                child = inside[of_block[block]]
                spent += trips[child.header] * length_of(child)
                passed |= {of_block[block]}
                leaving = {a for b in child.blocks for a in self.after[b] if a not in child.blocks}
            else:
                spent += cost(block)
                leaving = set(self.after[block])
            for following in leaving:
                if following == loop.header:
                    if len(passed) == len(inside):
                        results.append((spent, path))
                elif following in loop.blocks and following not in shut:
                    if following in of_block and of_block[following] in passed:
                        continue
                    pending.append((spent, following, passed, path + (following,)))
        if not results:
            raise Unreadable(f"no way around the loop at {loop.header:#x}")
        return min(results)


def read(lines):
    """A kernel from the lines of `cuobjdump -sass`."""
    found = []
    for line in lines:
        match = INSTRUCTION.match(line)
        if match:
            found.append(Instruction(int(match[1], 16), match[2] or "", match[3], match[4]))
    return Kernel(found)


def describe(loops, indent=0):
    """The nesting, for messages."""
    return "".join(f"{'  ' * indent}{loop.header:#x}: {len(loop.blocks)} blocks\n" + describe(loop.children, indent + 1)
                   for loop in loops)
