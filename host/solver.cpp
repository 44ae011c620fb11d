// SPDX-License-Identifier: Apache-2.0
#include "cubome/solver.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include "cubome/error.hpp"
#include "host/cpu_backend.hpp"
#include "host/cuda_backend.hpp"
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
    return wanted;
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

/// Whether a family has a half for the CPU, of whatever instruction set.
template <class Real>
bool has_cpu_half(const problem_runner<Real>& runner) {
    return std::any_of(std::begin(runner.cpu), std::end(runner.cpu), [](const auto* half) { return half != nullptr; });
}

/// Every report field starts as what cannot pass for a result: not_run, none, −1, NaN.
template <class Real>
void clear_report(batch_arguments<Real> batch, const problem_layout& layout, std::int64_t num_problems) {
    detail::visit_arrays(batch, layout,
                         [&]<class T>(const char*, T*& data, std::int64_t each, bool, detail::array_role role) {
                             if constexpr (!std::is_const_v<T>) {
                                 if (role != detail::array_role::result) return;
                                 T unset{};
                                 if constexpr (std::is_floating_point_v<T>) unset = std::numeric_limits<T>::quiet_NaN();
                                 if constexpr (std::is_integral_v<T>) unset = -1;
                                 std::fill_n(data, num_problems * each, unset);
                             }
                         });
}

}  // namespace

template <class Real>
struct solver<Real>::plan {
    plan(const cubome::problem<Real>& p, const cubome::settings<Real>& s, const execution& e)
        : problem(p), settings(s), cancel(e.cancel), progress(e.progress) {
        const auto expect_at_least = [](const char* name, std::int64_t value, std::int64_t least) {
            if (value < least)
                throw invalid_argument("solve", name, "is " + std::to_string(value),
                                       "at least " + std::to_string(least));
        };
        expect_at_least("execution.num_threads", e.num_threads, 0);
        expect_at_least("execution.device", e.device, -1);
        expect_at_least("execution.steps_per_launch", e.steps_per_launch, 0);
        detail::validate(problem, settings);
        const backend wanted = choose_backend(e.where);
        if (wanted != backend::cpu) prepare_cuda(wanted, e);
        if (cuda == nullptr || (wanted == backend::automatic && has_cpu_half(problem.runner()))) prepare_cpu(e);
        if (cuda != nullptr)
            info = {backend::cuda, instruction_set::automatic, 0, cuda->device(), cuda->mapping()};
        else
            info = cpu_info;
    }

    /// @param wanted automatic: does without where there is no device
    void prepare_cuda(backend wanted, const execution& e) {
        detail::cuda_runtime* const runtime = detail::current_cuda_runtime();
        const auto* functions_of_device = problem.runner().cuda;
        if (runtime == nullptr || functions_of_device == nullptr) {
            if (wanted == backend::automatic) return;
            const std::string name = problem.runner().name;
            throw not_compiled(runtime == nullptr
                                   ? "solve: the backend 'cuda' is not part of this build, which has 'cpu'"
                                   : "solve: '" + name + "' is not compiled for the backend 'cuda'");
        }
        try {
            cuda = std::make_unique<detail::cuda_backend<Real>>(*runtime, *functions_of_device, problem.layout(),
                                                                problem.dims(), settings.steps, e.device,
                                                                e.steps_per_launch);
        } catch (const device_lost&) {
            throw;  // not to be passed over: the caller's arrays may have been there
        } catch (const invalid_argument&) {
            throw;
        } catch (const error&) {
            // However a device fails to be there: no driver, one that is broken, busy or full.
            if (wanted == backend::cuda || !has_cpu_half(problem.runner())) throw;
        }
    }

    void prepare_cpu(const execution& e) {
        cpu_info.instructions = choose_instructions(problem.runner(), e.instructions);
        cpu_info.num_threads =
            e.num_threads > 0 ? e.num_threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
        functions = problem.runner().cpu[static_cast<int>(cpu_info.instructions)];
        cpu_info.mapping = functions->plan(problem.dims(), solve_text::full).mapping;
        schedule(0, solve_text::full);  // refuses dimensions that are too large
    }

    /// How the CPU runs the text that these arrays need; without the arrays, the larger one.
    detail::cpu_schedule schedule(std::int64_t num_problems, solve_text text) const {
        const cpu_plan needs = functions->plan(problem.dims(), text);
        constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
        if (needs.workspace_bytes > most / static_cast<std::size_t>(cpu_info.num_threads))
            throw invalid_argument(
                "solve", "problem",
                "needs more workspace than memory can hold, for " + std::to_string(cpu_info.num_threads) + " threads",
                "smaller dimensions");
        return detail::make_cpu_schedule(needs, num_problems, cpu_info.num_threads);
    }

    /// The smallest text that has what is asked for.
    static solve_text text_of(const batch_options& o) {
        const bool is_automatic = o.steps == step_rule::automatic;
        if ((o.has_outer_momentum && !is_automatic) || o.has_inner_momentum || o.has_box || o.has_relative_tolerance ||
            o.wants_best || o.wants_curvature || o.wants_held_out || o.trace_interval > 0)
            return solve_text::full;
        return is_automatic ? solve_text::plain_automatic : solve_text::plain;
    }

