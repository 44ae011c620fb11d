#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two reference workloads in JAX and PyTorch, batched: the same algorithm, inputs and precision as cubome_gpu_bench.

    peers.py [--batches 1,64,4096,65536] [--workloads coreset_4x2,quadratic_8,quadratic_32] [--seconds 1] [--rounds 4]
             [--check] [--out <file>]

Prints one JSON object per line. `kind` is `compile`: the seconds of the first call less those of a warm one; or `run`:
warm, best and median of the rounds, with `problem_iterations_per_second`; or `missing`: a framework that is not there.
JAX runs jit(vmap(scan)), the T steps of the inner descent as a loop (fori_loop) and unrolled; PyTorch runs one batched
operation after another, on CUDA where it can also as a graph. A sample takes about --seconds: the number of outer
iterations is chosen for it, at least 100. --check solves a few problems in double precision in plain Python, too, and
fails where a peer's f after 20 iterations is not the same.
"""
import argparse
import json
import math
import os
import statistics
import struct
import sys
import time

INNER_STEPS = 10
GAMMA = 0x9E3779B97F4A7C15
POINTS = [[1.0, 3.0], [3.0, 1.0], [-2.0, 2.0], [-3.0, -2.0]]
TARGET = [3.0, -2.0]
WORD = (1 << 64) - 1
FEWEST_STEPS = 100


# --- the inputs of bench/workloads.hpp

def as_float(x):
    """Rounded to single precision."""
    return struct.unpack("f", struct.pack("f", x))[0]


class Generator:
    """splitmix64, in single precision: every number has the bits of the C++ benchmark's."""

    def __init__(self, problem):
        self.state = ((problem & WORD) * 0x632BE59BD9B4E019 + 1) & WORD

    def uniform(self, low, high):
        self.state = (self.state + GAMMA) & WORD
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        z ^= z >> 31
        return as_float(low + as_float(as_float(as_float(high - low) * float(z >> 40)) * 2.0**-24))

    def normal(self):
        r = as_float(as_float(math.sqrt(3.0)) / 2)
        total = self.uniform(-r, r)
        for _ in range(3):
            total = as_float(total + self.uniform(-r, r))
        return total


def coreset_start(problem):
    random = Generator(problem)
    v = [random.uniform(-1, 1) for _ in range(4)]
    return {"v": v, "theta": [random.uniform(-3, 3) for _ in range(2)]}


def quadratic_problem(problem, n):
    """H by two reflections of a diagonal; sums in double precision, so that H may differ in its last bits."""
    random = Generator(problem)
    h = [[0.0] * n for _ in range(n)]
    for i in range(n):
        h[i][i] = as_float(30.0 ** (-i / (n - 1)))
    for _ in range(2):
        u = [random.normal() for _ in range(n)]
        norm = math.sqrt(sum(x * x for x in u))
        u = [x / norm for x in u]
        product = [sum(a * b for a, b in zip(row, u)) for row in h]
        form = sum(a * b for a, b in zip(u, product))
        h = [[as_float(h[i][j] + 4 * form * u[i] * u[j] - 2 * (u[i] * product[j] + product[i] * u[j]))
              for j in range(n)] for i in range(n)]
    scale = as_float(math.sqrt(n))
    c = [[as_float((1.0 if i == j else 0.0) + as_float(as_float(as_float(0.3) * random.normal()) / scale))
          for j in range(n)] for i in range(n)]
    b = [random.normal() for _ in range(n)]
    p = [random.normal() for _ in range(n)]
    random = Generator(~problem)
    v = [random.normal() for _ in range(n)]
    return {"H": h, "C": c, "b": b, "p": p, "v": v, "theta": [random.normal() for _ in range(n)]}


def inputs(workload, num_problems):
    """By name, each a list over problems; beyond the first problems they repeat, as in the C++ benchmark."""
    if workload == "coreset_4x2":
        problems = [coreset_start(i) for i in range(min(num_problems, 4096))]
    else:
        n = int(workload.split("_")[1])
        problems = [quadratic_problem(i, n) for i in range(min(num_problems, 256 if n > 8 else 1024))]
    return {name: [problem[name] for problem in problems] for name in problems[0]}


