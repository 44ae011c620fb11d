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
    static constexpr index blocks_per_sm(bool full, [[maybe_unused]] bool is_constant) {
        constexpr bool is_wide = sizeof(Real) > 4;
        return at_least_one((full ? (is_wide ? 256 : 384) : (is_wide ? 512 : 896)) / Threads);
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
    static constexpr index blocks_per_sm(bool full, [[maybe_unused]] bool is_constant) {
        constexpr bool is_wide = sizeof(Real) > 4;
        return at_least_one((full || is_wide || !is_constant ? 256 : 384) / Threads);
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
    static constexpr index blocks_per_sm(bool, bool) { return at_least_one(256 / Width); }

    static CUBOME_INLINE group make_group(char* shared) { return group(reinterpret_cast<Real*>(shared)); }
    static CUBOME_INLINE lane_access<group> access(const group& g, std::int64_t problem) { return {g, problem}; }
    static constexpr std::size_t exchange_bytes = (group::num_exchanged * sizeof(Real) + 15) / 16 * 16;
};

/// The body of the kernel: problems along the grid, in strides of all its groups.
template <class Mapping, class Family, bool Full, class... Extents>
CUBOME_INLINE void solve_problems(const launch_arguments<typename Mapping::group::real>& a) {
    using solve = problem_solve<typename Mapping::group, Family, Full, Extents...>;
    constexpr index groups_per_block = Mapping::threads_per_block / Mapping::lanes;
    const index group_in_block = simt::thread_rank() / Mapping::lanes;
    const std::int64_t group_rank = simt::block_rank() * groups_per_block + group_in_block;
    const std::int64_t num_groups = simt::num_blocks() * groups_per_block;

    char* const shared = simt::shared_memory();
    const auto g = Mapping::make_group(shared);
    const arena pieces(a.workspace + group_rank * static_cast<std::int64_t>(a.workspace_bytes),
                       shared + Mapping::exchange_bytes + group_in_block * a.near_bytes, a.near_limit);

    const launch_part<typename Mapping::group::real> part(a);
    const std::int64_t count = a.num_problems == nullptr ? a.max_problems : *a.num_problems;
    for (std::int64_t i = group_rank; i < count; i += num_groups) {
        const std::int64_t problem = a.problems == nullptr ? i : a.problems[i];
        const auto lanes = Mapping::access(g, problem);
        const bool is_paused = solve::solve(g, a.batch, lanes, pieces, a.dims, i == group_rank, part);
        if (a.is_paused != nullptr && lanes.count() > 0) a.is_paused[problem] = is_paused;
    }
}

#ifdef __CUDACC__
template <class Mapping, class Family, bool Full, class... Extents>
__global__ void __launch_bounds__(Mapping::threads_per_block,
                                  Mapping::blocks_per_sm(Full, (... && Extents::is_constant)))
    solve_kernel(const __grid_constant__ launch_arguments<typename Mapping::group::real> arguments) {
    solve_problems<Mapping, Family, Full, Extents...>(arguments);
}
#else
/// What a thread of a modelled device does.
template <class Mapping, class Family, bool Full, class... Extents>
void solve_kernel(const launch_arguments<typename Mapping::group::real>& arguments) {
    solve_problems<Mapping, Family, Full, Extents...>(arguments);
}
#endif

CUBOME_END_NAMESPACE
