// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>

#include "cubome/error.hpp"
#include "cubome/staged.hpp"
#include "host/batch_arrays.hpp"
#include "host/cuda_arrays.hpp"
#include "host/cuda_device.hpp"
#include "host/cuda_memory.hpp"
#include "host/execution.hpp"
#include "host/staged/cpu_stages.hpp"
#include "host/staged/stage_functions.hpp"
#include "host/staged/staged_contract.hpp"
#include "host/staged/staged_cuda.hpp"
#include "host/staged/staged_kernels.hpp"
#include "host/staged/thread_team.hpp"

namespace cubome {
namespace {

/// The stages on a device, and what is asked of it.
template <class Real>
struct on_device {
    on_device(const detail::staged_device<Real>& with, const problem_layout& layout, int wanted)
        : runtime(with.runtime),
          device(detail::find_device(with.runtime, "staged_iteration", wanted)),
          places(with.runtime, layout, device),
          stages(with.runtime, with.kernels, device) {}

    detail::cuda_runtime& runtime;
    int device;
    detail::array_places places;
    detail::cuda_stages<Real> stages;
};

}  // namespace

template <class Real>
struct staged_iteration<Real>::plan {
    plan(std::int64_t outer_dim, std::int64_t inner_dim, const cubome::settings<Real>& s, const cubome::box<Real>& b,
         const execution& e)
        : contract(outer_dim, inner_dim, false, true, s, b, e, detail::vector_owner::caller),
          inner_steps(s.inner_steps),
          outer_steps(s.outer_steps) {
        if (s.steps != step_rule::fixed)
            throw invalid_argument("staged_iteration", "settings.steps", "is automatic", "step_rule::fixed");
        info.mapping = "staged";
        if (e.where != backend::automatic && detail::choose_backend(e.where) == backend::cuda) {
            info.where = backend::cuda;
            cuda =
                std::make_unique<on_device<Real>>(detail::require_staged_device<Real>(), contract.layout(), e.device);
            info.device = cuda->device;
            auto stages = std::make_unique<detail::stream_stages<Real>>(cuda->stages, nullptr);
            enqueued = stages.get();
            runner = std::move(stages);
            record_bytes = cuda->stages.record_bytes();
        } else {
            info.where = backend::cpu;
            const auto* const functions = detail::choose_stage_functions<Real>(e.instructions, &info.instructions);
            team = std::make_unique<detail::thread_team>(detail::choose_threads(e.num_threads));
            info.num_threads = team->num_threads();
            runner = std::make_unique<detail::cpu_stages<Real>>(*functions, *team);
            record_bytes = functions->record_bytes;
        }
    }

    /// What a call does on the stream that it was given.
    template <class Work>
    void on_stream(CUstream_st* stream, Work&& work) {
        if (cuda == nullptr) return work();
        try {
            const detail::device_scope scope(cuda->runtime, cuda->device);
            enqueued->go_to(stream);
            work();
        } catch (...) {
            // Of half a call nothing can be made.
            sequence.reset();
            throw;
        }
    }

    void begin(CUstream_st* stream, const cubome::state<Real>& state, const cubome::report<Real>& report,
               const detail::caller_workspace& own) {
        const std::int64_t n = state.outer.num_problems;
        const auto batch = detail::check_for("begin", [&] {
            auto result = contract.validate(state, report, own);
            detail::check_workspace(own, contract.workspace_bytes(n, record_bytes));
            if (cuda == nullptr && state.iteration.data != nullptr) detail::check_iterations(state, outer_steps);
            return result;
        });
        const batch_options& o = batch.options;
        const char* const wanted = o.wants_refined     ? "refined values, or a tolerance of the gap"
                                   : o.wants_curvature ? "curvatures"
                                                       : nullptr;
        if (wanted != nullptr)
            throw invalid_argument("begin", "report", std::string("wants ") + wanted, "what needs no other gradients");
        on_stream(stream, [&] {
            if (cuda != nullptr) {
                cuda->places.expect_on_device("begin", batch, own.data);
                cuda->places.clear_results(batch, n, nullptr, stream);
            } else {
                detail::clear_report(batch, contract.layout(), n);
            }
            sequence.emplace(*runner, contract.cut(own.data, batch, n, record_bytes));
            next = 0;
            if (n > 0) sequence->begin();
        });
    }

    /// Steps of the descent are counted from 0; then comes `balance`, then `update`.
    std::int64_t balance_turn() const { return inner_steps; }
    std::int64_t update_turn() const { return inner_steps + 1; }

    /// @throws invalid_argument unless it is this turn
    void expect_turn(const char* function, std::int64_t turn) const {
        if (!sequence) throw invalid_argument(function, "batch", "has not been begun", "`begin` first");
        if (turn != next)
            throw invalid_argument(function, "turn", "is that of " + name_of(next), "that of " + name_of(turn));
    }
    void take_turn(const char* function, std::int64_t turn) {
        expect_turn(function, turn);
        next = turn == update_turn() ? 0 : turn + 1;
    }
    std::string name_of(std::int64_t turn) const {
        return turn == balance_turn()  ? "balance"
               : turn == update_turn() ? "update"
                                       : "descend, t = " + std::to_string(turn);
    }
    static void expect(const char* function, const char* name, const void* array) {
        if (array == nullptr) throw invalid_argument(function, name, "is null", "an array");
    }
    bool is_empty() const { return sequence->arguments().num_problems == 0; }