SETTINGS = {
    "coreset": {"xi": 0.05, "alpha": 0.05, "eta": 0.5, "epsilon": 1e-4},
    "quadratic": {"xi": 0.01, "alpha": 0.5, "eta": 0.5, "epsilon": 1e-8},
}


# --- the algorithm, in the words that both frameworks understand

class Coreset:
    """One problem: vectors, no batch."""

    def __init__(self, np, make, data):
        del data
        self.np, self.points, self.target = np, make(POINTS), make(TARGET)

    def prepare(self, v):
        e = self.np.exp(v - self.np.largest(v))
        w = e / self.np.total(e)
        return w, self.np.matmul(w, self.points)

    def inner_gradient(self, prepared, theta):
        return 2 * (theta - prepared[1])

    def gap_gradient(self, prepared, theta, end):
        """∇_v g at θ less that at θ⁽ᵀ⁾: with the mean m, ∂g/∂v_i = −2 w_i (x_i − m)ᵀ(θ − m)."""
        w, mean = prepared
        step = theta - end
        along = self.np.matmul(step, self.points.T)
        return -2 * w * (along - self.np.total(step * mean))

    def outer(self, theta):
        away = theta - self.target
        return 0.1 * self.np.total(away * away)[..., 0], 0.2 * away


class Quadratic:
    def __init__(self, np, make, data):
        del make
        self.np, self.data = np, data

    def times(self, matrix, x):
        return self.np.matmul(matrix, x[..., None])[..., 0]

    def prepare(self, v):
        return self.np.matmul(v[..., None, :], self.data["C"])[..., 0, :] + self.data["b"]

    def inner_gradient(self, prepared, theta):
        return self.times(self.data["H"], theta) + prepared

    def gap_gradient(self, prepared, theta, end):
        del prepared
        return self.times(self.data["C"], theta - end)

    def outer(self, theta):
        value = self.np.total(theta * (0.5 * theta + self.data["p"]))[..., 0]
        return value, theta + self.data["p"]


def iteration(np, problem, s, v, theta, descend):
    """One outer iteration of BOME with the gradient_norm barrier, where f depends on θ alone. descend(step, θ) makes all
    steps but the first."""
    prepared = problem.prepare(v)
    of_theta = problem.inner_gradient(prepared, theta)
    # The first step of the descent is the gradient that the gap needs as well.
    end = descend(lambda x: x - s["alpha"] * problem.inner_gradient(prepared, x), theta - s["alpha"] * of_theta)
    of_v = problem.gap_gradient(prepared, theta, end)
    f_theta = problem.outer(theta)[1]
    alignment = np.total(f_theta * of_theta)
    norm = np.total(of_v * of_v) + np.total(of_theta * of_theta)
    multiplier = np.at_least_zero(s["eta"] - alignment / (norm + s["epsilon"]))
    return v - s["xi"] * multiplier * of_v, theta - s["xi"] * (f_theta + multiplier * of_theta)


def kind_of(workload):
    return (Coreset, SETTINGS["coreset"]) if workload.startswith("coreset") else (Quadratic, SETTINGS["quadratic"])


# --- peers: each gives run(K) → f of all problems, finished

