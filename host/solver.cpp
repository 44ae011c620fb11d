// SPDX-License-Identifier: Apache-2.0
#include "cubome/solver.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include "cubome/error.hpp"
#include "host/cpu_backend.hpp"
#include "host/validate.hpp"

namespace cubome {
namespace {

constexpr std::size_t alignment = 64;

/// The value of an environment variable among those of an enum; `automatic` where it is not set.
template <class Enum, std::size_t N>
Enum from_environment(const char* variable, const std::pair<const char*, Enum> (&values)[N]) {
    const char* text = std::getenv(variable);
    if (text == nullptr || *text == '\0') return Enum::automatic;
    std::string names;
    for (const auto& [name, value] : values) {
        if (name == std::string(text)) return value;
        names += (names.empty() ? "" : ", ") + std::string(name);
    }
    throw invalid_argument("solve", variable, "is '" + std::string(text) + "'", "one of " + names);
}

backend choose_backend(backend wanted) {
    if (wanted > backend::cuda)
        throw invalid_argument("solve", "execution.where", "is " + std::to_string(static_cast<int>(wanted)),
                               "a value of backend");
    if (wanted == backend::automatic) {
        wanted = from_environment<backend>(
            "CUBOME_BACKEND", {{"automatic", backend::automatic}, {"cpu", backend::cpu}, {"cuda", backend::cuda}});
    }
    if (wanted == backend::cuda)
        throw not_compiled("solve: the backend 'cuda' is not part of this build, which has 'cpu'");
    return backend::cpu;
}

/// The instruction set that runs: what was asked for, else the widest that both the CPU and the build have.
template <class Real>
instruction_set choose_instructions(const problem_runner<Real>& runner, instruction_set wanted) {
    const auto is_compiled = [&](instruction_set which) { return runner.cpu[static_cast<int>(which)] != nullptr; };
    if (wanted > instruction_set::avx512)
        throw invalid_argument("solve", "execution.instructions", "is " + std::to_string(static_cast<int>(wanted)),
                               "a value of instruction_set");
    if (wanted == instruction_set::automatic) {
        // A user's own problem runs as they compiled it.
        if (is_compiled(instruction_set::automatic)) return instruction_set::automatic;
        wanted = from_environment<instruction_set>("CUBOME_INSTRUCTION_SET", {{"automatic", instruction_set::automatic},
                                                                              {"baseline", instruction_set::baseline},
                                                                              {"avx2", instruction_set::avx2},
                                                                              {"avx512", instruction_set::avx512}});
    }
    if (wanted == instruction_set::automatic) {
        for (const auto which : {instruction_set::avx512, instruction_set::avx2})
            if (is_compiled(which) && detail::cpu_has(which)) return which;
        wanted = instruction_set::baseline;
    }
    const std::string name = to_string(wanted);
    if (!is_compiled(wanted))
        throw not_compiled("solve: '" + std::string(runner.name) + "' is not compiled for the instruction set '" +
                           name + "'");
    if (!detail::cpu_has(wanted))
        throw backend_unavailable("solve: this CPU does not have the instruction set '" + name + "'");
    return wanted;
}

/// Memory that is given back at the end of the scope.
class aligned_memory {
public:
    explicit aligned_memory(std::size_t bytes)
        : data_(bytes == 0 ? nullptr : ::operator new(bytes, std::align_val_t(alignment))) {}
    aligned_memory(const aligned_memory&) = delete;
    aligned_memory& operator=(const aligned_memory&) = delete;
    ~aligned_memory() { ::operator delete(data_, std::align_val_t(alignment)); }

    void* data() const noexcept { return data_; }

private:
    void* data_;
};

/// Every report field starts as what cannot pass for a result.
template <class Real>
void clear_report(const report<Real>& report) {
    const auto clear = [](const auto& view, auto value) {
        if (view.data != nullptr) std::fill_n(view.data, view.num_problems * view.size(), value);
    };
    constexpr Real nan = std::numeric_limits<Real>::quiet_NaN();
    clear(report.outcome, outcome::not_run);
    clear(report.quantity, quantity::none);
    clear(report.iterations, std::int64_t(-1));
    for (const auto& field : {report.outer_value, report.gap, report.stationarity, report.multiplier,
                              report.refined_outer_value, report.refined_gap, report.trace_outer_value,
                              report.trace_gap, report.trace_stationarity, report.trace_multiplier})
        clear(field, nan);
}

}  // namespace

template <class Real>
struct solver<Real>::plan {
    plan(const cubome::problem<Real>& p, const cubome::settings<Real>& s, const execution& e)
        : problem(p), settings(s), cancel(e.cancel), progress(e.progress) {
        if (e.num_threads < 0)
            throw invalid_argument("solve", "execution.num_threads", "is " + std::to_string(e.num_threads),
                                   "at least 0");
        detail::validate(problem, settings);
        info.where = choose_backend(e.where);
        info.instructions = choose_instructions(problem.runner(), e.instructions);
        info.num_threads =
            e.num_threads > 0 ? e.num_threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
        functions = problem.runner().cpu[static_cast<int>(info.instructions)];
        info.mapping = functions->plan(problem.dims(), true).mapping;
        schedule(0, true);  // refuses dimensions that are too large
    }

