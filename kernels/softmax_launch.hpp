// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cubome/core/config.hpp"

/// The kernels of softmax regression around its products of matrices: what each is told, and where they are. A block
/// works on one item after another; its grid is one-dimensional, of any size.
namespace cubome::detail {

/// Samples that a block goes through at once, and features of a penalty. They decide the order of additions.
inline constexpr std::int64_t softmax_chunk = 256;

CUBOME_HD constexpr std::int64_t softmax_chunks(std::int64_t num) {
    return (num + softmax_chunk - 1) / softmax_chunk;
}

/// A factor of a product, as floats; or, where `whole` is null, as the sum of two bfloat16.
struct softmax_factor {
    float* whole;
    std::uint16_t *high, *low;
};

/// Rows of floats or bytes become rows of a factor.
struct softmax_rows_arguments {
    const float* floats;        ///< [num_rows, num_columns]; null:
    const std::uint8_t* bytes;  ///< [num_rows, num_columns], of which (x − shift) scale
    float shift, scale;
    std::int64_t num_rows, num_columns;
    float behind;  ///< what follows a row's last column; then zeros
    softmax_factor to;
    std::int64_t num_written;  ///< rows of the factor, those from num_rows on are zeros
    std::int64_t row;          ///< > num_columns where there is something behind
};
CUBOME_HD constexpr std::int64_t num_items(const softmax_rows_arguments& a) {
    return a.num_written;
}

/// What is made of the scores of some problems' samples.
struct softmax_pass_arguments {
    float* scores;      ///< [num_problems, num_classes, stride]: z
    softmax_factor to;  ///< residuals: of the same extents; `whole` may be `scores`
    std::int64_t stride;
    std::int64_t first_problem, num_problems, num_classes;
    std::int64_t first_sample, num_samples;  ///< the first is a multiple of softmax_chunk
    const std::int32_t* labels;
    const float* outer;  ///< [problems, outer_dim]: v, which begins with v_i; null where w_i = 1
    std::int64_t outer_dim;
    bool is_sigmoid;  ///< w of v_i; else clipped
    float scale;      ///< 1/n
    float* losses;    ///< [problems, losses_stride]: ℓ, where it is wanted; gap: ℓ at θ_k
    std::int64_t losses_stride;
    float* of_outer;  ///< gap: ∇_v q̂ [problems, outer_dim]; null where w_i = 1
    float* partial;  ///< [problems, num_partial, 2]: of each chunk, Σ ℓ / n; gap: of differences and absolute values
    std::int64_t num_partial;
};
CUBOME_HD constexpr std::int64_t num_items(const softmax_pass_arguments& a) {
    return a.num_problems * softmax_chunks(a.num_samples);
}

/// Gradients, from rows of a product.
struct softmax_collect_arguments {
    const float* products;  ///< [num_problems · num_classes, row], the bias behind num_features others
    std::int64_t row;
    const float* rho;    ///< [problems, num_features]; null where there is no penalty
    const float* inner;  ///< θ [problems, num_classes, num_features + 1]
    float* to;           ///< likewise
    std::int64_t first_problem, num_problems, num_classes, num_features;
};
CUBOME_HD constexpr std::int64_t num_items(const softmax_collect_arguments& a) {
    return a.num_problems * a.num_classes;
}

/// ρ of every feature, from v or given.
struct softmax_penalties_arguments {
    const float* outer;  ///< [num_problems, outer_dim], log-penalties from `first` on; null: given
    std::int64_t outer_dim, first;
    const float* given;  ///< [num_problems]; null: the same value for all
    float value;
    float scale;
    float* rho;  ///< [num_problems, num_features]
    std::int64_t num_problems, num_features;
};
CUBOME_HD constexpr std::int64_t num_items(const softmax_penalties_arguments& a) {
    return a.num_problems * softmax_chunks(a.num_features);
}

/// The penalty's part of the gap.
struct softmax_penalty_gap_arguments {
    const float *rho, *inner, *descent;
    float* of_outer;  ///< [num_problems, outer_dim], log-penalties from `first` on; null where they are given
    std::int64_t outer_dim, first;
    std::int64_t num_problems, num_classes, num_features;
    float* partial;  ///< [num_problems, num_partial, 2], from first_partial on
    std::int64_t num_partial, first_partial;
};
CUBOME_HD constexpr std::int64_t num_items(const softmax_penalty_gap_arguments& a) {
    return a.num_problems * softmax_chunks(a.num_features);
}

/// Sums over the chunks of each problem.
struct softmax_totals_arguments {
    const float* partial;  ///< [num_problems, stride, 2]
    std::int64_t stride, num_partial;
    float* first;
    float* second;  ///< may be null
    std::int64_t num_problems;
};
CUBOME_HD constexpr std::int64_t num_items(const softmax_totals_arguments& a) {
    return a.num_problems;
}

/// Each takes one of the structs above.
struct softmax_device_kernels {
    int threads_per_block;
    std::size_t shared_bytes;  ///< dynamic, of a block
    const void *rows, *residuals, *losses, *gap, *collect, *penalties, *penalty_gap, *totals;
};

const softmax_device_kernels* softmax_cuda_kernels();  ///< null in a build without nvcc

}  // namespace cubome::detail
