#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of a run of bench/gpu.sh that one looks at first.

    headlines.py <folder with gpu_bench.json and peers.jsonl>

A file that is missing, or that a benchmark out of time left incomplete, is told, and is no failure.
"""
import json
import os
import sys


def read_benchmarks(path):
    """(workload, what, problems): counters."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        try:
            runs = json.loads(text)["benchmarks"]
        except ValueError:
            # Out of time in the middle: what was written up to there counts.
            runs = json.loads(text[:text.rindex("}", 0, text.rindex('"name"')) + 1] + "]}")["benchmarks"]
            print("the benchmarks did not come to their end")
    except (OSError, ValueError) as what:
        print(f"no benchmarks: {what}")
        return {}
    found = {}
    for run in runs:
        parts = run["name"].split("/")
        if run.get("error_occurred"):
            print(f"{run['name']}: {run.get('error_message', 'failed')}")
        elif parts[1] == "crossover":
            found[parts[0], "crossover", 0] = run
        else:
            found[parts[0], parts[1], int(parts[2])] = run
    return found


def read_peers(path):
    """(workload, problems): the fastest peer."""
    found = {}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                run = json.loads(line)
                if run["kind"] != "run":
                    continue
                key = run["workload"], run["problems"]
                if key not in found or (found[key]["problem_iterations_per_second"]
                                        < run["problem_iterations_per_second"]):
                    found[key] = run
    except (OSError, ValueError) as what:
        print(f"no peers: {what}")
    return found


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    runs = read_benchmarks(os.path.join(sys.argv[1], "gpu_bench.json"))
    peers = read_peers(os.path.join(sys.argv[1], "peers.jsonl"))
    layout = "{:<18} {:<8} {:>9} {:>14} {:>14} {:>9} {:>7}  {}"
    print(layout.format("workload", "what", "problems", "iterations/s", "solves/s", "of limit", "solved", "best peer"))
    for workload in dict.fromkeys(key[0] for key in runs):
        for what in ("kernel", "solve"):
            sizes = [n for w, k, n in runs if w == workload and k == what]
            if not sizes:
                continue
            best = max(sizes, key=lambda n: runs[workload, what, n]["solves_per_second"])
            for n in dict.fromkeys([size for size in (4096, best) if size in sizes]):
                run = runs[workload, what, n]
                peer = peers.get((workload, n))
                beside = ""
                if peer is not None:
                    ratio = run["problem_iterations_per_second"] / peer["problem_iterations_per_second"]
                    beside = f"{ratio:.3g} times {peer['peer']} {peer['variant']} on {peer['device']}"
                print(layout.format(workload, what, int(run["problems"]),
                                    f"{run['problem_iterations_per_second']:.3g}", f"{run['solves_per_second']:.3g}",
                                    f"{run['of_h100_limit']:.1%}", f"{run['solved']:.3g}", beside))
    for (workload, what, _), run in runs.items():
        if what == "crossover":
            smallest = int(run["smallest_batch"])
            print(f"{workload}: from {smallest} problems on the device has host arrays solved sooner than the CPU"
                  if smallest else f"{workload}: the CPU is faster up to the largest batch that was tried")


if __name__ == "__main__":
    main()
