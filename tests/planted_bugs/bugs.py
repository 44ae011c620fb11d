# SPDX-License-Identifier: Apache-2.0
"""The bugs that the tests have to find: each is one change of one text, and the named tests that turn red for it.

`old` occurs exactly once in `file`. `unit` is what is compiled again: a family of host/cpu, in double, or an object by
its folder and name, which is then linked with `program` as it is; without one it is the program itself. Of `tests`, a GoogleTest filter, at least one has
to turn red. A change of the library's text that moves an `old` breaks this list loudly, which is its purpose.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    kind: str
    name: str
    file: str
    old: str
    new: str
    program: str
    tests: str
    unit: str = ""


SOLVE = "include/cubome/core/bome_solve.hpp"
DECISIONS = "include/cubome/core/decisions.hpp"
DESCENT = "include/cubome/core/inner_descent.hpp"
VALUE_GAP = "include/cubome/core/value_gap.hpp"
MULTIPLIER = "include/cubome/core/multiplier.hpp"
ARITHMETIC = "include/cubome/core/arithmetic.hpp"
PACK = "include/cubome/core/pack.hpp"
PROBLEM = "include/cubome/core/problem_solve.hpp"
CPU = "include/cubome/core/cpu_solve.hpp"
GROUP = "include/cubome/core/group.hpp"
VECTOR = "include/cubome/core/vector_group.hpp"
CORESET = "include/cubome/problems/coreset.hpp"
DEGENERATE = "include/cubome/problems/degenerate.hpp"
QUADRATIC = "include/cubome/problems/quadratic.hpp"
STAGES = "include/cubome/core/stages.hpp"
STAGED_CUDA = "host/staged/staged_cuda.cpp"
SOFTMAX_CUDA = "host/staged/softmax/softmax_cuda.cpp"
SOFTMAX_KERNELS = "kernels/softmax.cuh"

# The smallest family shows what the solver's text does wrong as well as any, and compiles soonest.
AGREES = "oracle_test/double.the_degenerate_lower_level_agrees"
CORESET_AGREES = "oracle_test/double.a_coreset_of_any_size_agrees"
TOLERANCES = "oracle_test/double.tolerances_end_a_solve_in_the_same_iteration"
TRACE = "oracle_test/double.the_trace_is_the_oracles"
BEST = "oracle_test/double.the_best_iterate_is_the_oracles"
PARTS = "oracle_test/double.a_solve_in_parts_follows_the_oracles_solve_in_one"


def solver(kind, name, file, old, new, tests=AGREES, unit="degenerate", program="oracle_test"):
    return Bug(kind, name, file, old, new, program, tests, unit)


def staged(name, old, new, tests):
    return Bug("staged", name, STAGES, old, new, "staged_test", tests, "cubome_stages_double_baseline.dir/stages")


def staged_plan(name, old, new, tests):
    return Bug("staged", name, STAGED_CUDA, old, new, "cuda_staged_test", tests, "cubome_staged.dir/staged_cuda")


def softmax(name, old, new, tests):
    return Bug("softmax", name, SOFTMAX_CUDA, old, new, "cuda_softmax_test", tests,
               "cubome_staged.dir/softmax/softmax_cuda")


def text(kind, name, file, old, new, program, tests):
    return Bug(kind, name, file, old, new, program, tests)


BUGS = [
    # --- transposed index or sign ---
    text("index_or_sign", "the coupling is read transposed", QUADRATIC,
         "fma(real(C.column(j, i)), real(shared_v[j]), sum)", "fma(real(C.column(i, j)), real(shared_v[j]), sum)",
         "gradients_test", "*Gradients.OfTheQuadratic*"),
    text("index_or_sign", "the softmax's centre is added", CORESET,
         "real(share[i]) * (sum - s[2])", "real(share[i]) * (sum + s[2])",
         "gradients_test", "*Gradients.OfTheCoreset*"),
    solver("index_or_sign", "v goes up", SOLVE,
           "fma(-outer_step, direction, real(w_.outer[i]))", "fma(outer_step, direction, real(w_.outer[i]))"),
    solver("index_or_sign", "the gap's gradient has the other sign", DEGENERATE,
           "gradient[i] = -difference;", "gradient[i] = difference;"),

    # --- stop-gradient ---
    solver("stop_gradient", "the gap's inner gradient is taken at the descended iterate", SOLVE,
           "        e.q = gap_gradient();",
           "        e.q = gap_gradient();\n        inner_gradient(w_.inner_gap_gradient);"),
    solver("stop_gradient", "the descended iterate has no part in the gap's gradient", DEGENERATE,
           "gradient[i] = -difference;", "gradient[i] = -real(theta[i]);"),
    text("stop_gradient", "the descended iterate follows the mean", CORESET,
         "difference[j] = real(scalar(-2)) * (real(theta[j]) - real(theta_t[j]));",
         "difference[j] = real(scalar(-2)) * (real(theta[j]) - real(mean[j]));",
         "gradients_test", "*Gradients.OfTheCoreset*"),

    # --- projection ---
    solver("projection", "the descent leaves the box", DESCENT,
           "w.has_box ? project(next, Real(w.inner_lower[i]), Real(w.inner_upper[i])) : next;", "next;"),
    solver("projection", "the descent leaves the box upwards", DESCENT,
           "project(next, Real(w.inner_lower[i]), Real(w.inner_upper[i]))", "max(next, Real(w.inner_lower[i]))"),
    solver("projection", "v leaves the box", SOLVE,
           "return project(next, real(w_.outer_lower[i]), real(w_.outer_upper[i]));", "return next;"),

    # --- momentum reset ---
    solver("momentum_reset", "the descent's momentum resets where it should persist, and the reverse", SOLVE,
           "const bool reset = o_.inner_momentum_reset;", "const bool reset = !o_.inner_momentum_reset;"),
    solver("momentum_reset", "the refinement starts with momentum", SOLVE,
           "{ w_.descent_velocity[i] = real(scalar(0)); }",
           "{ w_.descent_velocity[i] = real(w_.kept_descent_velocity[i]); }"),
    solver("momentum_reset", "the descent's momentum is never kept", SOLVE,
           "select(moved, real(w_.descent_velocity[i]), real(w_.kept_descent_velocity[i]))",
           "real(w_.kept_descent_velocity[i])"),

    # --- schedule off by one ---
    solver("schedule", "iterations are counted from 2", PROBLEM,
           "return start_[l] + step + 1;", "return start_[l] + step + 2;"),
    solver("schedule", "a continued solve starts its schedule anew", PROBLEM,
           "return start_[l] + step + 1;", "return step + 1;", PARTS),
    solver("schedule", "one update too many", SOLVE,
           "is_last = !is_started || step == o.outer_steps;", "is_last = !is_started || step > o.outer_steps;"),

    # --- λ for λ* ---
    solver("multiplier", "the update uses the best multiplier", SOLVE,
           "multiplier(o_.barrier, eta_, e.q.gap, e.sums.alignment, e.sums.gap_norm, real(p_.epsilon))",
           "best_multiplier(e.sums.alignment, e.sums.gap_norm)"),
    solver("multiplier", "stationarity uses the update's multiplier", SOLVE,
           "stationarity<is_full>(g_, w_, e.sums)",
           "max(fma(e.multiplier, e.sums.alignment, e.sums.value_norm), real(scalar(0)))"),
    text("multiplier", "the best multiplier divides by nothing", MULTIPLIER,
         "select(squared_norm == zero, zero, max(-alignment / squared_norm, zero))",
         "max(-alignment / squared_norm, zero)",
         "multiplier_test", "Multiplier/*.AtItsBestIsZeroWhereTheGapHasNoGradient"),

    # --- step rule ---
    solver("step_rule", "power iteration stays where it is", SOLVE,
           "select(lanes & found.is_found, change(i) * found.scale, real(x[i]))", "real(x[i])",
           "step_rule_test/double.reports_the_largest_curvatures_whatever_the_rule", "quadratic", "step_rule_test"),
    solver("step_rule", "an update follows a rejected descent", SOLVE,
           "const mask tried = goes_on & !e.is_rejected;", "const mask tried = goes_on;",
           "step_rule_test/double.doubles_a_curvature_that_the_descent_contradicts", "linear_model", "step_rule_test"),
    solver("step_rule", "the way that v has gone is forgotten", DECISIONS,
           "result.travelled = m.travelled + outer_direction_norm(e.sums, e.multiplier);",
           "result.travelled = outer_direction_norm(e.sums, e.multiplier);"),

    # --- report one step late ---
    solver("report", "the iterations of a report are one too many", SOLVE,
           "host.stopped(progress.active, step);\n        progress.active",
           "host.stopped(progress.active, step + 1);\n        progress.active"),
    solver("report", "the trace is late", SOLVE,
           "step % o.trace_interval == 0", "(step + 1) % o.trace_interval == 0", TRACE),
    solver("report", "the best iterate's number is one too many", SOLVE,
           "host.found_best(better, step);", "host.found_best(better, step + 1);", BEST),

    # --- pack tail ---
    solver("pack_tail", "the tail is not solved", CPU,
           "for (std::int64_t i = first; i < last; i += problems_at_once) {",
           "for (std::int64_t i = first; i + problems_at_once <= last; i += problems_at_once) {"),
    solver("pack_tail", "lanes without a problem are stored", PROBLEM,
           "for_each_problem(*this, [&](index l) { to[(first_ + l) * stride] = lanes[l]; });",
           "for (index l = 0; l < size; ++l) to[(first_ + l) * stride] = lanes[l];",
           "repeatability_test/double.batches_of_boundary_sizes_write_every_output_and_nothing_else", "coreset",
           "repeatability_test"),
    solver("pack_tail", "the last lane's iterations are not counted", PROBLEM,
           "if (mask[l]) iterations[l] =", "if (mask[l] && l + 1 < lanes_.count()) iterations[l] ="),

    # --- stride 0 ---
    solver("stride_0", "a shared array is not loaded", PROBLEM,
           "array.stride == 0 && !is_first &&", "array.stride == 0 &&", CORESET_AGREES, "coreset"),
    solver("stride_0", "an array per problem is read as a shared one", PROBLEM,
           "return array.data[p * array.stride + e];", "return array.data[e];", CORESET_AGREES, "coreset"),
    solver("stride_0", "settings per problem are read as shared ones", PROBLEM,
           "return x.data == nullptr ? x.value : x.data[p];", "return x.data == nullptr ? x.value : x.data[0 * p];"),

    # --- mask ---
    solver("mask", "problems that are over go on", SOLVE,
           "mask moved = active & is_outer_sound", "mask moved = is_outer_sound", TOLERANCES),
    solver("mask", "problems that are over go on in part", SOLVE,
           "w_.inner[i] = select(moved, inner_next(i, d), real(w_.inner[i]));",
           "w_.inner[i] = inner_next(i, d);", TOLERANCES),
    text("mask", "the upper vector of two takes the lower one's mask", PACK,
         "select(mask.high, a.high, b.high)", "select(mask.low, a.high, b.high)",
         "mathematics_test", "Mathematics/*.SelectTakesEachLaneFromItsOwnSide"),

    # --- tree order ---
    text("tree_order", "lanes are added one after another", VECTOR,
         "combine(tree_of<Count / 2>(lanes, combine), tree_of<Count / 2>(lanes + Count / 2, combine))",
         "combine(tree_of<Count - 1>(lanes, combine), lanes[Count - 1])",
         "group_laws_test", "GroupLaws/*Vector*.ASumHasTheBitsOfTheWrittenOrderInEveryLane"),
    text("tree_order", "chains are joined crosswise", GROUP,
         "return (chains[0] + chains[1]) + (chains[2] + chains[3]);",
         "return (chains[0] + chains[2]) + (chains[1] + chains[3]);",
         "group_laws_test", "GroupLaws/*.SumEachHasTheBitsOfTheWrittenChainsOnEveryModel"),

    # --- NaN through max ---
    text("nan", "max drops a NaN", ARITHMETIC,
         "return select(isnan(a), a, fast_max(a, b));", "return fast_max(a, b);",
         "mathematics_test", "Mathematics/*.MinAndMaxKeepANaNInEitherArgument"),
    text("nan", "the multiplier drops a NaN", MULTIPLIER,
         "return max(eta - alignment / norm, zero);", "return fast_max(eta - alignment / norm, zero);",
         "multiplier_test", "Multiplier/*.NeverHidesANaN"),
    solver("nan", "the box drops a NaN", DESCENT,
           "return min(max(x, lower), upper);", "return fast_min(fast_max(x, lower), upper);",
           "oracle_test/double.a_nan_is_never_reported_as_a_number"),

    # --- pinned set ---
    solver("pinned_set", "coordinates are pinned where they are pulled inwards", VALUE_GAP,
           "((x == lower) & (direction > zero)) | ((x == upper) & (direction < zero))",
           "((x == lower) & (direction < zero)) | ((x == upper) & (direction > zero))"),
    solver("pinned_set", "the pull of the gap is forgotten", VALUE_GAP,
           "const Real direction = fma(last_multiplier, gap_gradient, value_gradient);",
           "const Real direction = value_gradient + Real(scalar_of<Real>(0)) * last_multiplier * gap_gradient;"),
    solver("pinned_set", "the multiplier that pins is never the last one", DECISIONS,
           "select(moved, e.multiplier, progress.last_multiplier)", "progress.last_multiplier"),
    solver("pinned_set", "clip pins, too", SOLVE,
           "w_.pins = o.has_box && o.box == box_rule::free_set;", "w_.pins = o.has_box;"),

    # --- the staged engine: its stages, and its plan for a device ---
    staged("the descent leaves the box", "return o_.has_box ? project(next, low[i], high[i]) : next;", "return next;",
           "Staged/1.AgreesWithTheFusedEngineOnQuadratics"),
    staged("who has ended moves on", "        if (!r.moves) return;\n        const part of", "        const part of",
           "Staged/1.AgreesWithTheFusedEngineOnQuadratics:Staged/1.AProblemThatDivergesChangesNoBitOfAnother"),
    staged("the inner momentum does not persist", "kept.set(i, last[i]);", "kept.set(i, real(scalar(0)));",
           "Staged/1.AgreesWithTheFusedEngineOnQuadratics"),
    staged("the alignment is that of v alone", "e.sums = {s[0] + s[3],", "e.sums = {s[0],",
           "Staged/1.AgreesWithTheFusedEngineOnQuadratics"),
    staged("a chunk begins where the first one does", "first, p * dim + first,", "first, p * dim,", "StagedChunks.*"),
    staged("the last chunk of the gradients is not summed",
           "const run_time num_outer(outer_chunks_), num_inner(inner_chunks_);",
           "const run_time num_outer(outer_chunks_), num_inner(inner_chunks_ - (inner_chunks_ > 1));",
           "StagedChunks.OfTheta*"),
    staged("steps are counted where nobody moves", "        if (!stays) return stop(r);",
           "        if (!stays) ++r.step;\n        if (!stays) return stop(r);",
           "Staged/1.AnUpdateThatWouldNotBeFiniteIsNotMade"),
    staged_plan("everybody's turn is that of a fresh start", "measured[static_cast<std::size_t>(missing)] = true;",
                "measured[0] = missing >= 0;", "CudaStaged/1.MeasuresCurvaturesWhenItIsSomebodysTurn"),
    staged_plan("iterations that measure are repeated for others", "(kind.measures ? measuring : fixed)", "(fixed)",
                "CudaStaged/1.MeasuresCurvaturesWhenItIsSomebodysTurn"),
    staged_plan("the first iteration is made twice", "    run.iterate(false);\n    kept_graph fixed",
                "    run.iterate(false);\n    run.iterate(false);\n    kept_graph fixed",
                "CudaStaged/1.LaunchesAGraphForAnIteration*"),

    # --- softmax regression on a device: what is enqueued around the products, and its kernels ---
    softmax("samples that arrive as bytes have no bias", "r.behind = 1;\n            r.to = a_.panel;",
            "r.to = a_.panel;", "CudaSoftmax.ValuesAndGradients*"),
    softmax("a product of the low parts is left out", "        enqueue(a.low, b.high);\n", "",
            "CudaSoftmax.ValuesAndGradients*"),
    softmax("the gradient of a panel replaces that of the last", "product_rows(block), first > 0);",
            "product_rows(block), false);", "CudaSoftmax.AreTheSameHoweverTheyAreCut"),
    softmax("products are enqueued on another stream", "place, stream);", "place, stream_.get());",
            "CudaSoftmax.IsCapturedByACallerAndReplayed"),
    softmax("the losses at the start are made again", "has_start_losses_ = has_start_losses_ || is_start;",
            "has_start_losses_ = false;", "CudaSoftmax.KeepsTheLossesOfTheFirstGradient"),
    softmax("a handle that is lent is destroyed", "{ handle_ = handle; }", "{ handle_ = handle, is_own_ = true; }",
            "CudaSoftmax.WorksWithAHandleThatIsLent"),
    softmax("what was enqueued is still at work after a failure",
            "            runtime_.try_call(&cuda_calls::synchronize, stream_.get());\n", "",
            "CudaSoftmaxFaults.AreThrownWhenNothingIsAtWorkAnyMore"),
    text("softmax", "the sums of a panel replace those of the first", SOFTMAX_KERNELS,
         "(a.first_sample + first) / softmax_chunk", "first / softmax_chunk", "cuda_softmax_test",
         "CudaSoftmax.AreTheSameHoweverTheyAreCut"),
    text("softmax", "a clipped weight has a slope", SOFTMAX_KERNELS, "v >= 0 && v <= 1 ? 1.0F : 0.0F", "1.0F",
         "cuda_softmax_test", "CudaSoftmax.ValuesAndGradients*"),
    text("softmax", "a feature without penalty has a term", SOFTMAX_KERNELS, "            if (rho == 0) return acc;\n", "",
         "cuda_softmax_test", "CudaSoftmax.AFeatureWithoutPenaltyMayBeAsLargeAsItLikes"),
]