    detail::staged_contract<Real> contract;
    std::int64_t inner_steps, outer_steps;
    std::unique_ptr<detail::thread_team> team;  ///< of the CPU
    std::unique_ptr<on_device<Real>> cuda;      ///< else
    detail::stream_stages<Real>* enqueued = nullptr;
    std::unique_ptr<detail::stage_runner<Real>> runner;
    std::size_t record_bytes = 0;
    std::optional<detail::stage_sequence<Real>> sequence;
    std::int64_t next = 0;  ///< whose turn it is
    run_info info;
};

template <class Real>
staged_iteration<Real>::staged_iteration(std::int64_t outer_dim, std::int64_t inner_dim, const settings<Real>& settings,
                                         const box<Real>& box, const execution& execution)
    : plan_(std::make_unique<plan>(outer_dim, inner_dim, settings, box, execution)) {}
template <class Real>
staged_iteration<Real>::staged_iteration(staged_iteration&&) noexcept = default;
template <class Real>
staged_iteration<Real>& staged_iteration<Real>::operator=(staged_iteration&&) noexcept = default;
template <class Real>
staged_iteration<Real>::~staged_iteration() = default;

template <class Real>
std::size_t staged_iteration<Real>::workspace_bytes(std::int64_t num_problems) const {
    return plan_->contract.workspace_bytes(num_problems, plan_->record_bytes);
}

template <class Real>
void staged_iteration<Real>::begin(CUstream_st* stream, const state<Real>& state, const cubome::report<Real>& report,
                                   void* workspace, std::size_t bytes) {
    plan_->begin(stream, state, report, {workspace, bytes});
}

template <class Real>
void staged_iteration<Real>::descend(CUstream_st* stream, std::int64_t t, const Real* gradient, Real* descent) {
    plan& p = *plan_;
    p.expect("descend", "gradient", gradient);
    p.expect("descend", "descent", descent);
    if (t < 0 || t >= p.inner_steps)
        throw invalid_argument("descend", "t", "is " + std::to_string(t), "0 … " + std::to_string(p.inner_steps - 1));
    p.take_turn("descend", t);
    if (p.is_empty()) return;
    auto& a = p.sequence->arguments();
    // Stages only read it.
    (t == 0 ? a.inner_gap_gradient : a.gradient) = const_cast<Real*>(gradient);
    a.descent = descent;
    p.on_stream(stream, [&] {
        if (t == 0) {
            p.sequence->plan(false);
            p.sequence->run(stage::choose);
        }
        p.sequence->descend(t);
    });
}

template <class Real>
void staged_iteration<Real>::balance(CUstream_st* stream, const staged_gradients<Real>& gradients) {
    plan& p = *plan_;
    const auto take = [&](const char* name, const Real* array) {
        p.expect("balance", name, array);
        return const_cast<Real*>(array);
    };
    const auto& g = gradients;
    Real* const outer_value = take("gradients.outer_value", g.outer_value);
    Real* const of_outer = take("gradients.of_outer", g.of_outer);
    Real* const of_inner = take("gradients.of_inner", g.of_inner);
    Real* const gap = take("gradients.gap", g.gap);
    Real* const magnitude = take("gradients.magnitude", g.magnitude);
    Real* const gap_of_outer = take("gradients.gap_of_outer", g.gap_of_outer);
    Real* const gap_of_inner = take("gradients.gap_of_inner", g.gap_of_inner);
    p.take_turn("balance", p.balance_turn());
    if (p.is_empty()) return;
    auto& a = p.sequence->arguments();
    a.outer_value = outer_value;
    a.outer_value_gradient = of_outer;
    a.inner_value_gradient = of_inner;
    a.gap = gap;
    a.magnitude = magnitude;
    a.outer_gap_gradient = gap_of_outer;
    a.inner_gap_gradient = gap_of_inner;
    p.on_stream(stream, [&] { p.sequence->balance(); });
}

template <class Real>
void staged_iteration<Real>::update(CUstream_st* stream) {
    plan& p = *plan_;
    p.take_turn("update", p.update_turn());
    if (!p.is_empty()) p.on_stream(stream, [&] { p.sequence->update(); });
}

template <class Real>
void staged_iteration<Real>::report(CUstream_st* stream) {
    plan& p = *plan_;
    p.expect_turn("report", 0);
    if (!p.is_empty()) p.on_stream(stream, [&] { p.sequence->run(stage::report); });
}

template <class Real>
run_info staged_iteration<Real>::info() const noexcept {
    return plan_->info;
}

template class staged_iteration<float>;
template class staged_iteration<double>;

}  // namespace cubome
