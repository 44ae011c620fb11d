#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds what hyper_cleaning reaches, as means of three seeds, to what is known of it.

    check_lines.py <program> <folder for its files>

With the default training BOME has an accuracy of at least .828 and an F1 of at least .92, more than the model of noisy
labels and more than the filter; after 1,000 steps of training the lines are within .006 of those that come with the paper's
code. Takes some minutes. Exits with the program's own status where that fails, 3 for want of the data set.
"""
import csv
import subprocess
import sys
from pathlib import Path

PUBLISHED = {"noisy": 0.8171, "validation_only": 0.8238, "clean": 0.8447}
failures = []


def means(program, folder, name, *options):
    """(run: accuracy, run: F1), of the last measurement of each run."""
    table = folder / f"{name}.csv"
    command = [program, *options, "--seeds", "3", "--output", table, "--picture", folder / f"{name}.svg"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        print(*done.stderr.splitlines()[-5:], sep="\n", file=sys.stderr)
        sys.exit(done.returncode)
    last = {}
    with open(table, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            last[row["run"], row["seed"]] = row
    runs = {run for run, _ in last}
    mean = {}
    for column in ("test_accuracy", "f1"):
        for run in runs:
            values = [float(row[column] or "nan") for (r, _), row in last.items() if r == run]
            mean[run, column] = sum(values) / len(values)
    return {r: mean[r, "test_accuracy"] for r in runs}, {r: mean[r, "f1"] for r in runs}


def expect(what, holds):
    print(f"{'ok  ' if holds else 'FAIL'} {what}")
    if not holds:
        failures.append(what)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    accuracy, f1 = means(sys.argv[1], folder, "default")
    bome, noisy, filtered = accuracy["bome"], accuracy["noisy"], accuracy["filtered"]
    expect(f"BOME's accuracy {bome:.4f} >= .828", bome >= 0.828)
    expect(f"its F1 {f1['bome']:.3f} >= .92", f1["bome"] >= 0.92)
    expect(f"more than {noisy:.4f} of noisy labels and {filtered:.4f} of the filter", bome > max(noisy, filtered))
    expect(f"and than the filter's F1 {f1['filtered']:.3f}", f1["bome"] > f1["filtered"])
    accuracy, _ = means(sys.argv[1], folder, "longer", "--pretraining", "1000", "--steps", "1")
    for run, published in PUBLISHED.items():
        expect(f"{run}: {accuracy[run]:.4f} within .006 of {published}", abs(accuracy[run] - published) <= 0.006)
    sys.exit(1 if failures else 0)


main()