class Jax:
    name = "jax"

    def __init__(self):
        # Else it takes most of the device's memory at once, and leaves the next peer none.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        import jax
        import jax.numpy
        self.jax = jax
        self.version, self.device = jax.__version__, str(jax.devices()[0])
        # In full precision: elsewhere TF32 multiplies matrices of floats.
        jax.config.update("jax_default_matmul_precision", "highest")

        class Words:
            exp, matmul = jax.numpy.exp, jax.numpy.matmul

            @staticmethod
            def total(x):
                return jax.numpy.sum(x, -1, keepdims=True)

            @staticmethod
            def largest(x):
                return jax.numpy.max(x, -1, keepdims=True)

            @staticmethod
            def at_least_zero(x):
                return jax.numpy.maximum(x, 0)

        self.np = Words

    def variants(self):
        return ("looped", "unrolled")

    def make(self, workload, data, num_problems, variant):
        jax, jnp, np = self.jax, self.jax.numpy, self.np
        family, s = kind_of(workload)

        def descend(step, theta):
            if variant == "looped":
                return jax.lax.fori_loop(0, INNER_STEPS - 1, lambda _, x: step(x), theta)
            for _ in range(INNER_STEPS - 1):
                theta = step(theta)
            return theta

        # One compiled program makes so many iterations, probe and sample call it as often as it takes.
        chunk = FEWEST_STEPS

        def some(one):
            problem = family(np, lambda x: jnp.array(x, jnp.float32), one)

            def body(state, _):
                return iteration(np, problem, s, *state, descend), None

            (v, theta), _ = jax.lax.scan(body, (one["v"], one["theta"]), None, length=chunk)
            return v, theta, problem.outer(theta)[0]

        program = jax.jit(jax.vmap(some))
        there = {name: jnp.resize(jnp.array(x, jnp.float32), (num_problems,) + jnp.array(x[0]).shape)
                 for name, x in data.items()}

        def run(steps):
            now = dict(there)
            for _ in range(max(1, steps // chunk)):
                now["v"], now["theta"], value = program(now)
            return jax.block_until_ready(value)

        def values(steps):
            def exactly(one):
                problem = family(np, lambda x: jnp.array(x, jnp.float32), one)
                v, theta = one["v"], one["theta"]
                for _ in range(steps):
                    v, theta = iteration(np, problem, s, v, theta, descend)
                return problem.outer(theta)[0]
            return [float(x) for x in jax.vmap(exactly)(there)]

        return run, values


class Torch:
    name = "torch"

    def __init__(self):
        import torch
        self.torch = torch
        self.version = torch.__version__
        self.where = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.cuda.get_device_name() if self.where == "cuda" else "cpu"
        torch.backends.cuda.matmul.allow_tf32 = False

        class Words:
            exp, matmul = torch.exp, torch.matmul

            @staticmethod
            def total(x):
                return torch.sum(x, -1, keepdim=True)

            @staticmethod
            def largest(x):
                return torch.amax(x, -1, keepdim=True)

            @staticmethod
            def at_least_zero(x):
                return torch.clamp(x, min=0)

        self.np = Words

    def variants(self):
        # eager operations have no loop to unroll; captured, they leave nothing to the interpreter
        return ("unrolled", "graph") if self.where == "cuda" else ("unrolled",)

    def make(self, workload, data, num_problems, variant):
        torch, np = self.torch, self.np
        family, s = kind_of(workload)

        def tensor(x):
            return torch.tensor(x, dtype=torch.float32, device=self.where)

        there = {}
        for name, x in data.items():
            given = tensor(x)
            times = -(-num_problems // len(x))
            there[name] = given.repeat((times,) + (1,) * (given.dim() - 1))[:num_problems].contiguous()
        problem = family(np, tensor, there)

        def descend(step, theta):
            for _ in range(INNER_STEPS - 1):
                theta = step(theta)
            return theta

        def synchronize():
            if self.where == "cuda":
                torch.cuda.synchronize()

        @torch.no_grad()
        def eager(steps):
            v, theta = there["v"], there["theta"]
            for _ in range(steps):
                v, theta = iteration(np, problem, s, v, theta, descend)
            value = problem.outer(theta)[0]
            synchronize()
            return value

        def values(steps):
            return [float(x) for x in eager(steps)]

        if variant != "graph":
            return eager, values

        v, theta = there["v"].clone(), there["theta"].clone()
        captured = []

        @torch.no_grad()
        def replay(steps):
            if not captured:
                eager(3)  # what is made at first use must not be made while capturing
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    next_v, next_theta = iteration(np, problem, s, v, theta, descend)
                    v.copy_(next_v), theta.copy_(next_theta)
                captured.append(graph)
            v.copy_(there["v"]), theta.copy_(there["theta"])
            for _ in range(steps):
                captured[0].replay()
            value = problem.outer(theta)[0]
            synchronize()
            return value

        return replay, values


# --- plain Python in double precision, for --check

def reference(workload, data, i, steps):
    def dot(a, b):
        return sum(x * y for x, y in zip(a, b))

    _, s = kind_of(workload)
    v, theta = list(data["v"][i]), list(data["theta"][i])
    n = len(theta)
    for _ in range(steps):
        if workload.startswith("coreset"):
            e = [math.exp(x) for x in v]
            w = [x / sum(e) for x in e]
            mean = [dot(w, [x[j] for x in POINTS]) for j in range(n)]

            def gradient(x, mean=mean):
                return [2 * (a - b) for a, b in zip(x, mean)]

            def of_outer(x, w=w, mean=mean):
                away = [a - b for a, b in zip(x, mean)]
                return [-2 * w[k] * dot([a - b for a, b in zip(POINTS[k], mean)], away) for k in range(4)]

            f_theta = [0.2 * (a - b) for a, b in zip(theta, TARGET)]
        else:
            h, c = data["H"][i], data["C"][i]
            linear = [dot(v, [row[j] for row in c]) + data["b"][i][j] for j in range(n)]

            def gradient(x, h=h, linear=linear):
                return [dot(row, x) + a for row, a in zip(h, linear)]

            def of_outer(x, c=c):
                return [dot(row, x) for row in c]

            f_theta = [a + b for a, b in zip(theta, data["p"][i])]
        end = theta
        for _ in range(INNER_STEPS):
            end = [a - s["alpha"] * b for a, b in zip(end, gradient(end))]
        q_theta = gradient(theta)
        q_v = [a - b for a, b in zip(of_outer(theta), of_outer(end))]
        multiplier = max(0.0, s["eta"] - dot(f_theta, q_theta) / (dot(q_v, q_v) + dot(q_theta, q_theta) + s["epsilon"]))
        v = [a - s["xi"] * multiplier * b for a, b in zip(v, q_v)]
        theta = [a - s["xi"] * (b + multiplier * c) for a, b, c in zip(theta, f_theta, q_theta)]
    if workload.startswith("coreset"):
        away = [a - b for a, b in zip(theta, TARGET)]
        return 0.1 * dot(away, away)
    return 0.5 * dot(theta, theta) + dot(data["p"][i], theta)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="1,64,4096,65536")
    parser.add_argument("--workloads", default="coreset_4x2,quadratic_8,quadratic_32")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--out")
    options = parser.parse_args()
    out = open(options.out, "w", encoding="utf-8") if options.out else sys.stdout

    def tell(**what):
        print(json.dumps(what), file=out, flush=True)

    peers = []
    for peer in (Jax, Torch):
        try:
            peers.append(peer())
        except (ImportError, RuntimeError, OSError) as what:
            tell(kind="missing", peer=peer.name, reason=str(what).splitlines()[0] if str(what) else type(what).__name__)
            print(f"peers.py: {peer.name} is not used: {what}", file=sys.stderr)
    num_wrong = 0
    if not peers:
        return 0
    for workload in options.workloads.split(","):
        for num_problems in map(int, options.batches.split(",")):
            data = inputs(workload, num_problems)
            contestants = []
            for peer in peers:
                for variant in peer.variants():
                    run, values = peer.make(workload, data, num_problems, variant)
                    what = {"peer": peer.name, "version": peer.version, "device": peer.device, "workload": workload,
                            "variant": variant, "problems": num_problems}
                    if options.check:
                        steps, count = 20, min(4, num_problems)
                        expected = [reference(workload, data, i, steps) for i in range(count)]
                        found = values(steps)[:count]
                        is_right = all(abs(a - b) <= 1e-4 * max(1.0, abs(b)) for a, b in zip(found, expected))
                        num_wrong += not is_right
                        tell(kind="check", is_right=is_right, found=found, expected=expected, **what)
                    times = []
                    for _ in range(3):
                        begin = time.perf_counter()
                        run(FEWEST_STEPS)
                        times.append(time.perf_counter() - begin)
                    tell(kind="compile", seconds=max(0.0, times[0] - times[-1]), **what)
                    steps = max(1, int(options.seconds / max(times[-1], 1e-9))) * FEWEST_STEPS
                    contestants.append((what, run, steps, []))
            # Interleaved: what slows the machine down slows all of them.
            for _ in range(options.rounds):
                for what, run, steps, seconds in contestants:
                    begin = time.perf_counter()
                    run(steps)
                    seconds.append(time.perf_counter() - begin)
            for what, _, steps, seconds in contestants:
                rates = [num_problems * steps / x for x in seconds]
                tell(kind="run", problem_iterations_per_second=max(rates), median=statistics.median(rates),
                     outer_steps=steps, **what)
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
