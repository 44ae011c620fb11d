// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/mathematics.hpp"
#include "cubome/cuda/block_group.cuh"
#include "kernels/softmax_launch.hpp"

/// What softmax_oracle does on a device besides its products of matrices. docs/design.md has the formulas' order.
CUBOME_BEGIN_NAMESPACE
namespace softmax_device {

using detail::softmax_chunk;
using detail::softmax_chunks;
using detail::softmax_factor;

// ---------------------------------------------------------------------------------------------------------------------
// Factors
// ---------------------------------------------------------------------------------------------------------------------

/// The nearest bfloat16, ties to even; beyond the largest it is infinite.
CUBOME_INLINE std::uint16_t to_bfloat16(float x) {
    const auto word = to_word<std::uint32_t>(x);
    if (isnan(x)) return static_cast<std::uint16_t>(word >> 16 | 0x40);
    return static_cast<std::uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
}
CUBOME_INLINE float from_bfloat16(std::uint16_t x) {
    return from_word<float>(std::uint32_t(x) << 16);
}

CUBOME_INLINE void store(const softmax_factor& to, std::int64_t at, float x) {
    if (to.whole != nullptr) {
        to.whole[at] = x;
        return;
    }
    const std::uint16_t high = to_bfloat16(x);
    to.high[at] = high;
    to.low[at] = to_bfloat16(x - from_bfloat16(high));
}

/// The i-th row of a factor.
struct rows {
    using arguments = detail::softmax_rows_arguments;

