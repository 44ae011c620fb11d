// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/group.hpp"
#include "cubome/core/pack.hpp"

#ifndef CUBOME_HAS_NO_SIMD

/// One problem on the lanes of one SIMD pack, as a warp has them: the CPU's way with problems that are too large to be
/// carried one per lane. Element i belongs to lane i % width; a lambda gets the index of `width` elements at once.
CUBOME_BEGIN_NAMESPACE

/// The indices first … first + width − 1, one per lane.
struct lane_block {
    index first;
};

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

/// Elements of one problem, `lanes` to a pack and padded to whole blocks of packs. Indexed by a lane_block it is the
/// pack of those elements; by a number, that element in every lane.
template <class Pack, class E>
class vector_lanes {
    using scalar = scalar_of<Pack>;
    static constexpr index lanes = real_traits<Pack>::lanes;
    using elements_type = elements<E::is_constant, Pack, E::is_constant ? (E::constant + lanes - 1) / lanes + 1 : 0>;

public:
    static constexpr bool is_inline = elements_type::is_inline;

    /// One pack more than the elements need: a shifted access reaches past the last block.
    vector_lanes(arena& memory, E n) : extent_(n), packs_(memory, divide_up(n, lanes) + 1) {}

    CUBOME_INLINE Pack& operator[](lane_block b) { return packs_[b.first / lanes]; }
    CUBOME_INLINE const Pack& operator[](lane_block b) const { return packs_[b.first / lanes]; }
    CUBOME_INLINE Pack operator[](index i) const { return Pack(get(i)); }
    CUBOME_INLINE void set(index i, scalar value) { std::memcpy(at(i), &value, sizeof value); }
    CUBOME_INLINE scalar get(index i) const {
        scalar value;
        std::memcpy(&value, at(i), sizeof value);
        return value;
    }

    CUBOME_INLINE Pack shifted(lane_block b, index offset) const {
        alignas(workspace_alignment) scalar values[lanes];
        std::memcpy(values, at(std::int64_t(b.first) + offset), sizeof values);
        return Pack::load(values);
    }
    CUBOME_INLINE void set_shifted(lane_block b, index offset, Pack value) {
        alignas(workspace_alignment) scalar values[lanes];
        value.store(values);
        std::memcpy(at(std::int64_t(b.first) + offset), values, sizeof values);
    }

    CUBOME_INLINE E rows() const { return extent_; }

private:
    CUBOME_INLINE char* at(std::int64_t i) { return reinterpret_cast<char*>(&packs_[0]) + i * sizeof(scalar); }
    CUBOME_INLINE const char* at(std::int64_t i) const {
        return reinterpret_cast<const char*>(&packs_[0]) + i * sizeof(scalar);
    }

    [[no_unique_address]] E extent_;
    elements_type packs_;
};

/// A matrix whose rows the lanes own: element (i, j) lies beside (i + 1, j).
template <class Pack, class R, class C>
class row_lanes {
    using scalar = scalar_of<Pack>;
    static constexpr index lanes = real_traits<Pack>::lanes;

public:
    static constexpr bool is_inline = false;

    row_lanes(arena& memory, R rows, C columns)
        : rows_(rows),
          columns_(columns),
          packs_per_column_(static_cast<index>(divide_up(rows, lanes))),
          packs_(memory.take<Pack>(divide_up(rows, lanes) * columns)) {}

    CUBOME_INLINE const Pack& row(lane_block i, index j) const {
        return packs_[std::int64_t(j) * packs_per_column() + i.first / lanes];
    }
    CUBOME_INLINE void set(index i, index j, scalar value) {
        std::memcpy(reinterpret_cast<char*>(packs_ + std::int64_t(j) * packs_per_column()) + i * sizeof(scalar), &value,
                    sizeof value);
    }

    CUBOME_INLINE R rows() const { return rows_; }
    CUBOME_INLINE C columns() const { return columns_; }

private:
    CUBOME_INLINE index packs_per_column() const {
        if constexpr (R::is_constant) return (R::constant + lanes - 1) / lanes;
        return packs_per_column_;
    }

