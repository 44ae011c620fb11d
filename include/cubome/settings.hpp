// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "cubome/batch_view.hpp"
#include "cubome/core/types.hpp"

namespace cubome {

/// A number of the settings: one value for the whole batch, or one per problem.
template <class Real>
class setting {
public:
    /// The same value for every problem.
    constexpr setting(Real value) noexcept : value_(value) {}

    /// One value per problem: `[num_problems]`. The array is read during each solve and is not copied
    /// before. Its values are not checked: one out of range spoils its own problem, and no other.
    constexpr setting(batch_view<const Real> values) noexcept : values_(values), is_per_problem_(true) {}
    constexpr setting(batch_view<Real> values) noexcept : values_(values), is_per_problem_(true) {}

    constexpr bool is_per_problem() const noexcept { return is_per_problem_; }
    constexpr Real value() const noexcept { return value_; }
    constexpr batch_view<const Real> values() const noexcept { return values_; }

private:
    Real value_ = 0;
    batch_view<const Real> values_;
    bool is_per_problem_ = false;
};

/// How every problem of a batch is solved. Symbols: docs/design.md.
template <class Real>
struct settings {
    std::int64_t outer_steps = 1000;  ///< K ≥ 0: at most so many outer iterations in this call
    std::int64_t inner_steps = 10;    ///< T ≥ 1: steps of the inner descent in each of them
    std::int64_t refine_steps = -1;   ///< R ≥ 0: descent steps behind the refined values; −1 means 10 T
    std::int64_t trace_interval = 0;  ///< r ≥ 1: trace every r iterations; 0 means no trace
    barrier_form barrier = barrier_form::gradient_norm;
    step_rule steps = step_rule::automatic;
    box_rule box = box_rule::free_set;
    bool inner_momentum_reset = true;  ///< false: the inner momentum persists from one outer iteration to the next

    // The three step sizes and their schedules belong to step_rule::fixed, which needs the sizes: the automatic rule
    // refuses them. 0 means not set.
    setting<Real> outer_step_size = Real(0);    ///< ξ_v > 0, moves v
    setting<Real> inner_step_size = Real(0);    ///< ξ_θ > 0, moves θ
    setting<Real> descent_step_size = Real(0);  ///< α > 0, moves θ⁽ᵗ⁾; never scheduled
    setting<Real> outer_schedule = Real(0);     ///< p ≥ 0: iteration k uses ξ_v (k + 1)^(−p); 0 means exactly ξ_v
    setting<Real> inner_schedule = Real(0);     ///< p ≥ 0: the same for ξ_θ

    /// In [0, 1): heavy ball on the outer direction, as torch.optim.SGD. −1, for the whole batch, means 0 with fixed
    /// steps and 0.9 with automatic ones.
    setting<Real> outer_momentum = Real(-1);
    setting<Real> inner_momentum = Real(0);  ///< in [0, 1): heavy ball on the inner descent
    setting<Real> eta = Real(0.5);           ///< η > 0, see barrier_form; the automatic rule takes it without unit
    /// ε > 0, keeps λ finite at ∇q̂ = 0. 0, for the whole batch, means 1e-8 with fixed steps and the smallest normal
    /// number with automatic ones.
    setting<Real> epsilon = Real(0);

    // A problem has converged when every tolerance that is set is met, and one is. 0 means not set.
    setting<Real> tol_stationarity = Real(0);      ///< ≥ 0, on s = ‖∇f + λ*∇q̂‖²
    setting<Real> tol_gap = Real(0);               ///< ≥ 0, on q̂ and on the refined gap
    setting<Real> rel_tol_stationarity = Real(0);  ///< ≥ 0, on s in units of the first s, that of iteration 0
    setting<Real> rel_tol_gap = Real(0);           ///< ≥ 0, on q̂ in units of |f|, and on the refined gap in its |f|
};

/// What runs a solve.
enum class backend : std::uint8_t {
    /// The CUBOME_BACKEND environment variable if set (cpu, cuda). Else a CUDA device where one can be used, but for
    /// batches in host memory that are too small to fill it, which the CPU has solved sooner: fewer than 256 problems
    /// with the mapping "thread", 64 with "tile", 16 with "block".
    automatic,
    cpu,
    cuda,
};

/// Where and with how much a solve runs. None of it changes a result's bits, except `where` and `instructions`.
struct execution {
    backend where = backend::automatic;
    instruction_set instructions = instruction_set::automatic;  ///< CPU; CUBOME_INSTRUCTION_SET acts on automatic only
    int num_threads = 0;                                        ///< CPU threads, ≥ 1; 0 means all cores
    /// CUDA: its number, ≥ 0; −1 means the one that is the calling thread's when the plan is made. A process that is to
    /// touch one device alone calls cudaSetDevice and leaves −1: going back to another one would make a context there.
    int device = -1;
    /// CUDA: outer iterations of one kernel launch, ≥ 1. 0 means all of them, or 256 where problems may end early: a
    /// tolerance is set, or `cancel` or `progress` given. Between launches the problems that go on are gathered.
    std::int64_t steps_per_launch = 0;
    /// True stops the solve; polled once an iteration on the CPU, between launches on a device. Problems under way end
    /// as `cancelled`, those that were not begun stay `not_run`; both can be gone on with.
    const std::atomic<bool>* cancel = nullptr;
    std::atomic<std::int64_t>* progress = nullptr;  ///< counts the problems that are done
};

/// What ran a solve.
struct run_info {
    backend where = backend::cpu;
    instruction_set instructions = instruction_set::automatic;  ///< of the CPU
    int num_threads = 0;  ///< of the CPU, at most: where the system gives no more, the others take their share
    int device = -1;      ///< of CUDA
    /// CPU: "pack", one problem per SIMD lane, or "thread", one per thread. CUDA: one per "thread", "tile" of a warp,
    /// or "block".
    const char* mapping = "";
};

/// The names that messages, reports and environment variables use: "cpu", "avx512", "step_limit", …
const char* to_string(backend value) noexcept;
const char* to_string(instruction_set value) noexcept;
const char* to_string(outcome value) noexcept;
const char* to_string(quantity value) noexcept;

}  // namespace cubome
