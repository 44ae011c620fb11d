// SPDX-License-Identifier: Apache-2.0
#include "host/validate.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "cubome/error.hpp"
#include "host/describe.hpp"

namespace cubome::detail {
namespace {

constexpr const char* function = "solve";

/// ε of step_rule::fixed.
constexpr double default_epsilon = 1e-8;

/// What settings.outer_momentum is where the step rule is to choose.
constexpr int unset_momentum = -1;

template <class Number>
std::string spell(Number x) {
    if constexpr (std::is_integral_v<Number>) {
        return std::to_string(x);
    } else {
        if (std::isnan(x)) return "NaN";
        char text[32];
        std::snprintf(text, sizeof text, "%g", static_cast<double>(x));
        return text;
    }
}

void check_integer(const char* name, std::int64_t value, std::int64_t lowest) {
    if (value < lowest) throw invalid_argument(function, name, "is " + spell(value), "at least " + spell(lowest));
}

/// The ranges that settings come in. `step` is positive with step_rule::fixed, and not set with step_rule::automatic;
/// `schedule` may be set with the first alone. `momentum` is below one or not set.
enum class range { positive, not_negative, below_one, momentum, step, schedule };

template <class Real>
bool is_in(range wanted, Real x) {
    if (!std::isfinite(x)) return false;
    switch (wanted) {
        case range::positive:
        case range::step:
            return x > 0;
        case range::not_negative:
        case range::schedule:
            return x >= 0;
        case range::momentum:
            if (x == unset_momentum) return true;
            [[fallthrough]];
        case range::below_one:
            return x >= 0 && x < 1;
    }
    return false;
}

const char* spell(range wanted) {
    switch (wanted) {
        case range::positive:
            return "a finite number > 0";
        case range::step:
            return "a finite number > 0, which step_rule::fixed needs";
        case range::not_negative:
        case range::schedule:
            return "a finite number >= 0";
        case range::momentum:
            return "a number in [0, 1), or -1";
        case range::below_one:
            return "a number in [0, 1)";
    }
    return "";
}

/// The settings that may differ between problems: name, member, where it goes, range. One list for every use.
template <class Real, class Visit>
void visit_parameters(const settings<Real>& s, Visit&& visit) {
    using p = problem_parameters<batch_number<Real>>;
    visit("settings.outer_step_size", s.outer_step_size, &p::outer_step_size, range::step);
    visit("settings.inner_step_size", s.inner_step_size, &p::inner_step_size, range::step);
    visit("settings.descent_step_size", s.descent_step_size, &p::descent_step_size, range::step);
    visit("settings.outer_schedule", s.outer_schedule, &p::outer_schedule, range::schedule);
    visit("settings.inner_schedule", s.inner_schedule, &p::inner_schedule, range::schedule);
    visit("settings.outer_momentum", s.outer_momentum, &p::outer_momentum, range::momentum);
    visit("settings.inner_momentum", s.inner_momentum, &p::inner_momentum, range::below_one);
    visit("settings.eta", s.eta, &p::eta, range::positive);
    visit("settings.epsilon", s.epsilon, &p::epsilon, range::not_negative);
    visit("settings.tol_stationarity", s.tol_stationarity, &p::tol_stationarity, range::not_negative);
    visit("settings.tol_gap", s.tol_gap, &p::tol_gap, range::not_negative);
    visit("settings.rel_tol_stationarity", s.rel_tol_stationarity, &p::rel_tol_stationarity, range::not_negative);
    visit("settings.rel_tol_gap", s.rel_tol_gap, &p::rel_tol_gap, range::not_negative);
}

template <class Enum>
void check_enum(const char* name, Enum value, Enum last, const char* type) {
    if (value > last)
        throw invalid_argument(function, name, "is " + spell(static_cast<std::int64_t>(value)),
                               std::string("a value of ") + type);
}

/// Whether some problem of the batch uses what a setting of 0 turns off.
template <class Real>
bool is_used(const setting<Real>& s) {
    return s.is_per_problem() || s.value() != Real(0);
}

/// Bytes [begin, end) of an array, to find arrays that overlap.
struct memory_range {
    const char* name;
    const char* begin;
    const char* end;
    bool is_written;
};

/// Checks the arrays of a batch one by one, and remembers where they lie.
class batch_checker {
public:
    explicit batch_checker(std::int64_t num_problems) : num_problems_(num_problems) {}

