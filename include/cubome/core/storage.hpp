// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/arithmetic.hpp"
#include "cubome/core/extent.hpp"

/// Where host models keep a problem's arrays: small constant extents inside the objects, everything else in a workspace
/// that is measured once and handed out by an arena. Device models bring their own, in cuda/.
CUBOME_BEGIN_NAMESPACE

/// Workspace pieces start at multiples of this: a cache line, and the widest vector.
inline constexpr std::size_t workspace_alignment = 64;

/// What stands for more workspace than a machine can have.
inline constexpr std::size_t too_many_bytes = ~std::size_t(0);

/// Hands out pieces of a workspace. Without one it only counts, so that the same constructors measure and place; a
/// count beyond what memory can have stays at `too_many_bytes`.
///
/// On a device there is a second, smaller space that all lanes are near to, shared memory; on the host it is empty.
class arena {
public:
    CUBOME_HD explicit arena(void* workspace, void* near = nullptr, std::size_t near_bytes = 0)
        : base_(static_cast<char*>(workspace)), near_(static_cast<char*>(near)), near_bytes_(near_bytes) {}

    template <class T>
    CUBOME_HD T* take(std::int64_t count) {
        char* piece = base_ == nullptr ? nullptr : base_ + used_;
        constexpr std::size_t per_line = workspace_alignment / sizeof(T) > 0 ? workspace_alignment / sizeof(T) : 1;
        constexpr std::size_t line_bytes = per_line * sizeof(T);
        static_assert(line_bytes % workspace_alignment == 0);
        const std::size_t lines = (static_cast<std::size_t>(count) + per_line - 1) / per_line;
        used_ = lines > (too_many_bytes - used_) / line_bytes ? too_many_bytes : used_ + lines * line_bytes;
        return reinterpret_cast<T*>(piece);
    }

    /// From the near space if there is room, else from the workspace.
    /// @param is_certain there is room: the caller has made sure, and the compiler need not ask
    template <class T>
    CUBOME_HD T* take_near(std::int64_t count, bool is_certain) {
        return is_certain || has_room(count, sizeof(T)) ? take_room<T>(count) : take<T>(count);
    }
    /// From the near space, or null.
    template <class T>
    CUBOME_HD T* take_near_only(std::int64_t count, bool is_certain) {
        return is_certain || has_room(count, sizeof(T)) ? take_room<T>(count) : nullptr;
    }

    CUBOME_HD std::size_t used() const { return used_; }
    CUBOME_HD std::size_t near_used() const { return near_used_; }

private:
    static constexpr std::size_t near_alignment = 16;

    CUBOME_HD bool has_room(std::int64_t count, std::size_t size) const {
        return near_used_ <= near_bytes_ && static_cast<std::size_t>(count) <= (near_bytes_ - near_used_) / size;
    }
    template <class T>
    CUBOME_HD T* take_room(std::int64_t count) {
        char* piece = near_ + near_used_;
        near_used_ +=
            (static_cast<std::size_t>(count) * sizeof(T) + near_alignment - 1) / near_alignment * near_alignment;
        return reinterpret_cast<T*>(piece);
    }

    char* base_;
    std::size_t used_ = 0;
    char* near_;
    std::size_t near_bytes_;
    std::size_t near_used_ = 0;
};

/// Elements that lie in the object itself where their number is a constant of at most this, else in the workspace.
inline constexpr std::int64_t inline_limit = 64;

template <class T, std::int64_t Count>
class inline_elements {
public:
    static constexpr bool is_inline = true;

    CUBOME_HD inline_elements(arena&, std::int64_t) {}
    CUBOME_INLINE T& operator[](std::int64_t i) { return elements_[i]; }
    CUBOME_INLINE const T& operator[](std::int64_t i) const { return elements_[i]; }

private:
    T elements_[Count > 0 ? Count : 1] = {};
};

