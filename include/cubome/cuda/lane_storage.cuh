// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/storage.hpp"

/// Where the lanes of a device group keep a problem's arrays: an element that one lane owns in that lane's registers
/// where the extent is a constant; what all lanes read in shared memory, as far as it fits; the rest in the workspace.
CUBOME_BEGIN_NAMESPACE

/// An index of a loop over a group's lanes. `slot` counts this lane's elements: a constant where the loop is unrolled,
/// so that it can name a register.
struct lane_element {
    index element;
    index slot;

    CUBOME_INLINE operator index() const { return element; }
};

/// How many elements of E each of `Width` lanes has.
template <class E, index Width>
inline constexpr index slots_of = E::is_constant ? (E::constant + Width - 1) / Width : 0;

/// The elements of a vector of constant extent, each in the registers of the lane that owns it.
template <class Real, class E, index Width>
class register_vector {
public:
    static constexpr bool is_inline = true;

    CUBOME_HD register_vector(arena&, E) {}

    CUBOME_INLINE Real& operator[](lane_element i) { return slots_[i.slot]; }
    CUBOME_INLINE const Real& operator[](lane_element i) const { return slots_[i.slot]; }
    CUBOME_INLINE E rows() const { return {}; }

private:
    Real slots_[slots_of<E, Width> > 0 ? slots_of<E, Width> : 1] = {};
};

/// A matrix of constant extents whose rows the lanes own, likewise.
template <class Real, class R, class C, index Width>
class register_rows {
public:
    static constexpr bool is_inline = true;

    CUBOME_HD register_rows(arena&, R, C) {}

    CUBOME_INLINE const Real& row(lane_element i, index j) const { return slots_[i.slot * C::constant + j]; }
    CUBOME_INLINE void set(lane_element i, index j, Real value) { slots_[i.slot * C::constant + j] = value; }
    CUBOME_INLINE R rows() const { return {}; }
    CUBOME_INLINE C columns() const { return {}; }

private:
    Real slots_[slots_of<R, Width> * C::constant] = {};
};

/// A vector in memory that all lanes can reach: shared memory if it fits, and always where the extent is a constant.
template <class Real, class E>
class near_vector {
public:
    static constexpr bool is_inline = false;

    CUBOME_HD near_vector(arena& memory, E n) : extent_(n), elements_(memory.take_near<Real>(n, E::is_constant)) {}

    CUBOME_INLINE Real& operator[](index i) { return elements()[i]; }
    CUBOME_INLINE const Real& operator[](index i) const { return elements()[i]; }

    /// Element i + offset: another lane's, where the offset is no multiple of the width.
    CUBOME_INLINE const Real& shifted(index i, index offset) const { return elements()[std::int64_t(i) + offset]; }
    CUBOME_INLINE void set_shifted(index i, index offset, Real value) { elements()[std::int64_t(i) + offset] = value; }

    CUBOME_INLINE E rows() const { return extent_; }

private:
    /// The space and the workspace hand out pieces that start so: floats are then loaded four neighbours at a time.
    /// With doubles the registers for it are not there.
    CUBOME_INLINE Real* elements() const {
        if constexpr (sizeof(Real) == sizeof(float))
            return static_cast<Real*>(__builtin_assume_aligned(elements_, 16));
        else
            return elements_;
    }

    [[no_unique_address]] E extent_;
    Real* elements_;
};

/// A matrix that lanes read along rows and along columns. In shared memory its rows are an odd number of elements
/// apart, which spreads either direction over the banks. Where it does not fit it is read where the caller has it; one
/// of constant extents always fits.
template <class Real, class R, class C>
class near_matrix {
    static constexpr bool is_constant = R::is_constant && C::is_constant;

public:
    static constexpr bool is_inline = false;
    static constexpr bool can_attach = !is_constant;

    CUBOME_HD near_matrix(arena& memory, R rows, C columns)
        : rows_(rows),
          columns_(columns),
          near_(memory.take_near_only<Real>(std::int64_t(rows) * near_distance(columns), is_constant)) {
        if constexpr (can_attach) {
            elements_ = near_;
            distance_ = near_distance(columns);
        }
    }

    CUBOME_INLINE const Real& row(index i, index j) const {
        if constexpr (can_attach)
            return elements_[std::int64_t(i) * distance_ + j];
        else
            return near_[i * near_distance(C::constant) + j];
    }
    CUBOME_INLINE const Real& column(index i, index j) const { return row(i, j); }

    CUBOME_INLINE void set(index i, index j, Real value) { near_[i * near_distance(columns_) + j] = value; }

    CUBOME_INLINE bool is_near() const { return near_ != nullptr; }
    /// Reads a row-major array where it lies.
    CUBOME_INLINE void attach(const Real* elements) {
        elements_ = elements;
        distance_ = columns_;
    }

    CUBOME_INLINE R rows() const { return rows_; }
    CUBOME_INLINE C columns() const { return columns_; }

private:
    struct nothing {};

    static CUBOME_INLINE index near_distance(index columns) { return columns | 1; }

    [[no_unique_address]] R rows_;
    [[no_unique_address]] C columns_;
    Real* near_;
    // Without [[no_unique_address]]: two empty members that share an address keep nvcc 13.0 busy for ever.
    std::conditional_t<can_attach, const Real*, nothing> elements_;
    std::conditional_t<can_attach, index, nothing> distance_;
};

/// What a device group stores where.
template <class Real, index Width>
struct lane_storage {
    template <class E>
    using own = std::conditional_t<E::is_constant, register_vector<Real, E, Width>, near_vector<Real, E>>;
    template <class E>
    using published = near_vector<Real, E>;
    template <class R, class C>
    using own_rows =
        std::conditional_t<R::is_constant && C::is_constant, register_rows<Real, R, C, Width>, near_matrix<Real, R, C>>;
    template <class R, class C>
    using stored_rows = near_matrix<Real, R, C>;
    template <class R, class C>
    using matrix = near_matrix<Real, R, C>;
};

CUBOME_END_NAMESPACE