    /// An array of the state or the report: one part per problem, of the given extents; it will be written.
    template <class T>
    T* output(const char* name, const batch_view<T>& view, int rank, std::int64_t dim, const char* dim_name) {
        if (!view.given() && view.rank == 0) return nullptr;
        check_shape(name, view, rank, dim, dim_name);
        remember(name, view, true);
        return view.data;
    }

    template <class T>
    strided<const T> input(const char* name, const batch_view<const T>& view) {
        if (!view.is_shared && view.num_problems != num_problems_)
            throw invalid_argument(function, name, "has num_problems " + spell(view.num_problems),
                                   "num_problems = " + spell(num_problems_));
        if (view.data == nullptr && num_problems_ > 0) throw invalid_argument(function, name, "is null", "an array");
        remember(name, view, false);
        return {view.data, view.stride()};
    }

    /// Memory without a shape that will be written.
    void lend(const char* name, const void* data, std::size_t bytes) {
        const auto* begin = static_cast<const char*>(data);
        const std::size_t most = std::numeric_limits<std::uintptr_t>::max() - reinterpret_cast<std::uintptr_t>(begin);
        if (bytes > 0) ranges_[num_ranges_++] = {name, begin, begin + (bytes < most ? bytes : most), true};
    }

    void check_overlaps() const {
        for (int i = 0; i < num_ranges_; ++i) {
            for (int j = 0; j < num_ranges_; ++j) {
                const memory_range &a = ranges_[i], &b = ranges_[j];
                if (i == j || !a.is_written || (b.is_written && j < i)) continue;
                if (a.begin < b.end && b.begin < a.end)
                    throw invalid_argument(function, a.name, "overlaps '" + std::string(b.name) + "'",
                                           "memory of its own");
            }
        }
    }

private:
    template <class T>
    void check_shape(const char* name, const batch_view<T>& view, int rank, std::int64_t dim, const char* dim_name) {
        const bool fits = !view.is_shared && view.num_problems == num_problems_ && view.rank == rank &&
                          (rank == 0 || view.extents[0] == dim);
        if (fits && (view.data != nullptr || num_problems_ == 0)) return;

        std::string expected = "[num_problems = " + spell(num_problems_);
        if (rank == 1) expected += ", " + std::string(dim_name) + " = " + spell(dim);
        expected += "]";
        const std::int64_t sizes[3] = {view.num_problems, view.extents[0], view.extents[1]};
        const std::string found = fits             ? "is null"
                                  : view.is_shared ? "is shared, with extents " + extents(view)
                                                   : "has extents " + extents(view.rank + 1, sizes);
        throw invalid_argument(function, name, found, expected);
    }

    template <class T>
    void remember(const char* name, const batch_view<T>& view, bool is_written) {
        const std::int64_t parts = view.is_shared ? 1 : view.num_problems;
        constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max() / static_cast<std::ptrdiff_t>(sizeof(T));
        if (view.size() > 0 && parts > most / view.size())
            throw invalid_argument(function, name, "has " + spell(parts) + " times " + spell(view.size()) + " elements",
                                   "a size that memory can have");
        const auto* begin = reinterpret_cast<const char*>(view.data);
        const std::int64_t bytes = parts * view.size() * static_cast<std::int64_t>(sizeof(T));
        if (begin != nullptr && bytes > 0) ranges_[num_ranges_++] = {name, begin, begin + bytes, is_written};
    }

    static constexpr int max_ranges = problem_layout::max_arrays + 48;

