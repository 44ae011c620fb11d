# SPDX-License-Identifier: Apache-2.0
"""Plants the bugs of bugs.py, one at a time, in a copy of the source tree, and says which tests turn red.

The copy is built once as it is: for baseline only, hardly optimised, without the variants for constant extents. For
each bug one object is compiled again and linked with the clean rest. Ends with 1 if a bug survives.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bugs import BUGS

ROOT = Path(__file__).resolve().parents[2]
TEST_TIMEOUT_S = 300

# Constant extents are compiled for speed; what a bug does shows without them.
REDUCTIONS = [
    ("host/cpu/coreset.cpp", r"CUBOME_DEFINE_CPU_FAMILY\(coreset,[^)]*\)", "CUBOME_DEFINE_CPU_FAMILY(coreset)"),
    ("host/cpu/quadratic.cpp", r"CUBOME_DEFINE_CPU_FAMILY\(quadratic,[^)]*\)", "CUBOME_DEFINE_CPU_FAMILY(quadratic)"),
]


def die(message):
    print(f"planted_bugs: {message}", file=sys.stderr)
    sys.exit(2)


def run_command(command, directory):
    result = subprocess.run(command, cwd=directory, shell=isinstance(command, str), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        die(f"failed: {command}\n{result.stdout[-4000:]}")
    return result.stdout


def replace_once(text, bug):
    count = text.count(bug.old)
    if count != 1:
        die(f"'{bug.name}': its text occurs {count} times in {bug.file}, expected once:\n{bug.old}")
    return text.replace(bug.old, bug.new)


def check_matches(source):
    for bug in BUGS:
        replace_once((source / bug.file).read_text(), bug)


def copy_tree(source):
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns("build", "build-*", ".git"))
    for file, pattern, new in REDUCTIONS:
        text, count = re.subn(pattern, new, (source / file).read_text())
        if count != 1:
            die(f"{file}: '{pattern}' occurs {count} times, expected once")
        text = re.sub(r"namespace \{.*\}  // namespace\n", "", text, flags=re.S)  # what only they used
        (source / file).write_text(text)


class Build:
    """The copy's build folder, and the commands that ninja has for its files."""

    def __init__(self, folder, jobs):
        self.source = folder / "source"
        self.folder = folder / "build"
        self.mutated = folder / "mutated"
        self.mutated.mkdir()
        self.jobs = jobs
        self.commands = {}

    def configure(self):
        run_command(["cmake", "-S", str(self.source), "-B", str(self.folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=None",
                     "-DCMAKE_CXX_FLAGS=-O1 -w", "-DCUBOME_CPU_ISAS=baseline", "-DCUBOME_CUDA=OFF",
                     "-DCUBOME_EXAMPLES=OFF", "-DCUBOME_BENCH=OFF", "-DCUBOME_TESTS=ON", "-DBUILD_TESTING=ON"],
                    self.source)

    def build(self, program):
        run_command(["cmake", "--build", str(self.folder), "--target", program, "-j", str(self.jobs)], self.source)

    def executable(self, program):
        return self.folder / "tests" / program

    def command_for(self, program, ending):
        """The one command behind `program` whose -o ends so."""
        if program not in self.commands:
            self.commands[program] = run_command(["ninja", "-t", "commands", f"tests/{program}"],
                                                 self.folder).splitlines()
        found = [c for c in self.commands[program] if re.search(r"-o \S*" + re.escape(ending) + r"(\s|$)", c)]
        if len(found) != 1:
            die(f"{len(found)} commands make '{ending}' for {program}, expected one")
        return found[0]

    def planted(self, bug):
        """Compiles what the bug changes and links it with the rest; an executable, or None if it does not compile."""
        if bug.unit:
            folder = "" if "/" in bug.unit else "cubome_cpu_double_baseline.dir/"
            ending = f"{folder}{bug.unit}.cpp.o"
        else:
            ending = f"{bug.program}.dir/{bug.program}.cpp.o"
        compiling = self.command_for(bug.program, ending)
        clean = re.search(r"-o (\S*" + re.escape(ending) + ")", compiling).group(1)
        changed = self.mutated / "changed.o"
        compiling = re.sub(r"-MF \S+", f"-MF {self.mutated}/changed.d", compiling)
        compiling = compiling.replace(f"-o {clean}", f"-o {changed}")
        compiled = subprocess.run(compiling, cwd=self.folder, shell=True, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
        if compiled.returncode != 0:
            die(f"'{bug.name}' does not compile:\n{compiled.stdout[-4000:]}")

        linking = self.command_for(bug.program, f"tests/{bug.program}")
        target = self.mutated / bug.program
        linking = linking.replace(f"-o tests/{bug.program}", f"-o {target}")
        own = f"tests/CMakeFiles/{bug.program}.dir/{bug.program}.cpp.o"
        # A family's changed object stands before the archive, which then has nothing to add for it.
        linking = linking.replace(own, f"{changed} {own}" if bug.unit else str(changed))
        run_command(linking, self.folder)
        return target


def red_tests(executable, tests):
    """Which tests fail, end the program or hang, and how many ran."""
    environment = dict(os.environ, CUBOME_INSTRUCTION_SET="baseline")
    try:
        result = subprocess.run([executable, f"--gtest_filter={tests}"], text=True, env=environment, errors="replace",
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TEST_TIMEOUT_S)
        output, ended = result.stdout, result.returncode
    except subprocess.TimeoutExpired as timeout:
        output, ended = (timeout.stdout or b"").decode(errors="replace"), None
    started = re.findall(r"^\[ RUN      \] (\S+)", output, flags=re.M)
    failed = re.findall(r"^\[  FAILED  \] ([^\s,]+).* \(\d+ ms\)$", output, flags=re.M)
    passed = re.findall(r"^\[       OK \] (\S+)", output, flags=re.M)
    unfinished = [t for t in started if t not in failed and t not in passed]
    how = "hung" if ended is None else "ended the program"
    return [*failed, *(f"{t} ({how})" for t in unfinished)], len(started)


def parse_arguments():
    kinds = list(dict.fromkeys(bug.kind for bug in BUGS))
    parser = argparse.ArgumentParser(prog="planted_bugs.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", action="append", choices=kinds, help="only these bugs; may be repeated")
    parser.add_argument("--list", action="store_true", help="list the bugs, check that each can be planted, and stop")
    parser.add_argument("--jobs", type=int, default=1, help="compiler processes at a time for the clean build")
    parser.add_argument("--folder", type=Path, help="keep the copy and its build here, and use what is there already")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    check_matches(ROOT)
    if arguments.list:
        for bug in BUGS:
            print(f"{bug.kind:15} {bug.name}: {bug.program} {bug.tests}")
        return 0
    bugs = [bug for bug in BUGS if not arguments.kind or bug.kind in arguments.kind]
    with tempfile.TemporaryDirectory(prefix="cubome-planted-") as temporary:
        folder = arguments.folder.resolve() if arguments.folder else Path(temporary)
        shutil.rmtree(folder / "mutated", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        return plant_all(bugs, Build(folder, arguments.jobs))


def plant_all(bugs, build):
    if not build.source.exists():
        copy_tree(build.source)
    check_matches(build.source)
    build.configure()
    for program in dict.fromkeys(bug.program for bug in bugs):
        start = time.monotonic()
        build.build(program)
        tests = ":".join(dict.fromkeys(bug.tests for bug in bugs if bug.program == program))
        red, count = red_tests(build.executable(program), tests)
        if red or count == 0:
            die(f"{program} without a bug: {count} tests, red: {', '.join(red) or 'none'}")
        print(f"without a bug {program}: {count} tests green, {time.monotonic() - start:.0f} s", flush=True)

    survivors = 0
    for bug in bugs:
        start = time.monotonic()
        file = build.source / bug.file
        clean, before = file.read_text(), file.stat()
        try:
            file.write_text(replace_once(clean, bug))
            executable = build.planted(bug)
        finally:
            file.write_text(clean)
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        red, count = red_tests(executable, bug.tests)
        survivors += not red
        print(f"{'red' if red else 'SURVIVES':9}{bug.kind}: {bug.name} ({time.monotonic() - start:.0f} s)")
        for name in red or [f"{count} tests green: {bug.program} {bug.tests}"]:
            print(f"             {name}")
        sys.stdout.flush()
    print(f"{len(bugs)} bugs, {survivors} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
