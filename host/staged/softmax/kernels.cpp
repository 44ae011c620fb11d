// SPDX-License-Identifier: Apache-2.0
#include "host/staged/softmax/kernels.hpp"

#include <cstring>

#include "cubome/core/pack.hpp"

CUBOME_BEGIN_NAMESPACE
namespace softmax {

using detail::softmax_entries;
using detail::softmax_lanes;
using detail::softmax_panel;
using detail::softmax_pass;
using detail::softmax_penalty;
using detail::softmax_rows;

#ifdef CUBOME_HAS_NO_SIMD
using pack = float;
CUBOME_INLINE pack load(const float* from) {
    return *from;
}
CUBOME_INLINE void store(pack x, float* to) {
    *to = x;
}
CUBOME_INLINE float total(pack x) {
    return x;
}
#else
using pack = simd<float>;
CUBOME_INLINE pack load(const float* from) {
    return pack::batch::load_unaligned(from);
}
CUBOME_INLINE void store(pack x, float* to) {
    x.values.store_unaligned(to);
}
CUBOME_INLINE float total(pack x) {
    return xsimd::hadd(x.values);
}
#endif

constexpr std::int64_t lanes = real_traits<pack>::lanes;
static_assert(softmax_lanes % lanes == 0);

// Blocks of sums that stay in registers: 32 vectors with AVX-512, else 16, of which one without fma holds a product.
#if defined(CUBOME_TARGET_IS_AVX512)
constexpr int samples_of_scores = 4, classes_of_scores = 6, classes_of_gradient = 12;
#elif defined(CUBOME_TARGET_IS_AVX2)
constexpr int samples_of_scores = 2, classes_of_scores = 5, classes_of_gradient = 6;
#else
constexpr int samples_of_scores = 2, classes_of_scores = 4, classes_of_gradient = 4;
#endif
constexpr int vectors_of_gradient = 2;

constexpr float lane_numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/// The lanes below `num`.
CUBOME_INLINE auto first_lanes(std::int64_t num) {
    return load(lane_numbers) < pack(static_cast<float>(num));
}

/// As many elements as there are, at most a vector of them; the other lanes are 0.
CUBOME_INLINE pack load_some(const float* from, std::int64_t num) {
    if (num >= lanes) return load(from);
    float all[lanes] = {};
    std::memcpy(all, from, static_cast<std::size_t>(num) * sizeof(float));
    return load(all);
}
CUBOME_INLINE void store_some(pack x, float* to, std::int64_t num) {
    if (num >= lanes) return store(x, to);
    float all[lanes];
    store(x, all);
    std::memcpy(to, all, static_cast<std::size_t>(num) * sizeof(float));
}

// Compilers do not make vectors of this at -O2.
#if defined(CUBOME_TARGET_IS_AVX512)
CUBOME_INLINE pack load_bytes(const std::uint8_t* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return pack::batch(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)));
}
#elif defined(CUBOME_TARGET_IS_AVX2)
CUBOME_INLINE pack load_bytes(const std::uint8_t* from) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return pack::batch(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)));
}
#else
CUBOME_INLINE pack load_bytes(const std::uint8_t* from) {
    float all[lanes];
    for (std::int64_t q = 0; q < lanes; ++q) all[q] = static_cast<float>(from[q]);
    return load(all);
}
#endif

inline void normalise(const std::uint8_t* from, std::int64_t num, float shift, float scale, float* to) {
    std::int64_t j = 0;
    for (; j + lanes <= num; j += lanes) store((load_bytes(from + j) - pack(shift)) * pack(scale), to + j);
    for (; j < num; ++j) to[j] = (static_cast<float>(from[j]) - shift) * scale;
}

// ---------------------------------------------------------------------------------------------------------------------
// Products of matrices
// ---------------------------------------------------------------------------------------------------------------------

constexpr std::int64_t row_of(std::int64_t padded) {
    return padded + softmax_lanes;
}

