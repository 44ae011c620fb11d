// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cubome/batch_view.hpp"
#include "cubome/report.hpp"
#include "cubome/settings.hpp"

struct CUstream_st;  // what cudaStream_t points to

/// The staged engine: problems too large for one group of lanes, and gradients that the caller computes. The problems
/// of a batch advance together; an oracle computes the gradients of all of them at once, the solver does the rest, by
/// the rules, settings, states and reports of `solver`. Link cubome::staged.
namespace cubome {

/// What an oracle is told besides its arrays.
struct oracle_call {
    std::int64_t num_problems = 0;
    int num_threads = 1;  ///< threads that it may use
    /// In `inner_gradient`: t, where `inner` is the descent's θ⁽ᵗ⁾. With 0 it is θ_k, which is also the `inner` of the
    /// next `gap_gradient`. −1 in other places, and in other functions.
    std::int64_t descent_step = -1;
    CUstream_st* stream = nullptr;  ///< CUDA: what it enqueues its work on
};

/// The functions f and g of a batch of problems, and their gradients: what a caller brings to the staged engine.
///
/// Arrays are row-major: v and its gradients [num_problems, outer_dim], θ and its gradients [num_problems, inner_dim],
/// values [num_problems]. Outputs are written whole. What is computed for a problem may depend on the problem alone, or
/// the promises of isolation and repeatability are gone. Problems that have ended are still among them. Inputs are not
/// always finite, starts and descents that have left the numbers among them: an oracle hands on what comes of it. Two
/// inputs may be one array.
///
/// An oracle for CUDA finds its arrays on the device and enqueues its work on the stream of the call. There it neither
/// waits nor allocates: the solver captures its calls in a graph, and replays them. The solver's device is the current
/// one in every call.
///
/// What a function throws ends the solve and is thrown by it: problems under way are reported as `cancelled`, with v
/// and θ of their last update, and can be gone on with; so are those that only waited for their refined gap.
template <class Real>
class oracle {
public:
    virtual ~oracle() = default;

    virtual std::int64_t outer_dim() const = 0;  ///< n_v ≥ 1
    virtual std::int64_t inner_dim() const = 0;  ///< n_θ ≥ 1

    /// Where its functions do their work: `cpu` or `cuda`.
    virtual backend where() const { return backend::cpu; }

    /// Called at the start of a solve, before anything is written: the time to allocate what so many problems need.
    virtual void reserve(std::int64_t num_problems);

    /// Whether f and g have curvature in θ, without which step_rule::automatic finds no steps.
    virtual bool has_curvature() const { return true; }

    /// Whether there is a metric on held-out data.
    virtual bool has_held_out() const { return false; }

    /// What depends on v alone; every call that follows is for this v until the next one.
    virtual void prepare(const oracle_call& call, const Real* outer);

    /// ∇_θ g(v, θ).
    virtual void inner_gradient(const oracle_call& call, const Real* outer, const Real* inner, Real* gradient) = 0;

    /// q̂ = g(v, θ) − g(v, θ⁽ᵀ⁾), summed from the differences of its terms; the sum m of the absolute values that were
    /// subtracted; ∇_v q̂ = ∇_v g(v, θ) − ∇_v g(v, θ⁽ᵀ⁾), in which terms of v alone cancel.
    ///
    /// @param descent θ⁽ᵀ⁾ [num_problems, inner_dim]
    virtual void gap_gradient(const oracle_call& call, const Real* outer, const Real* inner, const Real* descent,
                              Real* gap, Real* magnitude, Real* gradient) = 0;

    /// f(v, θ), ∇_v f and ∇_θ f.
    virtual void outer_gradient(const oracle_call& call, const Real* outer, const Real* inner, Real* value,
                                Real* of_outer, Real* of_inner) = 0;