    [[no_unique_address]] R rows_;
    [[no_unique_address]] C columns_;
    index packs_per_column_;
    Pack* packs_;
};

/// A matrix that lanes read along rows and along columns: two copies, one for each direction.
template <class Pack, class R, class C>
class matrix_lanes {
    using scalar = scalar_of<Pack>;

public:
    static constexpr bool is_inline = false;

    matrix_lanes(arena& memory, R rows, C columns)
        : by_row_(memory, rows, columns), by_column_(memory, columns, rows) {}

    CUBOME_INLINE const Pack& row(lane_block i, index j) const { return by_row_.row(i, j); }
    CUBOME_INLINE const Pack& column(index i, lane_block j) const { return by_column_.row(j, i); }
    CUBOME_INLINE void set(index i, index j, scalar value) {
        by_row_.set(i, j, value);
        by_column_.set(j, i, value);
    }

    CUBOME_INLINE R rows() const { return by_row_.rows(); }
    CUBOME_INLINE C columns() const { return by_row_.columns(); }

private:
    row_lanes<Pack, R, C> by_row_;
    row_lanes<Pack, C, R> by_column_;
};

template <class Pack, class E, class Element>
CUBOME_INLINE void fill(vector_lanes<Pack, E>& to, Element&& element) {
    for (index i = 0; i < to.rows(); ++i) to.set(i, element(std::int64_t(i)));
}
template <class Matrix, class Element>
requires requires(Matrix m) {
    m.set(0, 0, 0);
    m.columns();
}
CUBOME_INLINE void fill(Matrix& to, Element&& element) {
    for (index i = 0; i < to.rows(); ++i)
        for (index j = 0; j < to.columns(); ++j) to.set(i, j, element(std::int64_t(i) * to.columns() + j));
}

/// The lanes of one pack. Every scalar of the solver's text is a pack whose lanes are equal.
template <class Pack>
class vector_group {
    using scalar = scalar_of<Pack>;

public:
    using real = Pack;
    static constexpr index width = real_traits<Pack>::lanes;

    template <class... E>
    static constexpr bool inlines = (... && is_unrolled<E>);

    template <class E>
    using own = vector_lanes<Pack, E>;
    template <class E>
    using published = vector_lanes<Pack, E>;
    template <class R, class C>
    using own_rows = row_lanes<Pack, R, C>;
    template <class R, class C>
    using stored_rows = row_lanes<Pack, R, C>;
    template <class R, class C>
    using matrix = matrix_lanes<Pack, R, C>;

    /// The last block's surplus lanes work on padding, whose values nobody uses.
    template <class E, class F>
    CUBOME_INLINE void for_each(E n, F&& f) const {
        for (index i = 0; i < n; i += width) f(lane_block{i});
    }

    template <barrier B, class E, class F>
    CUBOME_INLINE void phase(E n, F&& f) const {
        for_each(n, f);
    }

    template <int K, class E, class F>
    CUBOME_INLINE sums<Pack, K> sum(E n, F&& f) const {
        auto partial = zero<K>();
        fold(n, f, partial);
        return tree(partial);
    }

    template <int K, class E, class F, class E2, class F2>
    CUBOME_INLINE sums<Pack, K> sum(E n, F&& f, E2 n2, F2&& f2) const {
        auto partial = zero<K>();
        fold(n, f, partial);
        fold(n2, f2, partial);
        return tree(partial);
    }

    template <class E, class M, class Term, class Use>
    CUBOME_INLINE void sum_each(E n, M m, Term&& term, Use&& use) const {
        const index num_blocks = static_cast<index>(divide_up(n, width));
        index b = 0;
        for (; b + rows_at_once <= num_blocks; b += rows_at_once) blocks<rows_at_once>(b, m, term, use);
        for (; b + 2 <= num_blocks; b += 2) blocks<2>(b, m, term, use);
        if (b < num_blocks) blocks<1>(b, m, term, use);
    }

