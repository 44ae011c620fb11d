// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/problem_solve.hpp"
#include "cubome/cuda/block_group.cuh"
#include "cubome/cuda/launch.hpp"
#include "cubome/cuda/tile_group.cuh"

/// The kernel: every group of lanes solves one problem after another, all iterations of it, or those of one launch.
CUBOME_BEGIN_NAMESPACE

/// One problem on the lanes of a device group.
template <class Group>
class device_access {
    using real = typename Group::real;

public:
    static constexpr index size = 1;
    static constexpr bool reads_parameters_cheaply = true;  ///< they are in constant memory

    CUBOME_INLINE device_access(const Group& g, std::int64_t problem) : g_(g), problem_(problem) {}

    CUBOME_INLINE std::int64_t problem(index) const { return problem_; }
    /// One lane answers for the problem.
    CUBOME_INLINE index count() const { return g_.rank() == 0 ? 1 : 0; }

    template <class Value>
    CUBOME_INLINE real number(Value&& value) const {
        return real(value(problem_));
    }

    template <class Storage, class Value>
    CUBOME_INLINE void load(Storage& storage, Value&& value) const {
        if constexpr (!requires { storage.columns(); }) {
            g_.for_each(storage.rows(), [&](lane_element i) { storage[i] = value(problem_, i.element); });
        } else if constexpr (Storage::is_inline) {
            g_.for_each(storage.rows(), [&](lane_element i) {
                const std::int64_t row = std::int64_t(i.element) * storage.columns();
                unroll<decltype(storage.columns())::constant>(
                    [&](index j) { storage.set(i, j, value(problem_, row + j)); });
            });
        } else {
            // Neighbouring lanes read neighbouring elements, whoever needs them.
            const index columns = storage.columns();
            const index count = storage.rows() * columns;
            CUBOME_NO_UNROLL
            for (index e = g_.rank(); e < count; e += Group::width)
                storage.set(e / columns, e % columns, value(problem_, e));
        }
    }

    template <class Storage>
    CUBOME_INLINE void store(const Storage& storage, real* to) const {
        const std::int64_t row = problem_ * index(storage.rows());
        g_.for_each(storage.rows(), [&](lane_element i) { to[row + i.element] = storage[i]; });
    }

    CUBOME_INLINE void store_number(real x, real* to, std::int64_t stride) const {
        if (g_.rank() == 0) to[problem_ * stride] = x;
    }

    CUBOME_INLINE void begin() const { g_.wait(); }
    CUBOME_INLINE void loaded() const { g_.wait(); }

private:
    const Group& g_;
    std::int64_t problem_;
};

template <class Real, index Width>
class lane_access<tile_group<Real, Width>> : public device_access<tile_group<Real, Width>> {
    using device_access<tile_group<Real, Width>>::device_access;
};
template <class Real, index Width>
class lane_access<block_group<Real, Width>> : public device_access<block_group<Real, Width>> {
    using device_access<block_group<Real, Width>>::device_access;
};

/// The iterations of one launch.
template <class Real>
class launch_part {
public:
    CUBOME_INLINE explicit launch_part(const launch_arguments<Real>& a) : a_(a) {}

    CUBOME_INLINE std::int64_t first_step() const { return a_.first_step; }
    CUBOME_INLINE bool pauses(std::int64_t step) const { return step >= a_.end_step; }
    CUBOME_INLINE bool should_stop() const { return a_.is_cancelled; }

private:
    const launch_arguments<Real>& a_;
};

// How many threads a multiprocessor is to hold decides how many registers each may have: as few as it takes for nothing
// to spill.
constexpr index at_least_one(index blocks) {
    return blocks > 0 ? blocks : 1;
}

/// One problem per thread.
template <class Real, index Threads = 128>
struct thread_mapping {
    using group = serial_group<Real>;
    static constexpr index lanes = 1;
    static constexpr index threads_per_block = Threads;
    static constexpr index blocks_per_sm(solve_text text, [[maybe_unused]] bool is_constant) {
        constexpr bool is_wide = sizeof(Real) > 4;
        return at_least_one((text != solve_text::plain ? (is_wide ? 256 : 384) : (is_wide ? 384 : 896)) / Threads);
    }

    static CUBOME_INLINE group make_group(char*) { return group(); }
    static CUBOME_INLINE lane_access<group> access(const group&, std::int64_t problem) { return {problem, 1}; }
    static constexpr std::size_t exchange_bytes = 0;
};

/// One problem per `Width` lanes of a warp.
template <class Real, index Width, index Threads = 128>
struct tile_mapping {
    using group = tile_group<Real, Width>;
    static constexpr index lanes = Width;
    static constexpr index threads_per_block = Threads;
    static constexpr index blocks_per_sm(solve_text text, [[maybe_unused]] bool is_constant) {
        constexpr bool is_wide = sizeof(Real) > 4;
        return at_least_one((text != solve_text::plain || is_wide || !is_constant ? 256 : 384) / Threads);
    }

    static CUBOME_INLINE group make_group(char*) { return group(); }
    static CUBOME_INLINE lane_access<group> access(const group& g, std::int64_t problem) { return {g, problem}; }
    static constexpr std::size_t exchange_bytes = 0;
};

/// One problem per block.
template <class Real, index Width>
struct block_mapping {
    using group = block_group<Real, Width>;
    static constexpr index lanes = Width;
    static constexpr index threads_per_block = Width;
    static constexpr index blocks_per_sm(solve_text, bool) { return at_least_one(256 / Width); }

