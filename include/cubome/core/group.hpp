// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/storage.hpp"

/// The group: the lanes that work on one problem together, their loops, sums, barriers and storage. See docs/design.md
/// for the laws that every model keeps; `serial_group` here is the simplest of them.
CUBOME_BEGIN_NAMESPACE

/// The named barriers, each for what it publishes, or for the reads after which something may be overwritten.
enum class barrier {
    prepared,         ///< what a problem's prepare publishes
    iterate,          ///< θ⁽⁰⁾ = θ_k
    probe,            ///< θ_k moved to where a gradient tells the curvature
    descent_read,     ///< everyone has read θ⁽ᵗ⁾: it may be overwritten
    descent,          ///< θ⁽ᵗ⁺¹⁾
    residual,         ///< what a problem's gradients publish on the way
    difference,       ///< what a problem's gap_gradient publishes
    evaluation_read,  ///< everyone has read what the evaluation published: the next one may overwrite it
    count
};

/// K running sums.
template <class Real, int K>
struct sums {
    Real values[K];

    CUBOME_INLINE Real& operator[](int k) { return values[k]; }
    CUBOME_INLINE const Real& operator[](int k) const { return values[k]; }

    static CUBOME_INLINE sums zero() {
        sums result;
        for (int k = 0; k < K; ++k) result.values[k] = Real(scalar_of<Real>(0));
        return result;
    }
};

/// How many partial sums each row of `sum_each` has: enough to hide the latency of an fma, the same for every Real,
/// model and width, for it decides the bits.
inline constexpr index num_chains = 4;

/// (c₀ + c₁) + (c₂ + c₃); a chain that no term reached is left out.
template <class Real>
CUBOME_INLINE Real join_chains(const Real* chains, index num_terms) {
    if (num_terms <= 1) return chains[0];
    if (num_terms == 2) return chains[0] + chains[1];
    if (num_terms == 3) return (chains[0] + chains[1]) + chains[2];
    return (chains[0] + chains[1]) + (chains[2] + chains[3]);
}

/// Folds term(i, 0, +0), term(i, 1, …), … for Rows rows at once, chain by chain, and uses each row's sum.
template <class Real, index Rows, class M, class Term, class Use>
CUBOME_INLINE void sum_rows(index first, M m, Term&& term, Use&& use) {
    Real chains[Rows][num_chains];
    unroll<Rows>([&](index r) { unroll<num_chains>([&](index c) { chains[r][c] = Real(scalar_of<Real>(0)); }); });
    const auto add = [&](index j, index c) {
        unroll<Rows>([&](index r) { chains[r][c] = term(first + r, j, chains[r][c]); });
    };
    if constexpr (is_unrolled<M>) {
        for_each_index(m, [&](index j) { add(j, j % num_chains); });
    } else {
        index j = 0;
        CUBOME_UNROLL
        for (; j + num_chains <= m; j += num_chains) unroll<num_chains>([&](index c) { add(j + c, c); });
        unroll<num_chains - 1>([&](index c) {
            if (j + c < m) add(j + c, c);
        });
    }
    unroll<Rows>([&](index r) { use(first + r, join_chains(chains[r], m)); });
}

/// Lanes 0 … Width − 1 played by one thread, one after another. Width 1 is one problem per thread: a scalar, or a pack
/// with one problem per SIMD lane. Wider ones give the bits of a warp or block of that width.
template <class Real, index Width = 1>
class serial_group {
    static_assert((Width & (Width - 1)) == 0, "the tree over lanes needs a power of two");

public:
    using real = Real;
    static constexpr index width = Width;

    /// Whether a problem of these extents is compiled into its caller, wherever it is called.
    template <class... E>
    static constexpr bool inlines = (... && is_unrolled<E>);

    template <class E>
    using own = vector_storage<Real, E>;
    template <class E>
    using published = vector_storage<Real, E>;
    template <class R, class C>
    using own_rows = matrix_storage<Real, R, C>;
    template <class R, class C>
    using stored_rows = matrix_storage<Real, R, C>;
    template <class R, class C>
    using matrix = matrix_storage<Real, R, C>;

    template <class E, class F>
    CUBOME_INLINE void for_each(E n, F&& f) const {
        for_each_index(n, f);
    }

    template <barrier B, class E, class F>
    CUBOME_INLINE void phase(E n, F&& f) const {
        for_each_index(n, f);
    }

    template <int K, class E, class F>
    CUBOME_INLINE sums<Real, K> sum(E n, F&& f) const {
        return sum<K>(n, f, extent<0>{}, f);
    }

    /// The sums over two ranges of indices in one call: each lane folds its part of the first, then of the second.
    template <int K, class E, class F, class E2, class F2>
    CUBOME_INLINE sums<Real, K> sum(E n, F&& f, E2 n2, F2&& f2) const {
        if constexpr (Width == 1) {
            auto total = sums<Real, K>::zero();
            for_each_index(n, [&](index i) { total = f(i, total); });
            for_each_index(n2, [&](index i) { total = f2(i, total); });
            return total;
        } else {
            sums<Real, K> partial[Width];
            for (index l = 0; l < Width; ++l) {
                partial[l] = sums<Real, K>::zero();
                for (index i = l; i < n; i += Width) partial[l] = f(i, partial[l]);
                for (index i = l; i < n2; i += Width) partial[l] = f2(i, partial[l]);
            }
            for (index offset = 1; offset < Width; offset *= 2)
                for (index l = 0; l < Width; l += 2 * offset)
                    for (int k = 0; k < K; ++k) partial[l][k] = partial[l][k] + partial[l + offset][k];
            return partial[0];
        }
    }

    template <class E, class M, class Term, class Use>
    CUBOME_INLINE void sum_each(E n, M m, Term&& term, Use&& use) const {
        if constexpr (is_unrolled<E> && is_unrolled<M> && E::constant * M::constant <= 2 * unroll_limit) {
            for_each_index(n, [&](index i) { sum_rows<Real, 1>(i, m, term, use); });
        } else {
            // Two rows at a time: what both read of the vector is loaded once.
            index i = 0;
            for (; i + 2 <= n; i += 2) sum_rows<Real, 2>(i, m, term, use);
            if (i < n) sum_rows<Real, 1>(i, m, term, use);
        }
    }

    /// The largest f(i), NaN if any is; exact, so its order does not matter. Orders no memory. n ≥ 1.
    template <class E, class F>
    CUBOME_INLINE Real maximum(E n, F&& f) const {
        Real result = f(0);
        for_each_index(n, [&](index i) {
            if (i > 0) result = larger(result, Real(f(i)));
        });
        return result;
    }

    /// Whether f(i) holds for all i. Orders no memory.
    template <class E, class F>
    CUBOME_INLINE mask_of<Real> all_of(E n, F&& f) const {
        mask_of<Real> result(true);
        for_each_index(n, [&](index i) { result = result & f(i); });
        return result;
    }

    /// i == which, as a mask.
    CUBOME_INLINE mask_of<Real> is(index i, index which) const { return mask_of<Real>(i == which); }

    /// i < n, as a mask.
    CUBOME_INLINE mask_of<Real> is_below(index i, index n) const { return mask_of<Real>(i < n); }

    /// The index i as a number.
    CUBOME_INLINE Real number(index i) const { return Real(static_cast<scalar_of<Real>>(i)); }

    template <barrier B>
    CUBOME_INLINE void sync() const {}

    CUBOME_INLINE index rank() const { return 0; }
    CUBOME_INLINE index size() const { return 1; }
};

CUBOME_END_NAMESPACE