    /// The metric on held-out data, where has_held_out() says that there is one.
    virtual void held_out(const oracle_call& call, const Real* outer, const Real* inner, Real* value);
};

/// Bounds on v [outer_dim] and on θ and θ⁽ᵗ⁾ [inner_dim], per problem or shared; what is not given is no bound, neither
/// is −∞ below or +∞ above.
template <class Real>
struct box {
    batch_view<const Real> outer_lower, outer_upper, inner_lower, inner_upper;
};

/// The plan behind a staged solve. Used by one thread at a time; const queries from any. The arrays that settings and
/// box view are read in each solve.
///
/// The order of additions depends on the dimensions alone: a problem's bits are the same in every batch and on every
/// number of threads, as far as the oracle's are.
template <class Real>
class staged_solver {
public:
    /// On CUDA it loads the kernels, and asks the device all that it needs to know.
    /// @param oracle    must outlive the solver; its dimensions are asked for here
    /// @param execution `where` is the oracle's, or automatic; CUBOME_BACKEND is not looked at
    /// @throws invalid_argument, which names what is wrong; not_compiled or backend_unavailable for a backend or
    ///         instruction set that cannot run; cuda_error
    staged_solver(cubome::oracle<Real>& oracle, const cubome::settings<Real>& settings,
                  const cubome::box<Real>& box = {}, const cubome::execution& execution = {});
    staged_solver(staged_solver&&) noexcept;
    staged_solver& operator=(staged_solver&&) noexcept;
    ~staged_solver();

    /// Bytes of workspace that a solve of so many problems takes at most, of the memory of what `info()` names; linear
    /// in num_problems and dimensions.
    /// @throws invalid_argument if num_problems is negative, or more than memory can hold
    std::size_t workspace_bytes(std::int64_t num_problems) const;

    /// Solves the problems of `state`; K, T, tolerances, traces, restarts: all as `solver::solve`. `execution::cancel`
    /// is looked at once an iteration on the CPU, every 32 iterations on a device.
    ///
    /// On CUDA an iteration is one launch of a graph: the host waits for it, and sees how many problems go on, every 32
    /// of them. Arrays lie in host memory or in the device's, each where the caller likes.
    ///
    /// @throws invalid_argument and, for memory of its own, std::bad_alloc before anything is written, on CUDA
    ///         cuda_error; whatever the oracle throws, with state and report as `oracle` says; cuda_error
    run_info solve(const state<Real>& state, const report<Real>& report = {});

    /// The same in memory of the caller's; on CUDA it is the device's, and so are all arrays, or such that it can
    /// reach.
    /// @param workspace aligned to 64, `bytes` ≥ workspace_bytes(num_problems)
    run_info solve(const state<Real>& state, const report<Real>& report, void* workspace, std::size_t bytes);

    /// Enqueues the solve on a stream, of the solver's device, and returns: nothing is allocated, nothing waited for,
    /// so that the stream may be capturing a graph. All arrays must be in memory that the device can reach, and stay
    /// until the work is done; the oracle must have been told to `reserve` for so many problems before. All K + 1
    /// iterations are enqueued, launch by launch; `cancel` and `progress` are not looked at.
    ///
    /// Iteration numbers are not checked. With step_rule::automatic and iteration numbers in `state` every iteration
    /// measures curvatures, which costs two gradients: the numbers are the device's, nobody here can see whose turn it
    /// is.
    ///
    /// @param stream    null: the legacy default stream
    /// @param workspace device memory, aligned to 64, of this call alone until the work is done
    /// @throws invalid_argument, also if the oracle works on the CPU; cuda_error, and whatever the oracle throws: what
    ///         was enqueued before it will still run
    run_info enqueue(CUstream_st* stream, const state<Real>& state, const report<Real>& report, void* workspace,
                     std::size_t bytes);

    run_info info() const noexcept;

private:
    struct plan;
    std::unique_ptr<plan> plan_;
};

/// What a pipeline has computed at (v_k, θ_k), and at θ⁽ᵀ⁾, of a batch: f, ∇f, q̂ and ∇q̂. Layouts as `oracle`'s.
template <class Real>
struct staged_gradients {
    const Real* outer_value = nullptr;  ///< f [num_problems]
    const Real* of_outer = nullptr;     ///< ∇_v f [num_problems, outer_dim]
    const Real* of_inner = nullptr;     ///< ∇_θ f [num_problems, inner_dim]