    /// How the text that these arrays need is run; without the arrays, the larger one.
    detail::cpu_schedule schedule(std::int64_t num_problems, bool full) const {
        const cpu_plan needs = functions->plan(problem.dims(), full);
        constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
        if (needs.workspace_bytes > most / static_cast<std::size_t>(info.num_threads))
            throw invalid_argument(
                "solve", "problem",
                "needs more workspace than memory can hold, for " + std::to_string(info.num_threads) + " threads",
                "smaller dimensions");
        return detail::make_cpu_schedule(needs, num_problems, info.num_threads);
    }

    static bool is_full(const batch_options& o) {
        return o.has_outer_momentum || o.has_inner_momentum || o.has_box || o.wants_best || o.trace_interval > 0;
    }

    /// @param own the caller's workspace, if there is one
    /// @param lend called with the bytes needed, once the arguments are known to be right; returns the workspace
    template <class Lend>
    run_info solve(const cubome::state<Real>& state, const cubome::report<Real>& report,
                   const detail::caller_workspace& own, Lend&& lend) {
        auto batch = detail::validate_batch(problem, settings, state, report, own);
        batch.cancel = cancel;
        const std::int64_t n = state.outer.num_problems;
        const bool full = is_full(batch.options);
        const auto cut = schedule(n, full);
        run_info result = info;
        result.num_threads = cut.num_threads;
        void* workspace = lend(cut.workspace_bytes);
        clear_report(report);
        if (n > 0) detail::run_on_cpu(*functions, batch, full, n, cut, workspace, progress);
        return result;
    }

    cubome::problem<Real> problem;
    cubome::settings<Real> settings;
    const std::atomic<bool>* cancel;
    std::atomic<std::int64_t>* progress;
    const cpu_functions<Real>* functions = nullptr;
    run_info info;
};

template <class Real>
solver<Real>::solver(const problem<Real>& problem, const settings<Real>& settings, const execution& execution)
    : plan_(std::make_unique<plan>(problem, settings, execution)) {}

template <class Real>
solver<Real>::solver(solver&&) noexcept = default;
template <class Real>
solver<Real>& solver<Real>::operator=(solver&&) noexcept = default;
template <class Real>
solver<Real>::~solver() = default;

template <class Real>
std::size_t solver<Real>::workspace_bytes(std::int64_t num_problems) const {
    if (num_problems < 0)
        throw invalid_argument("workspace_bytes", "num_problems", "is " + std::to_string(num_problems), "at least 0");
    return plan_->schedule(num_problems, true).workspace_bytes;
}

template <class Real>
run_info solver<Real>::solve(const state<Real>& state, const report<Real>& report) {
    std::unique_ptr<aligned_memory> memory;
    return plan_->solve(state, report, {}, [&](std::size_t bytes) {
        memory = std::make_unique<aligned_memory>(bytes);
        return memory->data();
    });
}

template <class Real>
run_info solver<Real>::solve(const state<Real>& state, const report<Real>& report, void* workspace, std::size_t bytes) {
    return plan_->solve(state, report, {workspace, bytes}, [&](std::size_t needed) {
        if (reinterpret_cast<std::uintptr_t>(workspace) % alignment != 0)
            throw invalid_argument("solve", "workspace", "is not aligned", "a multiple of 64");
        if (bytes < needed)
            throw invalid_argument("solve", "workspace", "has " + std::to_string(bytes) + " bytes",
                                   "at least " + std::to_string(needed));
        if (workspace == nullptr && needed > 0)
            throw invalid_argument("solve", "workspace", "is null", "at least " + std::to_string(needed) + " bytes");
        return workspace;
    });
}

template <class Real>
run_info solver<Real>::info() const noexcept {
    return plan_->info;
}

template <class Real>
run_info solve(const problem<Real>& problem, const settings<Real>& settings, const state<Real>& state,
               const report<Real>& report, const execution& execution) {
    return solver<Real>(problem, settings, execution).solve(state, report);
}

template class solver<float>;
template class solver<double>;
template run_info solve(const problem<float>&, const settings<float>&, const state<float>&, const report<float>&,
                        const execution&);
template run_info solve(const problem<double>&, const settings<double>&, const state<double>&, const report<double>&,
                        const execution&);

}  // namespace cubome