    template <class E, class F>
    CUBOME_INLINE Pack maximum(E n, F&& f) const {
        Pack result(-std::numeric_limits<scalar>::infinity());
        for (index i = 0; i < n; i += width) result = select(is_inside(i, n), max(result, f(lane_block{i})), result);
        return across(result, [](scalar a, scalar b) { return max(a, b); });
    }

    template <class E, class F>
    CUBOME_INLINE mask_of<Pack> all_of(E n, F&& f) const {
        mask_of<Pack> result(true);
        for (index i = 0; i < n; i += width) result = result & (f(lane_block{i}) | !is_inside(i, n));
        return mask_of<Pack>(all(result));
    }

    CUBOME_INLINE mask_of<Pack> is(lane_block i, index which) const {
        return lane_numbers() == Pack(scalar(which - i.first));
    }

    CUBOME_INLINE mask_of<Pack> is_below(lane_block i, index n) const { return is_inside(i.first, n); }

    CUBOME_INLINE Pack number(lane_block i) const { return lane_numbers() + Pack(scalar(i.first)); }
    CUBOME_INLINE Pack number(index i) const { return Pack(scalar(i)); }

    template <barrier B>
    CUBOME_INLINE void sync() const {}

    CUBOME_INLINE index rank() const { return 0; }
    CUBOME_INLINE index size() const { return 1; }

private:
    /// Rows of packs whose chains are in flight together: 4 × num_chains accumulators fit the 32 registers of AVX-512.
    static constexpr index rows_at_once = 4;

    static CUBOME_INLINE Pack lane_numbers() {
        alignas(64) scalar numbers[width];
        for (index l = 0; l < width; ++l) numbers[l] = scalar(l);
        return Pack::load(numbers);
    }

    /// The lanes whose index first + lane is below n.
    static CUBOME_INLINE mask_of<Pack> is_inside(index first, index n) {
        return lane_numbers() < Pack(scalar(n - first));
    }

    // Sums are named by constants wherever they are: one loop over them, and they would be in memory in all others.
    template <int K>
    static CUBOME_INLINE sums<Pack, K> zero() {
        sums<Pack, K> result;
        unroll<K>([&](index k) { result[k] = Pack(scalar(0)); });
        return result;
    }

    template <int K, class E, class F>
    static CUBOME_INLINE void fold(E n, F&& f, sums<Pack, K>& partial) {
        index i = 0;
        for (; i + width <= n; i += width) partial = f(lane_block{i}, partial);
        if (i < n) {
            const auto inside = is_inside(i, n);
            const auto next = f(lane_block{i}, partial);
            unroll<K>([&](index k) { partial[k] = select(inside, next[k], partial[k]); });
        }
    }

    /// The tree l ⊕ 1, ⊕ 2, ⊕ 4 … over Count lanes, in registers.
    template <index Count, class Combine>
    static CUBOME_INLINE scalar tree_of(const scalar* lanes, Combine combine) {
        if constexpr (Count == 1)
            return lanes[0];
        else
            return combine(tree_of<Count / 2>(lanes, combine), tree_of<Count / 2>(lanes + Count / 2, combine));
    }

    template <class Combine>
    static CUBOME_INLINE Pack across(Pack partial, Combine combine) {
        alignas(64) scalar lanes[width];
        partial.store(lanes);
        return Pack(tree_of<width>(lanes, combine));
    }

    template <int K>
    static CUBOME_INLINE sums<Pack, K> tree(sums<Pack, K> partial) {
        unroll<K>([&](index k) { partial[k] = across(partial[k], [](scalar a, scalar b) { return a + b; }); });
        return partial;
    }

    template <index Rows, class M, class Term, class Use>
    static CUBOME_INLINE void blocks(index first, M m, Term&& term, Use&& use) {
        sum_rows<Pack, Rows>(
            first, m, [&](index b, index j, Pack sum) { return term(lane_block{b * width}, j, sum); },
            [&](index b, Pack total) { use(lane_block{b * width}, total); });
    }
};

CUBOME_END_NAMESPACE

#endif  // CUBOME_HAS_NO_SIMD
