// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// The inner loops of softmax regression on the CPU, one table of functions per instruction set, each compiled in an
/// object of its own: nothing but plain data crosses this line.
///
/// A sum over features or samples has an order that no other sample, class or problem takes part in: a problem's bits
/// are the same whatever stands beside it.
namespace cubome::detail {

/// Rows of what is multiplied are padded with zeros to whole vectors of every instruction set. A row of θ or of a
/// gradient has its bias behind that, and as much room again.
inline constexpr std::int64_t softmax_lanes = 16;

/// Some samples in a row: `[num_samples, stride]`, of which `padded` features count.
struct softmax_panel {
    const float* x;
    std::int64_t stride;
    std::int64_t padded;
    std::int64_t num_samples;
};

/// Entries of sparse samples by sample, or by feature: those of k are [starts[k], starts[k + 1]).
struct softmax_entries {
    const std::int64_t* starts;
    const std::int32_t* places;  ///< the feature, or the sample
    const float* values;
};

/// Rows of θ, or of a gradient: `[num_rows, padded + softmax_lanes]`, the bias at `padded`.
struct softmax_rows {
    float* data;
    std::int64_t num_rows;
};

/// What is made of one problem's scores of one panel.
struct softmax_pass {
    float* scores;        ///< [num_classes, stride]: z, which residuals replace
    std::int64_t stride;  ///< a multiple of softmax_lanes, as are the lengths of `labels`, `loss` and `start_loss`
    std::int64_t num_samples;
    std::int64_t num_classes;
    const float* labels;
    const float* weight_v;    ///< v_i; null where w_i = 1
    bool is_sigmoid;          ///< of v_i; else clipped
    float scale;              ///< 1/n
    float* loss;              ///< ℓ, where it is wanted
    const float* start_loss;  ///< gap: ℓ at θ_k
    float* of_v;              ///< gap: its gradient in v_i; null where w_i = 1
    float sums[2];            ///< Σ ℓ / n; gap: of the differences, and of the absolute values
};

/// One problem's penalty on some features.
struct softmax_penalty {
    std::int64_t num_features;
    std::int64_t num_classes, row;  ///< θ_cj is at [c * row + j]
    const float *rho, *inner, *descent;
    float* of_v;    ///< null where ρ is fixed
    float sums[2];  ///< of the differences, and of the absolute values
};

struct softmax_kernels {
    /// to_j = (from_j − shift) scale
    void (*normalise)(const std::uint8_t* from, std::int64_t num, float shift, float scale, float* to);
    /// scores[k][i] = x_iᵀ θ_k + b_k
    void (*scores)(const softmax_panel& panel, const softmax_rows& theta, float* scores, std::int64_t stride);
    /// The same of sparse samples: to[k * stride + i] for i < num.
    /// @param theta [num_features + 1, padded_rows], transposed, the bias last; padded_rows is a multiple of
    ///              softmax_lanes
    void (*sparse_scores)(const softmax_entries& samples, std::int64_t first, std::int64_t num, const float* theta,
                          std::int64_t num_features, std::int64_t padded_rows, std::int64_t num_rows, float* to,
                          std::int64_t stride);
    /// gradient_k = Σ_i residuals[k][i] (x_i, 1), or that added to it
    void (*gradient)(const softmax_panel& panel, const float* residuals, std::int64_t stride,
                     const softmax_rows& gradient, bool is_added);
    /// Σ_i x_ij residuals[i][k] for some features j of sparse samples
    /// @param residuals [num_samples, padded_rows], transposed
    /// @param to        [num, padded_rows]
    void (*sparse_gradient)(const softmax_entries& features, std::int64_t first, std::int64_t num,
                            const float* residuals, std::int64_t padded_rows, float* to);
    /// w_i (softmax(z_i) − e_y) / n in the place of z_i, and Σ ℓ / n
    void (*residuals)(softmax_pass& pass);
    /// Σ ℓ / n
    void (*losses)(softmax_pass& pass);
    /// Differences of w ℓ between θ_k and θ⁽ᵀ⁾, whose scores these are
    void (*gap)(softmax_pass& pass);
    /// to_j = Σ_s parts[s * stride + j] + ρ_j θ_j, s upward; ρ may be null
    void (*collect)(const float* parts, std::int64_t stride, std::int64_t num_parts, std::int64_t num, const float* rho,
                    const float* theta, float* to);
    /// rho_j = e^v_j scale
    void (*penalties)(const float* v, std::int64_t num, float scale, float* rho);
    void (*penalty_gap)(softmax_penalty& penalty);
};

const softmax_kernels* softmax_float_baseline();
const softmax_kernels* softmax_float_avx2();
const softmax_kernels* softmax_float_avx512();

}  // namespace cubome::detail