    std::int64_t num_problems_;
    memory_range ranges_[max_ranges];
    int num_ranges_ = 0;
};

/// The two arrays that every solve has: one vector per problem.
template <class Real>
void check_start(const char* name, const batch_view<Real>& view, const char* expected) {
    if (!view.given() && view.rank == 0) throw invalid_argument(function, name, "is not given", expected);
    if (view.rank != 1) throw invalid_argument(function, name, "has " + spell(view.rank + 1) + " dimensions", expected);
}

void require(bool is_given, const char* name, const char* why) {
    if (!is_given) throw invalid_argument(function, name, "is not given", why);
}

/// What the algorithm remembers must be given where a solve is to be continued.
template <class Real>
void check_restart(const state<Real>& state, const settings<Real>& s, const batch_options& o) {
    if (o.has_outer_momentum) {
        const char* why = o.steps == step_rule::fixed
                              ? "an array: a restart with outer_momentum needs it"
                              : "an array: a restart with outer_momentum, which step_rule::automatic has, needs it";
        require(state.outer_velocity.given(), "state.outer_velocity", why);
        require(state.inner_velocity.given(), "state.inner_velocity", why);
    }
    if (o.has_inner_momentum && !o.inner_momentum_reset)
        require(state.descent_velocity.given(), "state.descent_velocity",
                "an array: a restart with an inner_momentum that persists needs it");
    if (o.has_box && o.box == box_rule::free_set)
        require(state.multiplier.given(), "state.multiplier", "an array: a restart with a box and free_set needs it");
    if (o.steps == step_rule::automatic) {
        constexpr const char* why = "an array: a restart with step_rule::automatic needs it";
        require(state.step_memory.given(), "state.step_memory", why);
        require(state.inner_probe.given(), "state.inner_probe", why);
        require(state.outer_probe.given(), "state.outer_probe", why);
    }
    if (is_used(s.rel_tol_stationarity))
        require(state.first_stationarity.given(), "state.first_stationarity",
                "an array: a restart with rel_tol_stationarity needs it");
}

}  // namespace

template <class Real>
void validate(const problem<Real>& problem, const settings<Real>& s) {
    check_integer("settings.outer_steps", s.outer_steps, 0);
    check_integer("settings.inner_steps", s.inner_steps, 1);
    check_integer("settings.refine_steps", s.refine_steps, -1);
    check_integer("settings.trace_interval", s.trace_interval, 0);
    check_enum("settings.barrier", s.barrier, barrier_form::value_gap, "barrier_form");
    check_enum("settings.steps", s.steps, step_rule::fixed, "step_rule");
    check_enum("settings.box", s.box, box_rule::clip, "box_rule");
    const bool is_automatic = s.steps == step_rule::automatic;
    if (is_automatic && !problem.runner().has_curvature)
        throw invalid_argument(function, "settings.steps", "is step_rule::automatic",
                               std::string("step_rule::fixed with the three step sizes: '") + problem.runner().name +
                                   "' has no curvature that steps could be made of");
    visit_parameters(s, [&](const char* name, const setting<Real>& value, auto, range wanted) {
        if (is_automatic && (wanted == range::step || wanted == range::schedule)) {
            if (is_used(value))
                throw invalid_argument(
                    function, name, value.is_per_problem() ? "is an array" : "is " + spell(value.value()),
                    "nothing: step_rule::automatic finds the steps, settings.steps = step_rule::fixed takes them");
        } else if (value.is_per_problem()) {
            if (value.values().rank != 0 || value.values().is_shared)
                throw invalid_argument(function, name, "has extents " + extents(value.values()),
                                       "a number or [num_problems]");
        } else if (!is_in(wanted, value.value())) {
            throw invalid_argument(function, name, "is " + spell(value.value()), spell(wanted));
        }
    });
    const problem_layout& layout = problem.layout();
    for (int i = 0; i < layout.num_arrays; ++i) {
        if (layout.arrays[i].is_required && !problem.is_bound(i))
            throw invalid_argument(function, layout.arrays[i].name, "is not bound",
                                   "an array " + extents(layout.arrays[i]));
    }
}

template <class Real>
void check_iterations(const state<Real>& state, std::int64_t outer_steps) {
    constexpr std::int64_t limit = std::numeric_limits<std::int64_t>::max() - 1;
    const std::int64_t most = limit - std::min(outer_steps, limit);
    for (std::int64_t i = 0; i < state.iteration.num_problems; ++i) {
        const std::int64_t k = state.iteration.data[i];
        if (k < 0 || k > most)
            throw invalid_argument(function, "state.iteration[" + spell(i) + "]", "is " + spell(k),
                                   k < 0 ? "at least 0" : "at most " + spell(most) + ": outer_steps are to come");
    }
}

template <class Real>
batch_arguments<Real> make_arguments(const problem<Real>& problem, const settings<Real>& s) {
    batch_arguments<Real> result;
    result.dims = problem.dims();
    batch_options& o = result.options;
    o.outer_steps = s.outer_steps;
    o.inner_steps = s.inner_steps;
    o.refine_steps = s.refine_steps;
    if (s.refine_steps < 0) {
        constexpr std::int64_t default_factor = 10;
        constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / default_factor;
        o.refine_steps = s.inner_steps > most ? s.inner_steps : default_factor * s.inner_steps;
    }
    o.trace_interval = s.trace_interval;
    o.barrier = s.barrier;
    o.steps = s.steps;
    o.box = s.box;
    o.inner_momentum_reset = s.inner_momentum_reset;
    o.has_schedule = is_used(s.outer_schedule) || is_used(s.inner_schedule);
    o.has_inner_momentum = is_used(s.inner_momentum);
    const int num_arrays = problem.layout().num_arrays;
    for (int i = num_arrays - num_box_arrays; i < num_arrays; ++i) o.has_box = o.has_box || problem.is_bound(i);
    o.has_relative_tolerance = is_used(s.rel_tol_stationarity) || is_used(s.rel_tol_gap);
    visit_parameters(s, [&](const char*, const setting<Real>& value, auto member, range) {
        result.parameters.*member = {value.is_per_problem() ? value.values().data : nullptr, value.value()};
    });
    // What the rule chooses where the settings do not.
    const bool is_fixed = s.steps == step_rule::fixed;
    auto& p = result.parameters;
    if (!is_used(s.epsilon)) p.epsilon.value = is_fixed ? Real(default_epsilon) : std::numeric_limits<Real>::min();
    if (p.outer_momentum.value == Real(unset_momentum))
        p.outer_momentum.value = is_fixed ? Real(0) : Real(automatic_outer_momentum);
    o.has_outer_momentum = p.outer_momentum.data != nullptr || p.outer_momentum.value != Real(0);
    return result;
}

template <class Real>
batch_arguments<Real> validate_batch(const problem<Real>& problem, const settings<Real>& s, const state<Real>& state,
                                     const report<Real>& report, const caller_workspace& workspace) {
    constexpr const char* expected_outer = "an array [num_problems, outer_dim]";
    check_start("state.outer", state.outer, expected_outer);
    check_start("state.inner", state.inner, "an array [num_problems, inner_dim]");
    if (state.outer.is_shared)  // every other array is held against its number of problems
        throw invalid_argument(function, "state.outer", "is shared, with extents " + extents(state.outer),
                               expected_outer);
    const std::int64_t n = state.outer.num_problems;
    if (n < 0) throw invalid_argument(function, "state.outer", "has num_problems " + spell(n), "at least 0");

    batch_checker check(n);
    auto batch = make_arguments(problem, s);
    batch_options& o = batch.options;

    const auto number = [&](const char* name, const auto& view) { return check.output(name, view, 0, 0, ""); };
    const auto outer = [&](const char* name, const auto& view) {
        return check.output(name, view, 1, problem.outer_dim(), "outer_dim");
    };
    const auto inner = [&](const char* name, const auto& view) {
        return check.output(name, view, 1, problem.inner_dim(), "inner_dim");
    };
    batch.outer = outer("state.outer", state.outer);
    batch.inner = inner("state.inner", state.inner);
    batch.iteration = number("state.iteration", state.iteration);
    batch.multiplier = number("state.multiplier", state.multiplier);
    batch.first_stationarity = number("state.first_stationarity", state.first_stationarity);
    batch.step_memory = check.output("state.step_memory", state.step_memory, 1, step_memory_size, "step_memory_size");
    batch.inner_probe = inner("state.inner_probe", state.inner_probe);
    batch.outer_probe = inner("state.outer_probe", state.outer_probe);
    batch.outer_velocity = outer("state.outer_velocity", state.outer_velocity);
    batch.inner_velocity = inner("state.inner_velocity", state.inner_velocity);
    batch.descent_velocity = inner("state.descent_velocity", state.descent_velocity);
    batch.best_outer = outer("state.best_outer", state.best_outer);
    batch.best_inner = inner("state.best_inner", state.best_inner);
    batch.best_kkt = number("state.best_kkt", state.best_kkt);
    batch.best_iteration = number("state.best_iteration", state.best_iteration);
    o.wants_best =
        state.best_outer.given() || state.best_inner.given() || state.best_kkt.given() || state.best_iteration.given();
    if (o.wants_best) {
        constexpr const char* why = "an array: the four of `best` come together";
        require(state.best_outer.given(), "state.best_outer", why);
        require(state.best_inner.given(), "state.best_inner", why);
        require(state.best_kkt.given(), "state.best_kkt", why);
        require(state.best_iteration.given(), "state.best_iteration", why);
    }
    if (state.iteration.given()) check_restart(state, s, o);

    batch.report_outcome = number("report.outcome", report.outcome);
    batch.report_quantity = number("report.quantity", report.quantity);
    batch.report_iterations = number("report.iterations", report.iterations);
    batch.report_outer_value = number("report.outer_value", report.outer_value);
    batch.report_gap = number("report.gap", report.gap);
    batch.report_stationarity = number("report.stationarity", report.stationarity);
    batch.report_multiplier = number("report.multiplier", report.multiplier);
    batch.report_refined_outer_value = number("report.refined_outer_value", report.refined_outer_value);
    batch.report_refined_gap = number("report.refined_gap", report.refined_gap);
    // A gap tolerance is checked against the refined gap too.
    o.wants_refined = report.refined_outer_value.given() || report.refined_gap.given() || is_used(s.tol_gap) ||
                      is_used(s.rel_tol_gap);
    batch.report_inner_curvature = number("report.inner_curvature", report.inner_curvature);
    batch.report_outer_curvature = number("report.outer_curvature", report.outer_curvature);
    o.wants_curvature = report.inner_curvature.given() || report.outer_curvature.given();
    batch.report_held_out = number("report.held_out", report.held_out);

    constexpr std::int64_t most_rows = std::numeric_limits<std::int64_t>::max();
    const bool is_countable = s.trace_interval == 0 || s.outer_steps / s.trace_interval < most_rows;
    batch.trace_rows = s.trace_interval > 0 && is_countable ? s.outer_steps / s.trace_interval + 1 : 0;
    const auto trace = [&](const char* name, const batch_view<Real>& view) {
        if (view.given() && s.trace_interval == 0)
            throw invalid_argument(function, name, "is given", "settings.trace_interval of at least 1 with a trace");
        return check.output(name, view, 1, batch.trace_rows, "outer_steps / trace_interval + 1");
    };
    batch.trace_outer_value = trace("report.trace_outer_value", report.trace_outer_value);
    batch.trace_gap = trace("report.trace_gap", report.trace_gap);
    batch.trace_stationarity = trace("report.trace_stationarity", report.trace_stationarity);
    batch.trace_multiplier = trace("report.trace_multiplier", report.trace_multiplier);
    batch.trace_held_out = trace("report.trace_held_out", report.trace_held_out);
    o.wants_held_out = report.held_out.given();
    o.traces_held_out = report.trace_held_out.given();
    if ((o.wants_held_out || o.traces_held_out) && !problem.layout().has_held_out)
        throw invalid_argument(
            function, o.wants_held_out ? "report.held_out" : "report.trace_held_out", "is given",
            std::string("nothing: this problem of '") + problem.runner().name + "' has no held-out data");

    const problem_layout& layout = problem.layout();
    const int num_own = layout.num_arrays - num_box_arrays;
    strided<const Real>* const box[num_box_arrays] = {&batch.outer_lower, &batch.outer_upper, &batch.inner_lower,
                                                      &batch.inner_upper};
    for (int i = 0; i < layout.num_arrays; ++i) {
        if (!problem.is_bound(i)) continue;
        strided<const Real>& array = i < num_own ? batch.arrays[i] : *box[i - num_own];
        array = check.input(layout.arrays[i].name, problem.array(i));
    }
    visit_parameters(s, [&](const char* name, const setting<Real>& value, auto, range) {
        if (value.is_per_problem()) check.input(name, value.values());
    });
    if (workspace.data != nullptr) check.lend("workspace", workspace.data, workspace.bytes);
    check.check_overlaps();
    return batch;
}

#define CUBOME_INSTANTIATE(Real)                                                                                   \
    template void validate(const problem<Real>&, const settings<Real>&);                                           \
    template batch_arguments<Real> make_arguments(const problem<Real>&, const settings<Real>&);                    \
    template void check_iterations(const state<Real>&, std::int64_t);                                              \
    template batch_arguments<Real> validate_batch(const problem<Real>&, const settings<Real>&, const state<Real>&, \
                                                  const report<Real>&, const caller_workspace&);
CUBOME_INSTANTIATE(float)
CUBOME_INSTANTIATE(double)
#undef CUBOME_INSTANTIATE

}  // namespace cubome::detail