/// to[s] = Σ over the lanes of sums[s] + bias
template <int Samples>
CUBOME_INLINE void store_totals(const pack (&sums)[Samples], float bias, float* to) {
#pragma GCC unroll 8
    for (int s = 0; s < Samples; ++s) to[s] = total(sums[s]) + bias;
}
#ifdef CUBOME_TARGET_IS_AVX512
/// The same for four at once, in a third of the instructions.
CUBOME_INLINE void store_totals(const pack (&sums)[4], float bias, float* to) {
    const __m512 a = sums[0].values, b = sums[1].values, c = sums[2].values, d = sums[3].values;
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 quarters = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0)),
                                          _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2)));
    const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps(quarters, 1));
    const __m128 all = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
    _mm_storeu_ps(to, _mm_add_ps(all, _mm_set1_ps(bias)));
}
#endif

template <int Samples, int Classes>
CUBOME_OUT_OF_LINE void scores_block(const float* x, std::int64_t stride_x, std::int64_t padded, const float* theta,
                                     float* scores, std::int64_t stride) {
    const std::int64_t row = row_of(padded);
    pack sums[Classes][Samples];
#pragma GCC unroll 8
    for (int c = 0; c < Classes; ++c)
#pragma GCC unroll 8
        for (int s = 0; s < Samples; ++s) sums[c][s] = pack(0.0F);
    for (std::int64_t j = 0; j < padded; j += lanes) {
        pack of_x[Samples];
#pragma GCC unroll 8
        for (int s = 0; s < Samples; ++s) of_x[s] = load(x + s * stride_x + j);
#pragma GCC unroll 8
        for (int c = 0; c < Classes; ++c) {
            const pack t = load(theta + c * row + j);
#pragma GCC unroll 8
            for (int s = 0; s < Samples; ++s) sums[c][s] = fma(of_x[s], t, sums[c][s]);
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < Classes; ++c) store_totals(sums[c], theta[c * row + padded], scores + c * stride);
}

template <int Classes>
inline void scores_of_classes(const softmax_panel& panel, const float* theta, float* scores, std::int64_t stride) {
    std::int64_t i = 0;
    for (; i + samples_of_scores <= panel.num_samples; i += samples_of_scores)
        scores_block<samples_of_scores, Classes>(panel.x + i * panel.stride, panel.stride, panel.padded, theta,
                                                 scores + i, stride);
    for (; i < panel.num_samples; ++i)
        scores_block<1, Classes>(panel.x + i * panel.stride, panel.stride, panel.padded, theta, scores + i, stride);
}

template <int Classes = classes_of_scores>
inline void rest_of_scores(std::int64_t num, const softmax_panel& panel, const float* theta, float* scores,
                           std::int64_t stride) {
    if (num == Classes)
        scores_of_classes<Classes>(panel, theta, scores, stride);
    else if constexpr (Classes > 1)
        rest_of_scores<Classes - 1>(num, panel, theta, scores, stride);
}

inline void scores(const softmax_panel& panel, const softmax_rows& theta, float* to, std::int64_t stride) {
    for (std::int64_t k = 0; k < theta.num_rows; k += classes_of_scores) {
        const std::int64_t num = theta.num_rows - k < classes_of_scores ? theta.num_rows - k : classes_of_scores;
        rest_of_scores(num, panel, theta.data + k * row_of(panel.padded), to + k * stride, stride);
    }
}

template <int Classes, int Vectors>
CUBOME_OUT_OF_LINE void gradient_block(const softmax_panel& panel, std::int64_t j, const float* residuals,
                                       std::int64_t stride, float* gradient, bool is_added) {
    pack sums[Classes][Vectors];
#pragma GCC unroll 16
    for (int c = 0; c < Classes; ++c)
#pragma GCC unroll 8
        for (int k = 0; k < Vectors; ++k) sums[c][k] = pack(0.0F);
    const std::int64_t row = row_of(panel.padded);
    // What it will be added to is on its way meanwhile.
    if (is_added) {
#pragma GCC unroll 16
        for (int c = 0; c < Classes; ++c)
#pragma GCC unroll 8
            for (int k = 0; k < Vectors; ++k) __builtin_prefetch(gradient + c * row + j + k * lanes, 1);
    }
    const float* x = panel.x + j;
    for (std::int64_t i = 0; i < panel.num_samples; ++i, x += panel.stride) {
        pack of_x[Vectors];
#pragma GCC unroll 8
        for (int k = 0; k < Vectors; ++k) of_x[k] = load(x + k * lanes);
#pragma GCC unroll 16
        for (int c = 0; c < Classes; ++c) {
            const pack r(residuals[c * stride + i]);
#pragma GCC unroll 8
            for (int k = 0; k < Vectors; ++k) sums[c][k] = fma(of_x[k], r, sums[c][k]);
        }
    }
#pragma GCC unroll 16
    for (int c = 0; c < Classes; ++c) {
#pragma GCC unroll 8
        for (int k = 0; k < Vectors; ++k) {
            float* const to = gradient + c * row + j + k * lanes;
            store(is_added ? load(to) + sums[c][k] : sums[c][k], to);
        }
    }
}

template <int Vectors, int Classes = classes_of_gradient>
inline void gradient_classes(std::int64_t num, const softmax_panel& panel, std::int64_t j, const float* residuals,
                             std::int64_t stride, float* gradient, bool is_added) {
    if (num == Classes)
        gradient_block<Classes, Vectors>(panel, j, residuals, stride, gradient, is_added);
    else if constexpr (Classes > 1)
        gradient_classes<Vectors, Classes - 1>(num, panel, j, residuals, stride, gradient, is_added);
}

template <int Vectors>
inline void gradient_strip(const softmax_panel& panel, std::int64_t j, const float* residuals, std::int64_t stride,
                           const softmax_rows& to, bool is_added) {
    for (std::int64_t k = 0; k < to.num_rows; k += classes_of_gradient) {
        const std::int64_t num = to.num_rows - k < classes_of_gradient ? to.num_rows - k : classes_of_gradient;
        gradient_classes<Vectors>(num, panel, j, residuals + k * stride, stride, to.data + k * row_of(panel.padded),
                                  is_added);
    }
}

/// Σ_i over one class of a panel
inline float bias_sum(const float* residuals, std::int64_t num) {
    pack sum(0.0F);
    for (std::int64_t i = 0; i < num; i += lanes) sum = select(first_lanes(num - i), sum + load(residuals + i), sum);
    return total(sum);
}

inline void gradient(const softmax_panel& panel, const float* residuals, std::int64_t stride, const softmax_rows& to,
                     bool is_added) {
    constexpr std::int64_t strip = vectors_of_gradient * lanes;
    std::int64_t j = 0;
    for (; j + strip <= panel.padded; j += strip)
        gradient_strip<vectors_of_gradient>(panel, j, residuals, stride, to, is_added);
    for (; j < panel.padded; j += lanes) gradient_strip<1>(panel, j, residuals, stride, to, is_added);
    for (std::int64_t k = 0; k < to.num_rows; ++k) {
        float& bias = to.data[k * row_of(panel.padded) + panel.padded];
        const float sum = bias_sum(residuals + k * stride, panel.num_samples);
        bias = is_added ? bias + sum : sum;
    }
}

// Rows of θ that the entries of a sparse sample meet, side by side; so many vectors of them at once.
constexpr int most_vectors = 4;
// Entries of a feature are added in runs, so that the error of a frequent one does not grow with their number.
constexpr std::int64_t entries_of_run = 256;

/// Σ of value · rows[place] over some entries
template <int Vectors>
CUBOME_INLINE void add_entries(const softmax_entries& of, std::int64_t first, std::int64_t last, const float* rows,
                               std::int64_t stride, pack (&sums)[Vectors]) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) sums[v] = pack(0.0F);
    for (std::int64_t k = first; k < last; ++k) {
        const float* const row = rows + of.places[k] * stride;
        const pack x(of.values[k]);
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) sums[v] = fma(x, load(row + v * lanes), sums[v]);
    }
}