    const Real* gap = nullptr;           ///< q̂ [num_problems]
    const Real* magnitude = nullptr;     ///< m [num_problems], the sum of absolute values that q̂ is the difference of
    const Real* gap_of_outer = nullptr;  ///< ∇_v q̂ [num_problems, outer_dim]
    const Real* gap_of_inner = nullptr;  ///< ∇_θ q̂ = ∇_θ g(v_k, θ_k) [num_problems, inner_dim]
};

/// The steps of BOME's iteration one by one, for pipelines that compute gradients and keep the loop themselves. For a
/// batch, after `begin`, K + 1 times:
///
///     descend, t = 0 … T−1    θ⁽ᵗ⁺¹⁾ = P(θ⁽ᵗ⁾ − α m), m the gradient ∇_θ g(v_k, θ⁽ᵗ⁾) or its heavy ball
///     balance                 six sums, λ, λ*, s; who has converged, or failed, goes on no more
///     update                  d = ∇f + λ∇q̂; v = P(v − ξ_v d_v), θ = P(θ − ξ_θ d_θ), through momenta and schedules
///
/// and `report` when somebody wants to know. The rules are those of `staged_solver`, and so are the bits, but for what
/// needs gradients at other points: steps are step_rule::fixed, the gap has no tolerance, nothing is refined.
///
/// On CUDA each call enqueues some launches on a stream and returns: no memory is allocated, nothing waited for, and
/// the stream may be capturing a graph. All arrays are memory that the device can reach, and stay until the work is
/// done. On the CPU each call returns when it is done, and `stream` is not looked at.
///
/// `descend` and `update` read and write each element once, `balance` reads each of the four gradients once. More
/// passes: over the gradients in `balance` where somebody looks at the stationarity, which are a tolerance, a trace, a
/// best iterate, a box, and the last iteration; over everything in `update` where it might not be finite, or there is a
/// box; copies for a best iterate and an inner momentum that persists.
///
/// Arrays given to `descend` and `balance` are taken as they are: that they lie where they should and do not overlap
/// anything is not checked. After a cuda_error it is `begin`'s turn.
template <class Real>
class staged_iteration {
public:
    /// @param execution `where`: cuda; otherwise the CPU, whatever CUBOME_BACKEND says
    /// @throws invalid_argument, also for what is not offered here; not_compiled; backend_unavailable; cuda_error
    staged_iteration(std::int64_t outer_dim, std::int64_t inner_dim, const settings<Real>& settings,
                     const box<Real>& box = {}, const execution& execution = {});
    staged_iteration(staged_iteration&&) noexcept;
    staged_iteration& operator=(staged_iteration&&) noexcept;
    ~staged_iteration();

    /// Bytes of workspace that so many problems take, of the memory of what `info()` names.
    /// @throws invalid_argument
    std::size_t workspace_bytes(std::int64_t num_problems) const;

    /// Takes up a batch. `state` and `report` are read and written until the next `begin`.
    /// @param workspace aligned to 64, `bytes` ≥ workspace_bytes(num_problems); of this batch until the next `begin`
    /// @throws invalid_argument before anything is written
    void begin(CUstream_st* stream, const state<Real>& state, const cubome::report<Real>& report, void* workspace,
               std::size_t bytes);

    /// θ⁽ᵗ⁺¹⁾ of all problems that have not ended, in place for t ≥ 1. With t = 0 an iteration begins.
    ///
    /// @param t        0, 1 … inner_steps − 1, in this order
    /// @param gradient ∇_θ g(v_k, θ⁽ᵗ⁾) [num_problems, inner_dim]; with t = 0 that at θ_k
    /// @param descent  θ⁽ᵗ⁾, read for t ≥ 1, and θ⁽ᵗ⁺¹⁾ [num_problems, inner_dim]; the same array for all t
    /// @throws invalid_argument for null, or another t than is next
    void descend(CUstream_st* stream, std::int64_t t, const Real* gradient, Real* descent);

    /// λ and the rest of the evaluation, after the last `descend`.
    /// @throws invalid_argument for null, or out of turn
    void balance(CUstream_st* stream, const staged_gradients<Real>& gradients);

    /// Moves v and θ of `state` by what `balance` was given, which must still be there.
    /// @throws invalid_argument out of turn
    void update(CUstream_st* stream);

    /// Writes the report, and what `state` remembers, after an `update`. Of problems under way it tells what the last
    /// `balance` found, and says `cancelled`: another `begin`, or a `staged_solver`, can go on with them.
    /// @throws invalid_argument before `begin`, or amid an iteration
    void report(CUstream_st* stream);

    run_info info() const noexcept;

private:
    struct plan;
    std::unique_ptr<plan> plan_;
};

extern template class oracle<float>;
extern template class oracle<double>;
extern template class staged_solver<float>;
extern template class staged_solver<double>;
extern template class staged_iteration<float>;
extern template class staged_iteration<double>;

}  // namespace cubome
