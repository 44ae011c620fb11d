// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/family.hpp"
#include "cubome/cuda/solve_kernel.cuh"

/// Makes the CUDA half of a family's table: for the shipped ones, and for a user's own in a .cu of theirs.
CUBOME_BEGIN_NAMESPACE

/// Shared memory that a block's arrays of run-time extents may take: where several tiles share it, the 48 KiB that
/// every device gives unasked; else 96. Those, and what constant extents take, must be asked for: they leave room for
/// two blocks on a multiprocessor of compute capability 9.0, and for one on those of 8.x.
inline constexpr std::size_t tiles_near_bytes = 48 * 1024;
inline constexpr std::size_t block_near_bytes = 96 * 1024;

/// Problems of run-time extents up to this go to a tile of a warp, larger ones to a block.
inline constexpr std::int64_t largest_tile_extent = 64;

/// The CUDA half of a family for given extents and lanes.
template <class Family, class Mapping, class... Extents>
struct cuda_variant {
    using scalar = typename Mapping::group::real;

    static constexpr std::size_t groups_per_block = Mapping::threads_per_block / Mapping::lanes;
    static constexpr std::size_t near_limit =
        Mapping::lanes > 32 ? block_near_bytes : tiles_near_bytes / groups_per_block / 16 * 16;

    static bool serves(const std::int64_t* dims) { return are_extents_of<Extents...>(dims); }

    static cuda_plan plan(const std::int64_t* dims, solve_text text) {
        static char nowhere[1];
        arena counter(nullptr, nowhere, near_limit);
        cuda_plan result;
        result.mapping = Mapping::lanes == 1 ? "thread" : Mapping::lanes <= 32 ? "tile" : "block";
        result.lanes = Mapping::lanes;
        result.threads_per_block = Mapping::threads_per_block;
        with_text(text, [&](auto with) {
            constexpr solve_text chosen = decltype(with)::value;
            problem_solve<typename Mapping::group, Family, chosen, Extents...>::measure(counter, dims);
            result.kernel = reinterpret_cast<const void*>(&solve_kernel<Mapping, Family, chosen, Extents...>);
        });
        result.near_bytes = counter.near_used();
        result.near_limit = near_limit;
        result.workspace_bytes = counter.used();
        result.shared_bytes = Mapping::exchange_bytes + groups_per_block * result.near_bytes;
        return result;
    }
};

/// The variants of run-time extents.
template <class Scalar, class Family>
struct run_time_cuda_variants {
    template <class... Extents>
    using tile_of = cuda_variant<Family, tile_mapping<Scalar, 32>, Extents...>;
    template <class... Extents>
    using block_of = cuda_variant<Family, block_mapping<Scalar, 128>, Extents...>;

    using tile = with_run_time_extents<Family, tile_of>;
    using block = with_run_time_extents<Family, block_of>;
};

/// A family's CUDA half: the variants with constant extents first, then those of run-time extents. A family without
/// extents, whose sizes are all fixed, has a thread for each problem.
template <class Scalar, class Family, class... Constant>
struct cuda_family {
    static cuda_plan plan(const std::int64_t* dims, solve_text text) noexcept {
        cuda_plan result;
        if ((... || (Constant::serves(dims) && (result = Constant::plan(dims, text), true)))) return result;
        if constexpr (Family::num_extents == 0) {
            return cuda_variant<Family, thread_mapping<Scalar>>::plan(dims, text);
        } else {
            using variants = run_time_cuda_variants<Scalar, Family>;
            std::int64_t largest = 0;
            for (int k = 0; k < Family::num_extents; ++k) largest = dims[k] > largest ? dims[k] : largest;
            return largest <= largest_tile_extent ? variants::tile::plan(dims, text)
                                                  : variants::block::plan(dims, text);
        }
    }

    static constexpr cuda_functions<Scalar> functions{&plan};
};

/// A family's table with its CUDA half alone, for programs that have no use for the CPU's.
template <class Scalar, class Family>
const problem_runner<Scalar>& make_cuda_runner() {
    static const problem_runner<Scalar> runner = [] {
        auto result = describe<Scalar, Family>();
        result.cuda = &cuda_family<Scalar, Family>::functions;
        return result;
    }();
    return runner;
}

CUBOME_END_NAMESPACE