/// Runs `block` on as many vectors at once as are left, of num.
template <template <int> class Block, int Vectors = most_vectors, class... Arguments>
inline void for_vectors(std::int64_t num, std::int64_t at, const Arguments&... arguments) {
    for (; num >= Vectors; num -= Vectors, at += Vectors * lanes) Block<Vectors>::run(at, arguments...);
    if constexpr (Vectors > 1)
        if (num > 0) for_vectors<Block, Vectors - 1>(num, at, arguments...);
}

template <int Vectors>
struct sparse_scores_block {
    static CUBOME_OUT_OF_LINE void run(std::int64_t at, const softmax_entries& samples, std::int64_t first,
                                       std::int64_t num, const float* theta, std::int64_t num_features,
                                       std::int64_t padded_rows, std::int64_t num_rows, float* to,
                                       std::int64_t stride) {
        const float* const biases = theta + num_features * padded_rows + at;
        const std::int64_t last = num_rows - at < Vectors * lanes ? num_rows - at : Vectors * lanes;
        for (std::int64_t i = 0; i < num; ++i) {
            pack sums[Vectors];
            add_entries<Vectors>(samples, samples.starts[first + i], samples.starts[first + i + 1], theta + at,
                                 padded_rows, sums);
            float all[Vectors * lanes];
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) store(sums[v] + load(biases + v * lanes), all + v * lanes);
            for (std::int64_t k = 0; k < last; ++k) to[(at + k) * stride + i] = all[k];
        }
    }
};