    static CUBOME_INLINE group make_group(char* shared) { return group(reinterpret_cast<Real*>(shared)); }
    static CUBOME_INLINE lane_access<group> access(const group& g, std::int64_t problem) { return {g, problem}; }
    static constexpr std::size_t exchange_bytes = (group::num_exchanged * sizeof(Real) + 15) / 16 * 16;
};

/// All iterations at once.
struct whole_launch {
    static CUBOME_INLINE std::int64_t first_step() { return 0; }
    static CUBOME_INLINE bool pauses(std::int64_t) { return false; }
    static CUBOME_INLINE bool should_stop() { return false; }
};

/// The lanes of a kernel that solve problems: each thread, tile or block of the grid one problem after another. It is
/// what the library's kernel is made of, and the way for a kernel of one's own to solve problems with the lanes it has,
/// between whatever else it does:
///
///     template <class Batch>
///     __global__ void my_kernel(Batch batch, cubome::cuda_plan plan, char* workspace) {
///         cubome::lane_solver<cubome::tile_mapping<float, 4>, cubome::problems::quadratic_family,
///         cubome::solve_text::plain,
///                             cubome::extent<8>, cubome::extent<8>> solver(plan, workspace);
///         // the tile makes its problem, in memory that all its lanes can reach
///         solver.solve(batch, dims, problem);
///     }
///
/// The plan is `cuda_variant<Family, Mapping, Extents...>::plan(dims, Text)`, made on the host: launch blocks of
/// plan.threads_per_block threads with plan.shared_bytes of dynamic shared memory, or more: the solver's is the first
/// part. Lanes that left one another while a problem was made meet at the solve's first barrier; what one lane wrote of
/// it is seen by the others if they passed `simt::sync_warp`, `__syncwarp` or `__syncthreads` since.
template <class Mapping, class Family, solve_text Text, class... Extents>
class lane_solver {
    using group = typename Mapping::group;
    using real = typename group::real;
    using one_solve = problem_solve<group, Family, Text, Extents...>;
    static constexpr index groups_per_block = Mapping::threads_per_block / Mapping::lanes;

public:
    /// @param plan      what has near_bytes, near_limit and workspace_bytes: a cuda_plan, or launch_arguments
    /// @param workspace plan.workspace_bytes for each group of the grid, aligned to 64; null if they are 0
    template <class Plan>
    CUBOME_INLINE lane_solver(const Plan& plan, char* workspace)
        : group_(Mapping::make_group(simt::shared_memory())),
          pieces_(workspace + group_rank() * static_cast<std::int64_t>(plan.workspace_bytes),
                  simt::shared_memory() + Mapping::exchange_bytes + rank_in_block() * plan.near_bytes,
                  plan.near_limit) {}

    /// Which of the grid's groups this is, and how many there are.
    static CUBOME_INLINE std::int64_t group_rank() { return simt::block_rank() * groups_per_block + rank_in_block(); }
    static CUBOME_INLINE std::int64_t num_groups() { return simt::num_blocks() * groups_per_block; }

    /// Solves one problem of a batch: of the same one in each call, since arrays that all problems share stay where
    /// they were loaded. All lanes of the group call it with the same arguments.
    ///
    /// @param batch  pointers that the device can reach; options and parameters as `solve` makes them of settings
    /// @param dims   the family's dimensions; of constant extents none is read
    /// @return whether the problem is paused, see launch_arguments; never with whole_launch
    template <class Part = whole_launch>
    CUBOME_INLINE bool solve(const batch_arguments<real>& batch, const std::int64_t* dims, std::int64_t problem,
                             const Part& part = {}) {
        const auto lanes = Mapping::access(group_, problem);
        const bool is_paused = one_solve::solve(group_, batch, lanes, pieces_, dims, is_first_, part);
        is_first_ = false;
        return is_paused;
    }

private:
    static CUBOME_INLINE index rank_in_block() { return simt::thread_rank() / Mapping::lanes; }

    group group_;
    arena pieces_;
    bool is_first_ = true;
};

/// The body of the kernel: problems along the grid, in strides of all its groups.
template <class Mapping, class Family, solve_text Text, class... Extents>
CUBOME_INLINE void solve_problems(const launch_arguments<typename Mapping::group::real>& a) {
    using solver_type = lane_solver<Mapping, Family, Text, Extents...>;
    solver_type solver(a, a.workspace);
    const launch_part<typename Mapping::group::real> part(a);
    const std::int64_t count = a.num_problems == nullptr ? a.max_problems : *a.num_problems;
    for (std::int64_t i = solver_type::group_rank(); i < count; i += solver_type::num_groups()) {
        const std::int64_t problem = a.problems == nullptr ? i : a.problems[i];
        const bool is_paused = solver.solve(a.batch, a.dims, problem, part);
        if (a.is_paused != nullptr && simt::thread_rank() % Mapping::lanes == 0) a.is_paused[problem] = is_paused;
    }
}

#ifdef __CUDACC__
template <class Mapping, class Family, solve_text Text, class... Extents>
__global__ void __launch_bounds__(Mapping::threads_per_block,
                                  Mapping::blocks_per_sm(Text, (... && Extents::is_constant)))
    solve_kernel(const __grid_constant__ launch_arguments<typename Mapping::group::real> arguments) {
    solve_problems<Mapping, Family, Text, Extents...>(arguments);
}
#else
/// What a thread of a modelled device does.
template <class Mapping, class Family, solve_text Text, class... Extents>
void solve_kernel(const launch_arguments<typename Mapping::group::real>& arguments) {
    solve_problems<Mapping, Family, Text, Extents...>(arguments);
}
#endif

CUBOME_END_NAMESPACE
