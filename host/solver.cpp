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
#include "host/execution.hpp"
#include "host/validate.hpp"
#include "host/workspace.hpp"

namespace cubome {
namespace {

/// Whether a family has a half for the CPU, of whatever instruction set.
template <class Real>
bool has_cpu_half(const problem_runner<Real>& runner) {
    return std::any_of(std::begin(runner.cpu), std::end(runner.cpu), [](const auto* half) { return half != nullptr; });
}

/// The instruction set that runs a problem.
template <class Real>
instruction_set choose_instructions(const problem_runner<Real>& runner, instruction_set wanted) {
    return detail::choose_instructions(
        runner.name, wanted, [&](instruction_set which) { return runner.cpu[static_cast<int>(which)] != nullptr; });
}

}  // namespace

template <class Real>
struct solver<Real>::plan {
    plan(const cubome::problem<Real>& p, const cubome::settings<Real>& s, const execution& e)
        : problem(p), settings(s), cancel(e.cancel), progress(e.progress) {
        detail::check_execution(e);
        detail::validate(problem, settings);
        const backend wanted = detail::choose_backend(e.where);
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
        cpu_info.num_threads = detail::choose_threads(e.num_threads);
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
        if (own != nullptr) detail::check_workspace(*own, cut.workspace_bytes);
        const detail::aligned_memory memory(own != nullptr ? 0 : cut.workspace_bytes);
        batch.cancel = cancel;
        detail::clear_report(batch, problem.layout(), n);
        if (n > 0)
            detail::run_on_cpu(*functions, batch, text, n, cut, own != nullptr ? own->data : memory.data(), progress);
        run_info result = cpu_info;
        result.num_threads = cut.num_threads;
        return result;
    }

    run_info solve_on_cuda(const batch_arguments<Real>& batch, std::int64_t n, const detail::caller_workspace* own) {
        if (own != nullptr) detail::check_workspace(*own, workspace_bytes(n));
        if (n > 0)
            cuda->solve({batch, text_of(batch.options), n, cancel, progress}, own != nullptr ? own->data : nullptr);
        return info;
    }

    run_info enqueue(CUstream_st* stream, const cubome::state<Real>& state, const cubome::report<Real>& report,
                     const detail::caller_workspace& own) {
        if (cuda == nullptr)
            throw invalid_argument("enqueue", "execution.where", "is cpu", "cuda: a stream is a device's");
        const std::int64_t n = state.outer.num_problems;
        const auto batch = detail::check_for("enqueue", [&] {
            auto result = detail::validate_batch(problem, settings, state, report, own);
            detail::check_workspace(own, workspace_bytes(n));
            return result;
        });
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