inline void sparse_scores(const softmax_entries& samples, std::int64_t first, std::int64_t num, const float* theta,
                          std::int64_t num_features, std::int64_t padded_rows, std::int64_t num_rows, float* to,
                          std::int64_t stride) {
    for_vectors<sparse_scores_block>(padded_rows / lanes, 0, samples, first, num, theta, num_features, padded_rows,
                                     num_rows, to, stride);
}

template <int Vectors>
struct sparse_gradient_block {
    static CUBOME_OUT_OF_LINE void run(std::int64_t at, const softmax_entries& features, std::int64_t first,
                                       std::int64_t num, const float* residuals, std::int64_t padded_rows, float* to) {
        for (std::int64_t j = 0; j < num; ++j) {
            pack totals[Vectors];
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) totals[v] = pack(0.0F);
            const std::int64_t end = features.starts[first + j + 1];
            for (std::int64_t k = features.starts[first + j]; k < end; k += entries_of_run) {
                pack sums[Vectors];
                add_entries<Vectors>(features, k, k + entries_of_run < end ? k + entries_of_run : end, residuals + at,
                                     padded_rows, sums);
#pragma GCC unroll 8
                for (int v = 0; v < Vectors; ++v) totals[v] = totals[v] + sums[v];
            }
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) store(totals[v], to + j * padded_rows + at + v * lanes);
        }
    }
};

inline void sparse_gradient(const softmax_entries& features, std::int64_t first, std::int64_t num,
                            const float* residuals, std::int64_t padded_rows, float* to) {
    for_vectors<sparse_gradient_block>(padded_rows / lanes, 0, features, first, num, residuals, padded_rows, to);
}