template <class T>
class workspace_elements {
public:
    static constexpr bool is_inline = false;

    CUBOME_HD workspace_elements(arena& memory, std::int64_t count) : elements_(memory.take<T>(count)) {}
    CUBOME_INLINE T& operator[](std::int64_t i) { return elements_[i]; }
    CUBOME_INLINE const T& operator[](std::int64_t i) const { return elements_[i]; }

private:
    T* elements_;
};

template <bool IsConstant, class T, std::int64_t Count>
struct choose_elements {
    using type = workspace_elements<T>;
};
template <class T, std::int64_t Count>
requires(Count <= inline_limit) struct choose_elements<true, T, Count> {
    using type = inline_elements<T, Count>;
};
template <bool IsConstant, class T, std::int64_t Count>
using elements = typename choose_elements<IsConstant, T, Count>::type;

/// A vector of n Reals, one element at each index.
template <class Real, class E>
class vector_storage {
    using elements_type = elements<E::is_constant, Real, E::constant>;

public:
    static constexpr bool is_inline = elements_type::is_inline;

    CUBOME_HD vector_storage(arena& memory, E n) : extent_(n), elements_(memory, n) {}

    CUBOME_INLINE Real& operator[](index i) { return elements_[i]; }
    CUBOME_INLINE const Real& operator[](index i) const { return elements_[i]; }
    CUBOME_INLINE void set(index i, Real value) { elements_[i] = value; }

    /// Element i + offset, for published vectors: another lane's, where the offset is no multiple of the width.
    CUBOME_INLINE const Real& shifted(index i, index offset) const { return elements_[std::int64_t(i) + offset]; }
    CUBOME_INLINE void set_shifted(index i, index offset, Real value) { elements_[std::int64_t(i) + offset] = value; }

    CUBOME_INLINE E rows() const { return extent_; }

private:
    [[no_unique_address]] E extent_;
    elements_type elements_;
};

/// A matrix of R × C Reals, row-major. `row(i, j)` and `column(i, j)` are both element (i, j): the first is meant for
/// the lane of row i, the second for the lane of column j; models whose lanes are threads lay them out differently.
template <class Real, class R, class C>
class matrix_storage {
    static constexpr bool is_constant = R::is_constant && C::is_constant;
    using elements_type = elements<is_constant, Real, is_constant ? std::int64_t(R::constant) * C::constant : 0>;

public:
    static constexpr bool is_inline = elements_type::is_inline;

    CUBOME_HD matrix_storage(arena& memory, R rows, C columns)
        : rows_(rows), columns_(columns), elements_(memory, std::int64_t(rows) * columns) {}

    CUBOME_INLINE const Real& row(index i, index j) const { return elements_[std::int64_t(i) * columns_ + j]; }
    CUBOME_INLINE const Real& column(index i, index j) const { return row(i, j); }
    CUBOME_INLINE void set(index i, index j, Real value) { elements_[std::int64_t(i) * columns_ + j] = value; }

    CUBOME_INLINE R rows() const { return rows_; }
    CUBOME_INLINE C columns() const { return columns_; }

private:
    [[no_unique_address]] R rows_;
    [[no_unique_address]] C columns_;
    elements_type elements_;
};

/// Copies a user's array into a vector: element(e) is its e-th Real.
template <class Real, class E, class Element>
CUBOME_INLINE void fill(vector_storage<Real, E>& to, Element&& element) {
    for_each_index(to.rows(), [&](index i) { to.set(i, element(std::int64_t(i))); });
}
template <class Real, class R, class C, class Element>
CUBOME_INLINE void fill(matrix_storage<Real, R, C>& to, Element&& element) {
    CUBOME_UNROLL
    for (index i = 0; i < to.rows(); ++i) CUBOME_UNROLL
    for (index j = 0; j < to.columns(); ++j) to.set(i, j, element(std::int64_t(i) * to.columns() + j));
}

CUBOME_END_NAMESPACE