    template <class Group>
    static CUBOME_INLINE void run(const Group& g, const arguments& a, std::int64_t i) {
        const std::int64_t from = i * a.num_columns, to = i * a.row;
        g.for_each(extent<dynamic>(static_cast<index>(a.row)), [&](index j) {
            float x = 0;
            if (i < a.num_rows) {
                if (j < a.num_columns)
                    x = a.floats != nullptr ? a.floats[from + j]
                                            : (static_cast<float>(a.bytes[from + j]) - a.shift) * a.scale;
                else if (j == a.num_columns)
                    x = a.behind;
            }
            store(a.to, to + j, x);
        });
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// Losses
// ---------------------------------------------------------------------------------------------------------------------

struct weight_of_sample {
    float value, slope;
};

CUBOME_INLINE weight_of_sample weigh(float v, bool is_sigmoid) {
    if (is_sigmoid) {
        const float w = sigmoid(v);
        return {w, w * (1 - w)};
    }
    return {min(max(v, 0.0F), 1.0F), v >= 0 && v <= 1 ? 1.0F : 0.0F};
}

enum class pass_kind { residuals, losses, gap };

/// One chunk of one problem's samples.
template <pass_kind Kind>
struct pass {
    using arguments = detail::softmax_pass_arguments;

    template <class Group>
    static CUBOME_INLINE void run(const Group& g, const arguments& a, std::int64_t item) {
        const std::int64_t chunks = softmax_chunks(a.num_samples);
        const std::int64_t b = item / chunks, problem = a.first_problem + b;
        const std::int64_t first = item % chunks * softmax_chunk, rest = a.num_samples - first;
        const std::int64_t scores = b * a.num_classes * a.stride + first;
        const auto sums =
            g.template sum<2>(extent<dynamic>(static_cast<index>(rest < softmax_chunk ? rest : softmax_chunk)),
                              [&](index i, cubome::sums<float, 2> acc) {
                                  const std::int64_t z = scores + i, sample = a.first_sample + first + i;
                                  const std::int32_t label = a.labels[sample];

                                  // ℓ = log Σ e^(z − max) + max − z_y. A NaN that the maximum drops comes back in the
                                  // sum.
                                  float largest = a.scores[z];
                                  for (std::int64_t c = 1; c < a.num_classes; ++c)
                                      largest = fast_max(a.scores[z + c * a.stride], largest);
                                  float powers = 0, of_label = 0;
                                  for (std::int64_t c = 0; c < a.num_classes; ++c) {
                                      const float score = a.scores[z + c * a.stride];
                                      const float power = exp(score - largest);
                                      if (c == label) of_label = score;
                                      powers = powers + power;
                                      if constexpr (Kind == pass_kind::residuals) a.scores[z + c * a.stride] = power;
                                  }
                                  const float loss = log(powers) + (largest - of_label);

                                  weight_of_sample w{1, 0};
                                  if (a.outer != nullptr)
                                      w = weigh(a.outer[problem * a.outer_dim + sample], a.is_sigmoid);
                                  if constexpr (Kind == pass_kind::residuals) {
                                      const float share = a.scale * w.value, factor = share / powers;
                                      for (std::int64_t c = 0; c < a.num_classes; ++c)
                                          store(a.to, z + c * a.stride,
                                                fma(a.scores[z + c * a.stride], factor, c == label ? -share : 0.0F));
                                  }
                                  if constexpr (Kind == pass_kind::gap) {
                                      const float start = a.losses[problem * a.losses_stride + sample];
                                      const float difference = a.scale * (start - loss);
                                      if (a.of_outer != nullptr)
                                          a.of_outer[problem * a.outer_dim + sample] = w.slope * difference;
                                      acc[0] = fma(w.value, difference, acc[0]);
                                      acc[1] = fma(w.value, a.scale * (start + loss), acc[1]);
                                  } else {
                                      if (a.losses != nullptr) a.losses[problem * a.losses_stride + sample] = loss;
                                      acc[0] = fma(a.scale, loss, acc[0]);
                                  }
                                  return acc;
                              });
        if (g.rank() == 0) {
            float* const to = a.partial + 2 * (problem * a.num_partial + (a.first_sample + first) / softmax_chunk);
            to[0] = sums[0];
            to[1] = sums[1];
        }
    }
};

/// A row of the gradient.
struct collect {
    using arguments = detail::softmax_collect_arguments;

    template <class Group>
    static CUBOME_INLINE void run(const Group& g, const arguments& a, std::int64_t k) {
        const std::int64_t problem = a.first_problem + k / a.num_classes;
        const std::int64_t to = (a.first_problem * a.num_classes + k) * (a.num_features + 1);
        g.for_each(extent<dynamic>(static_cast<index>(a.num_features + 1)), [&](index j) {
            float x = a.products[k * a.row + j];
            if (a.rho != nullptr && j < a.num_features)
                x = fma(a.rho[problem * a.num_features + j], a.inner[to + j], x);
            a.to[to + j] = x;
        });
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// Penalties
// ---------------------------------------------------------------------------------------------------------------------

/// Tells the problem and the first feature of a chunk of features, and how many there are in it.
CUBOME_INLINE extent<dynamic> chunk_of_features(std::int64_t num_features, std::int64_t item, std::int64_t& problem,
                                                std::int64_t& first) {
    const std::int64_t chunks = softmax_chunks(num_features);
    problem = item / chunks;
    first = item % chunks * softmax_chunk;
    return extent<dynamic>(
        static_cast<index>(num_features - first < softmax_chunk ? num_features - first : softmax_chunk));
}

struct penalties {
    using arguments = detail::softmax_penalties_arguments;

    template <class Group>
    static CUBOME_INLINE void run(const Group& g, const arguments& a, std::int64_t item) {
        std::int64_t problem, first;
        const extent<dynamic> num = chunk_of_features(a.num_features, item, problem, first);
        g.for_each(num, [&](index j) {
            const float rho = a.outer != nullptr   ? exp(a.outer[problem * a.outer_dim + a.first + first + j])
                              : a.given != nullptr ? a.given[problem]
                                                   : a.value;
            a.rho[problem * a.num_features + first + j] = rho * a.scale;
        });
    }
};

/// ½ ρ_j Σ_c (θ_cj² − θ⁽ᵀ⁾_cj²) of one chunk of features
struct penalty_gap {
    using arguments = detail::softmax_penalty_gap_arguments;

    template <class Group>
    static CUBOME_INLINE void run(const Group& g, const arguments& a, std::int64_t item) {
        std::int64_t problem, first;
        const extent<dynamic> num = chunk_of_features(a.num_features, item, problem, first);
        const std::int64_t row = a.num_features + 1;
        const auto sums = g.template sum<2>(num, [&](index j, cubome::sums<float, 2> acc) {
            float growth = 0, squares = 0;
            for (std::int64_t c = 0; c < a.num_classes; ++c) {
                const std::int64_t at = (problem * a.num_classes + c) * row + first + j;
                const float from = a.inner[at], to = a.descent[at];
                growth = fma(from - to, from + to, growth);
                squares = squares + fma(from, from, to * to);
            }
            const float rho = a.rho[problem * a.num_features + first + j], term = 0.5F * rho * growth;
            if (a.of_outer != nullptr)
                a.of_outer[problem * a.outer_dim + a.first + first + j] = growth == 0 || rho == 0 ? 0.0F : term;
            // A feature without penalty has no term: 0 times an overflowing square would be NaN.
            if (rho == 0) return acc;
            acc[0] = acc[0] + term;
            acc[1] = fma(0.5F * rho, squares, acc[1]);
            return acc;
        });
        if (g.rank() == 0) {
            float* const to = a.partial + 2 * (problem * a.num_partial + a.first_partial + first / softmax_chunk);
            to[0] = sums[0];
            to[1] = sums[1];
        }
    }
};

struct totals {
    using arguments = detail::softmax_totals_arguments;

    template <class Group>
    static CUBOME_INLINE void run(const Group& g, const arguments& a, std::int64_t problem) {
        const float* const from = a.partial + 2 * problem * a.stride;
        const auto sums = g.template sum<2>(extent<dynamic>(static_cast<index>(a.num_partial)),
                                            [&](index i, cubome::sums<float, 2> acc) {
                                                acc[0] = acc[0] + from[2 * i];
                                                acc[1] = acc[1] + from[2 * i + 1];
                                                return acc;
                                            });
        if (g.rank() == 0) {
            a.first[problem] = sums[0];
            if (a.second != nullptr) a.second[problem] = sums[1];
        }
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// Kernels
// ---------------------------------------------------------------------------------------------------------------------

/// Items along the grid.
template <class Work, index Threads>
CUBOME_INLINE void run_items(const typename Work::arguments& a) {
    const block_group<float, Threads> g(reinterpret_cast<float*>(simt::shared_memory()));
    const std::int64_t count = num_items(a);
    for (std::int64_t item = simt::block_rank(); item < count; item += simt::num_blocks()) Work::run(g, a, item);
}

#ifdef __CUDACC__
template <class Work, index Threads>
__global__ void __launch_bounds__(Threads) softmax_kernel(const __grid_constant__ typename Work::arguments arguments) {
    run_items<Work, Threads>(arguments);
}
#else
/// What a thread of a modelled device does.
template <class Work, index Threads>
void softmax_kernel(const typename Work::arguments& arguments) {
    run_items<Work, Threads>(arguments);
}
#endif

template <index Threads = 128>
const detail::softmax_device_kernels* kernels() {
    const auto address = []<class Work>(Work) { return reinterpret_cast<const void*>(&softmax_kernel<Work, Threads>); };
    static const detail::softmax_device_kernels result{
        int(Threads),
        block_group<float, Threads>::num_exchanged * sizeof(float),
        address(rows{}),
        address(pass<pass_kind::residuals>{}),
        address(pass<pass_kind::losses>{}),
        address(pass<pass_kind::gap>{}),
        address(collect{}),
        address(penalties{}),
        address(penalty_gap{}),
        address(totals{}),
    };
    return &result;
}

}  // namespace softmax_device
CUBOME_END_NAMESPACE
