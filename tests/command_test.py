#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command `cubome` from outside: what it prints and returns, and that nothing is lost when it is killed.

    command_test.py <cubome> <folder to work in> [number of kills]
"""

import csv
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

PROGRAM, WORK = sys.argv[1], os.path.abspath(sys.argv[2])
NUM_KILLS = int(sys.argv[3]) if len(sys.argv) > 3 else 300

SPEC = {
    "cubome_sweep": 1,
    "name": "small",
    "seed": 7,
    "problem": {"source": "random_quadratics", "dim": {"list": [3, 8]}},
    "settings": {"outer_steps": 40, "eta": {"list": [0.1, 0.5]}},
    "replicates": {"draw": 60},
    "keep": ["refined", "suboptimality", "variables"],
    "trace_interval": 10,
}
SHOWN = ["--instructions", "baseline"]


def path(name):
    return os.path.join(WORK, name)


def write_spec(name, spec):
    with open(path(name), "w", encoding="utf-8") as file:
        json.dump(spec, file, indent=2)
    return path(name)


def run(*arguments, **options):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False, **options)


def check(condition, *what):
    if not condition:
        print("FAILED:", *what, flush=True)
        sys.exit(1)


def expect(result, code, *words):
    check(result.returncode == code, result.args, "returned", result.returncode, "for", code, result.stdout, result.stderr)
    for word in words:
        check(word in result.stdout + result.stderr, result.args, "does not say", repr(word), result.stdout, result.stderr)
    if code in (1, 2) and result.stderr:
        check("cubome: " in result.stderr or result.stderr.startswith("--"), "no name before", result.stderr)
    return result


def contents(folder):
    """What a complete folder holds, without the lock."""
    result = {}
    for name in sorted(os.listdir(folder)):
        if name in ("lock", "report.html"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            result[name] = file.read()
    return result


def fresh(name):
    shutil.rmtree(path(name), ignore_errors=True)
    return path(name)


def sweep(spec, name, *more):
    folder = fresh(name)
    expect(run("sweep", spec, "--out", folder, *SHOWN, *more), 0, "in " + folder)
    return folder


def finish(folder):
    expect(run("resume", folder), 0)


def same(folder, whole, what):
    found = contents(folder)
    check(sorted(found) == sorted(whole), what, "left", sorted(found))
    for name, data in whole.items():
        check(found[name] == data, what, "ended with other bytes in", name)


def test_words(spec):
    for name in ([], ["sweep"], ["resume"], ["report"], ["export"], ["solve"], ["devices"], ["problems"]):
        expect(run(*name, "--help"), 0, "Usage")
    expect(run("--version"), 0, "cubome 0.")
    expect(run(), 2)
    expect(run("swep"), 2)
    expect(run("sweep", spec), 2, "--out")
    expect(run("sweep", path("none.json"), "--out", fresh("x")), 1, "none.json")
    expect(run("devices"), 0, "baseline")
    for line in expect(run("devices", "--json"), 0).stdout.splitlines():
        json.loads(line)
    expect(run("problems"), 0, "random_quadratics", "flip_rate")
    for line in expect(run("problems", "--json"), 0).stdout.splitlines():
        json.loads(line)
    wrong = write_spec("wrong.json", {**SPEC, "settings": {"etta": 1}})
    expect(run("sweep", wrong, "--out", fresh("x")), 2, "wrong.json:", "settings.etta", "did you mean 'eta'")
    wrong = write_spec("wrong.json", {**SPEC, "settings": {"outer_step_size": 0.1}})
    expect(run("sweep", wrong, "--out", fresh("x")), 2, "wrong.json:", "settings.outer_step_size")
    check(not os.path.exists(path("x")), "a refused spec made a folder")
    expect(run("sweep", spec, "--out", fresh("x"), "--dry-run"), 0, "240 problems in 2 batches",
           "1 device, ", "chunks of 64 problems at most", "of memory at most")
    plan = json.loads(expect(run("sweep", spec, "--dry-run", "--json", "--chunk", "7", "--threads", "3"), 0).stdout)
    check([plan[k] for k in ("problems", "devices", "queues", "problems_per_chunk", "chunks")] == [240, 1, 3, 7, 36],
          "--dry-run --json printed", plan)
    large = write_spec("large.json", {**SPEC, "settings": {"outer_steps": 100000}, "trace_interval": 1})
    for command in ([], ["--dry-run"]):
        expect(run("sweep", large, "--out", fresh("x"), "--memory", "0.001", *command), 2, "large.json", "--memory")
        check(not os.path.exists(path("x")), "a sweep without memory made a folder")
    check(not os.path.exists(path("x")), "--dry-run made a folder")
    rows = list(csv.DictReader(expect(run("solve", spec, *SHOWN), 0).stdout.splitlines()))
    check(len(rows) == 240, "solve printed", len(rows), "rows")
    expect(run("resume", path("x")), 1, "manifest.json")


def test_exits(spec):
    failing = write_spec("failing.json", {**SPEC, "problem": {"source": "random_quadratics", "spread": 0},
                                          "settings": {"outer_steps": 200, "steps": "fixed",
                                                       "outer_step_size": 1e6, "inner_step_size": 1e6,
                                                       "descent_step_size": 1e6}})
    expect(run("sweep", failing, "--out", fresh("x"), "--fail-on", "none"), 0, "non_finite")
    expect(run("sweep", failing, "--out", fresh("x"), "--fail-on", "any"), 3)
    expect(run("sweep", failing, "--out", fresh("x"), "--fail-on", "all"), 3)
    expect(run("report", path("x")), 0, "step_rule::automatic")
    expect(run("sweep", spec, "--out", fresh("x"), "--fail-on", "any"), 0)
    expect(run("sweep", spec, "--out", path("x")), 2, "resume")
    for line in expect(run("sweep", spec, "--out", fresh("x"), "--json"), 0).stdout.splitlines():
        json.loads(line)


def test_cuts(spec, whole):
    for more in (["--threads", "1"], ["--chunk", "1"], ["--chunk", "7", "--threads", "2"], ["--memory", "0.001"]):
        same(sweep(spec, "cut", *more), whole, more)
    expect(run("export", path("cut"), "--out", path("whole.csv")), 0)
    for count in (2, 4):
        folders = [sweep(spec, f"shard{i}", "--shard", f"{i}/{count}") for i in range(count)]
        expect(run("export", *reversed(folders), "--out", path("shards.csv")), 0)
        with open(path("whole.csv"), encoding="utf-8") as a, open(path("shards.csv"), encoding="utf-8") as b:
            check(a.read() == b.read(), count, "shards export other rows")
    expect(run("report", path("shard0"), path("shard0")), 2, "too")
    few = write_spec("few.json", {**SPEC, "problem": {"source": "random_quadratics"}, "settings": {"outer_steps": 9},
                                  "replicates": {"draw": 2}})
    folders = [sweep(few, f"few{i}", "--shard", f"{i}/5") for i in range(5)]  # of which three have nothing
    expect(run("report", *folders, "--out", path("few.html")), 0, "report")
    expect(run("report", path("shard0"), "--out", path("part.html")), 0, "missing")
    expect(run("sweep", spec, "--out", fresh("x"), "--shard", "4/4"), 2)
    expect(run("export", path("cut"), "--npy", "--out", fresh("arrays")), 0, "arrays")
    check("suboptimality.npy" in os.listdir(path("arrays")), "no array of suboptimality")
    expect(run("report", path("cut")), 0, "report.html")
    with open(path("cut/report.html"), encoding="utf-8") as file:
        page = file.read()
    check("://" not in page.replace("http://www.w3.org/2000/svg", ""), "the page is not self-contained")


def test_growth(whole):
    """Another value in a grid and more replicates: what was solved is taken over, and the bytes are the same."""
    larger = write_spec("larger.json", {**SPEC, "settings": {"outer_steps": 40, "eta": {"list": [0.1, 0.3, 0.5]}},
                                        "replicates": {"draw": 70}})
    anew = contents(sweep(larger, "anew"))
    folder = fresh("grown")
    grown = expect(run("sweep", larger, "--out", folder, "--from", path("whole"), *SHOWN), 0, "240 problems are taken")
    check("420 problems in" in grown.stdout, grown.stdout)
    same(folder, anew, "a sweep that has grown")
    other = write_spec("other.json", {**SPEC, "trace_interval": 9})  # as many rows, of other iterations
    expect(run("sweep", other, "--out", fresh("x"), "--from", path("whole"), *SHOWN), 0, "0 problems are taken")
    other = write_spec("other.json", {**SPEC, "seed": 8})
    expect(run("sweep", other, "--out", fresh("x"), "--from", path("whole"), *SHOWN), 0, "0 problems are taken")
    same(path("whole"), whole, "the sweep that was taken from")


def test_damage(spec, whole):
    folder = sweep(spec, "damaged")
    log = os.path.join(folder, "results.log")
    size = os.path.getsize(log)
    for place in random.Random(3).sample(range(size), 25):
        with open(log, "r+b") as file:
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 0x10]))
        check(run("report", folder).returncode in (0, 1), "report of a damaged log")
        finish(folder)
        same(folder, whole, f"damage at {place}")
    with open(os.path.join(folder, "spec.json"), "r+", encoding="utf-8") as file:
        text = file.read().replace("0.5", "0.6")
        file.seek(0)
        file.write(text)
    expect(run("resume", folder), 2, "changed")
    folder = sweep(spec, "damaged")
    manifest = os.path.join(folder, "manifest.json")
    with open(manifest, encoding="utf-8") as file:
        about = json.load(file)
    about["build"] = "another"
    with open(manifest, "w", encoding="utf-8") as file:
        json.dump(about, file)
    expect(run("resume", folder), 2, "another build")


def begin(arguments, limit=None):
    def starve():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=starve if limit else None)


def test_full_disk(spec, whole):
    folder = fresh("full")
    size = len(whole["results.log"])
    for share in (0.001, 0.2, 0.5, 0.9):
        limit = max(1, int(share * size))
        arguments = ["sweep", spec, "--out", folder, *SHOWN, "--chunk", "8"]
        if os.path.exists(os.path.join(folder, "manifest.json")):
            arguments = ["resume", folder, "--chunk", "8"]
        process = begin(arguments, limit)
        _, errors = process.communicate(timeout=60)
        check(process.returncode == 1 and "File too large" in errors and folder in errors, share, errors)
    finish(folder) if os.path.exists(os.path.join(folder, "manifest.json")) else sweep(spec, "full")
    same(folder, whole, "a full disk")


def test_second_runner():
    longest = write_spec("longest.json", {**SPEC, "settings": {"outer_steps": 1000000}})
    folder = fresh("busy")
    process = begin(["sweep", longest, "--out", folder, *SHOWN])
    while not os.path.exists(os.path.join(folder, "results.log")):
        check(process.poll() is None, "the first run ended early")
        time.sleep(0.002)
    expect(run("resume", folder), 1, "another run is at work", str(process.pid))
    process.kill()
    process.wait()


def test_stops(big):
    whole = contents(sweep(big, "unstopped"))
    slowest = 0
    for delay in (0.02, 0.1, 0.3, 0.6):
        folder = fresh("stopped")
        process = begin(["sweep", big, "--out", folder, *SHOWN])
        while not os.path.exists(os.path.join(folder, "results.log")) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(delay)
        process.terminate()
        start = time.monotonic()
        output, _ = process.communicate(timeout=60)
        slowest = max(slowest, time.monotonic() - start)
        check(process.returncode in (0, 4), "SIGTERM:", process.returncode)
        if process.returncode == 4:
            check("resume" in output, "SIGTERM says", output)
        finish(folder)
        same(folder, whole, "SIGTERM")
    print(f"  SIGTERM: {slowest:.2f} s at most", flush=True)


def test_kills(spec, whole):
    """kill -9 at random times: in the first run, and in the runs that go on."""
    chance = random.Random(11)
    start = time.monotonic()
    run("sweep", spec, "--out", fresh("killed"), *SHOWN, "--chunk", "4")
    usual = time.monotonic() - start
    kills = folders = 0
    while kills < NUM_KILLS:
        folder = fresh("killed")
        folders += 1
        arguments = ["sweep", spec, "--out", folder, *SHOWN, "--chunk", "4"]
        for _ in range(40):
            process = begin(arguments)
            time.sleep(chance.uniform(0, 1.1 * usual))
            process.kill()
            process.communicate()
            if process.returncode == 0:
                break
            check(process.returncode == -signal.SIGKILL, "returned", process.returncode)
            kills += 1
            is_begun = os.path.exists(os.path.join(folder, "manifest.json"))
            arguments = ["resume", folder, "--chunk", "4"] if is_begun else arguments
        if os.path.exists(os.path.join(folder, "manifest.json")):
            finish(folder)
        else:
            expect(run(*arguments), 0)
        for name in os.listdir(folder):  # what a kill leaves of a file that was not there yet
            if name.endswith(".new"):
                os.remove(os.path.join(folder, name))
        same(folder, whole, f"kill {kills}")
    print(f"  {kills} kills in {folders} sweeps", flush=True)


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    spec = write_spec("small.json", SPEC)
    big = write_spec("big.json", {**SPEC, "replicates": {"draw": 400}, "settings": {"outer_steps": 600}})
    whole = contents(sweep(spec, "whole"))
    for test in (lambda: test_words(spec), lambda: test_exits(spec), lambda: test_cuts(spec, whole), lambda: test_growth(whole),
                 lambda: test_damage(spec, whole), lambda: test_full_disk(spec, whole),
                 lambda: test_second_runner(), lambda: test_stops(big), lambda: test_kills(spec, whole)):
        start = time.monotonic()
        name = test.__code__.co_names[0]
        test()
        print(f"{name}: passed, {time.monotonic() - start:.1f} s", flush=True)


main()