inline void collect(const float* parts, std::int64_t stride, std::int64_t num_parts, std::int64_t num, const float* rho,
                    const float* theta, float* to) {
    for (std::int64_t j = 0; j < num; j += lanes) {
        // Parts have room for whole vectors.
        pack sum = load(parts + j);
        for (std::int64_t s = 1; s < num_parts; ++s) sum = sum + load(parts + s * stride + j);
        if (rho != nullptr) sum = fma(load_some(rho + j, num - j), load_some(theta + j, num - j), sum);
        store_some(sum, to + j, num - j);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Losses
// ---------------------------------------------------------------------------------------------------------------------

enum class pass_kind { residuals, losses, gap };

struct weight_of_sample {
    pack value, slope;
};

CUBOME_INLINE weight_of_sample weigh(pack v, bool is_sigmoid) {
    const pack zero(0.0F), one(1.0F);
    if (is_sigmoid) {
        const pack w = sigmoid(v);
        return {w, w * (one - w)};
    }
    return {min(max(v, zero), one), select((v >= zero) & (v <= one), one, zero)};
}

template <pass_kind Kind>
CUBOME_FLATTEN inline void run(softmax_pass& p) {
    const pack one(1.0F), zero(0.0F), scale(p.scale);
    pack sum = zero, magnitude = zero;
    for (std::int64_t i = 0; i < p.num_samples; i += lanes) {
        const std::int64_t rest = p.num_samples - i;
        const auto is_sample = first_lanes(rest);
        float* const z = p.scores + i;
        const pack label = load(p.labels + i);

        // ℓ = log Σ e^(z − max) + max − z_y. A NaN that the maximum drops comes back in the sum.
        pack largest = load(z);
        for (std::int64_t c = 1; c < p.num_classes; ++c) largest = fast_max(load(z + c * p.stride), largest);
        pack of_label = zero, powers = zero;
        for (std::int64_t c = 0; c < p.num_classes; ++c) {
            const pack score = load(z + c * p.stride);
            const pack power = exp(score - largest);
            of_label = select(label == pack(static_cast<float>(c)), score, of_label);
            powers = powers + power;
            if constexpr (Kind == pass_kind::residuals) store(power, z + c * p.stride);
        }
        const pack loss = log(powers) + (largest - of_label);

        weight_of_sample w{one, zero};
        if (p.weight_v != nullptr) w = weigh(load_some(p.weight_v + i, rest), p.is_sigmoid);
        if constexpr (Kind == pass_kind::residuals) {
            const pack share = scale * w.value, factor = share / powers;
            for (std::int64_t c = 0; c < p.num_classes; ++c) {
                const pack hit = select(label == pack(static_cast<float>(c)), share, zero);
                store(fma(load(z + c * p.stride), factor, -hit), z + c * p.stride);
            }
        }
        if constexpr (Kind == pass_kind::gap) {
            const pack start = load(p.start_loss + i);
            const pack difference = scale * (start - loss);
            if (p.of_v != nullptr) store_some(w.slope * difference, p.of_v + i, rest);
            sum = select(is_sample, fma(w.value, difference, sum), sum);
            magnitude = select(is_sample, fma(w.value, scale * (start + loss), magnitude), magnitude);
        } else {
            if (p.loss != nullptr) store(loss, p.loss + i);
            sum = select(is_sample, fma(scale, loss, sum), sum);
        }
    }
    p.sums[0] = total(sum);
    p.sums[1] = total(magnitude);
}

// ---------------------------------------------------------------------------------------------------------------------
// Penalties
// ---------------------------------------------------------------------------------------------------------------------

CUBOME_FLATTEN inline void penalties(const float* v, std::int64_t num, float scale, float* rho) {
    for (std::int64_t j = 0; j < num; j += lanes)
        store_some(exp(load_some(v + j, num - j)) * pack(scale), rho + j, num - j);
}

/// ½ ρ_j Σ_c (θ_cj² − θ⁽ᵀ⁾_cj²)
CUBOME_FLATTEN inline void penalty_gap(softmax_penalty& p) {
    const pack zero(0.0F), half(0.5F);
    pack sum = zero, magnitude = zero;
    for (std::int64_t j = 0; j < p.num_features; j += lanes) {
        const std::int64_t rest = p.num_features - j;
        pack growth = zero, squares = zero;
        for (std::int64_t c = 0; c < p.num_classes; ++c) {
            const pack from = load_some(p.inner + c * p.row + j, rest);
            const pack to = load_some(p.descent + c * p.row + j, rest);
            growth = fma(from - to, from + to, growth);
            squares = squares + fma(from, from, to * to);
        }
        const pack rho = load_some(p.rho + j, rest);
        const pack term = half * rho * growth;
        // A feature without penalty has no term: 0 times an overflowing square would be NaN. Nor has one that stands
        // still, however large its ρ.
        const auto is_free = rho == zero;
        sum = select(is_free, sum, sum + term);
        magnitude = select(is_free, magnitude, fma(half * rho, squares, magnitude));
        if (p.of_v != nullptr) store_some(select((growth == zero) | is_free, zero, term), p.of_v + j, rest);
    }
    p.sums[0] = total(sum);
    p.sums[1] = total(magnitude);
}

constexpr detail::softmax_kernels kernels{
    .normalise = &normalise,
    .scores = &scores,
    .sparse_scores = &sparse_scores,
    .gradient = &gradient,
    .sparse_gradient = &sparse_gradient,
    .residuals = &run<pass_kind::residuals>,
    .losses = &run<pass_kind::losses>,
    .gap = &run<pass_kind::gap>,
    .collect = &collect,
    .penalties = &penalties,
    .penalty_gap = &penalty_gap,
};

}  // namespace softmax
CUBOME_END_NAMESPACE

#define CUBOME_SOFTMAX_NAME_(real, isa) softmax_##real##_##isa
#define CUBOME_SOFTMAX_NAME(real, isa) CUBOME_SOFTMAX_NAME_(real, isa)

const cubome::detail::softmax_kernels* cubome::detail::CUBOME_SOFTMAX_NAME(CUBOME_CPU_REAL, CUBOME_CPU_ISA)() {
    return &softmax::kernels;
}