    std::size_t workspace_bytes(std::int64_t num_problems) const {
        if (cuda == nullptr) return schedule(num_problems, solve_text::full).workspace_bytes;
        const auto arguments = detail::make_arguments(problem, settings);
        return cuda->workspace_bytes({arguments, solve_text::full, num_problems, cancel, progress});
    }

    /// @throws invalid_argument unless it is aligned and large enough
    static void check_workspace(const detail::caller_workspace& own, std::size_t needed) {
        if (reinterpret_cast<std::uintptr_t>(own.data) % alignment != 0)
            throw invalid_argument("solve", "workspace", "is not aligned", "a multiple of 64");
        if (own.bytes < needed)
            throw invalid_argument("solve", "workspace", "has " + std::to_string(own.bytes) + " bytes",
                                   "at least " + std::to_string(needed));
        if (own.data == nullptr && needed > 0)
            throw invalid_argument("solve", "workspace", "is null", "at least " + std::to_string(needed) + " bytes");
    }

    /// @param own the caller's workspace; null: there is none
    run_info solve(const cubome::state<Real>& state, const cubome::report<Real>& report,
                   const detail::caller_workspace* own) {
        const auto lent = own != nullptr ? *own : detail::caller_workspace();
        const auto batch = detail::validate_batch(problem, settings, state, report, lent);
        const std::int64_t n = state.outer.num_problems;
        const bool is_on_cuda = cuda != nullptr && (functions == nullptr || own != nullptr || cuda->is_filled_by(n) ||
                                                    cuda->is_on_device(batch));
        if (state.iteration.data != nullptr && (!is_on_cuda || cuda->can_host_read(state.iteration.data)))
            detail::check_iterations(state, batch.options.outer_steps);
        return is_on_cuda ? solve_on_cuda(batch, n, own) : solve_on_cpu(batch, n, own);
    }

    run_info solve_on_cpu(batch_arguments<Real> batch, std::int64_t n, const detail::caller_workspace* own) {
        const solve_text text = text_of(batch.options);
        const auto cut = schedule(n, text);
        if (own != nullptr) check_workspace(*own, cut.workspace_bytes);
        const aligned_memory memory(own != nullptr ? 0 : cut.workspace_bytes);
        batch.cancel = cancel;
        clear_report(batch, problem.layout(), n);
        if (n > 0)
            detail::run_on_cpu(*functions, batch, text, n, cut, own != nullptr ? own->data : memory.data(), progress);
        run_info result = cpu_info;
        result.num_threads = cut.num_threads;
        return result;
    }

    run_info solve_on_cuda(const batch_arguments<Real>& batch, std::int64_t n, const detail::caller_workspace* own) {
        if (own != nullptr) check_workspace(*own, workspace_bytes(n));
        if (n > 0)
            cuda->solve({batch, text_of(batch.options), n, cancel, progress}, own != nullptr ? own->data : nullptr);
        return info;
    }

    run_info enqueue(CUstream_st* stream, const cubome::state<Real>& state, const cubome::report<Real>& report,
                     const detail::caller_workspace& own) {
        if (cuda == nullptr)
            throw invalid_argument("enqueue", "execution.where", "is cpu", "cuda: a stream is a device's");
        const std::int64_t n = state.outer.num_problems;
        const auto validate = [&] {
            try {
                auto result = detail::validate_batch(problem, settings, state, report, own);
                check_workspace(own, workspace_bytes(n));
                return result;
            } catch (const invalid_argument& e) {
                throw invalid_argument("enqueue", e.argument(), e.found(), e.expected());
            }
        };
        const auto batch = validate();
        if (n > 0) cuda->enqueue({batch, text_of(batch.options), n, nullptr, nullptr}, own.data, stream);
        return info;
    }

    cubome::problem<Real> problem;
    cubome::settings<Real> settings;
    const std::atomic<bool>* cancel;
    std::atomic<std::int64_t>* progress;
    const cpu_functions<Real>* functions = nullptr;    ///< null: never on the CPU
    std::unique_ptr<detail::cuda_backend<Real>> cuda;  ///< null: never on a device
    run_info cpu_info;
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
    return plan_->workspace_bytes(num_problems);
}

template <class Real>
run_info solver<Real>::solve(const state<Real>& state, const report<Real>& report) {
    return plan_->solve(state, report, nullptr);
}

template <class Real>
run_info solver<Real>::solve(const state<Real>& state, const report<Real>& report, void* workspace, std::size_t bytes) {
    const detail::caller_workspace own{workspace, bytes};
    return plan_->solve(state, report, &own);
}

template <class Real>
run_info solver<Real>::enqueue(CUstream_st* stream, const state<Real>& state, const report<Real>& report,
                               void* workspace, std::size_t bytes) {
    return plan_->enqueue(stream, state, report, {workspace, bytes});
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
