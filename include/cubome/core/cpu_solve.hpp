// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "cubome/core/problem_solve.hpp"
#include "cubome/core/vector_group.hpp"

/// Runs the text on the calling thread: moves problems between the users' row-major arrays and a group's storage.
CUBOME_BEGIN_NAMESPACE

#ifndef CUBOME_HAS_NO_SIMD
/// One problem across the lanes of a pack.
template <class Pack>
class lane_access<vector_group<Pack>> {
    using scalar = scalar_of<Pack>;

public:
    static constexpr index size = 1;
    static constexpr bool reads_parameters_cheaply = false;

    CUBOME_INLINE lane_access(std::int64_t first, index) : first_(first) {}

    CUBOME_INLINE std::int64_t problem(index) const { return first_; }
    CUBOME_INLINE index count() const { return 1; }

    template <class Value>
    CUBOME_INLINE Pack number(Value&& value) const {
        return Pack(scalar(value(first_)));
    }

    template <class Storage, class Value>
    CUBOME_INLINE void load(Storage& storage, Value&& value) const {
        fill(storage, [&](std::int64_t e) { return value(first_, e); });
    }

    CUBOME_INLINE void begin() const {}
    CUBOME_INLINE void loaded() const {}

    template <class Storage>
    CUBOME_INLINE void store(const Storage& storage, scalar* to) const {
        const index n = storage.rows();
        for (index i = 0; i < n; ++i) to[first_ * n + i] = storage.get(i);
    }

    CUBOME_INLINE void store_number(Pack x, scalar* to, std::int64_t stride) const {
        alignas(workspace_alignment) scalar lanes[real_traits<Pack>::lanes];
        store_lanes(x, lanes);
        to[first_ * stride] = lanes[0];
    }

private:
    std::int64_t first_;
};
#endif

/// The whole of a solve in one part, which ends early if the caller cancels.
class whole_solve {
public:
    explicit whole_solve(const std::atomic<bool>* cancel) : cancel_(cancel) {}

    static constexpr std::int64_t first_step() { return 0; }
    static constexpr bool pauses(std::int64_t) { return false; }
    bool should_stop() const { return cancel_ != nullptr && cancel_->load(std::memory_order_relaxed); }

private:
    const std::atomic<bool>* cancel_;
};

/// Solves a range of problems on the calling thread, a pack of them or one at a time.
template <class Group, class Family, solve_text Text, class... Extents>
class cpu_solve {
    using scalar = scalar_of<typename Group::real>;
    using access = lane_access<Group>;
    using batch_type = batch_arguments<scalar>;
    using one_solve = problem_solve<Group, Family, Text, Extents...>;

public:
    static constexpr index problems_at_once = access::size;

    static std::size_t workspace_bytes(const std::int64_t* dims) {
        arena counter(nullptr);
        one_solve::measure(counter, dims);
        return counter.used();
    }

    /// @return how many problems were solved: all, unless the caller cancels
    static std::int64_t run(const batch_type& batch, std::int64_t first, std::int64_t last, void* workspace) {
        const whole_solve part(batch.cancel);
        for (std::int64_t i = first; i < last; i += problems_at_once) {
            if (part.should_stop()) return i - first;
            const index count = static_cast<index>(last - i < problems_at_once ? last - i : problems_at_once);
            solve_some(batch, access(i, count), workspace, i == first, part);
        }
        return last - first;
    }

private:
    CUBOME_FLATTEN static void solve_some(const batch_type& batch, const access& lanes, void* workspace, bool is_first,
                                          const whole_solve& part) {
        one_solve::solve(Group(), batch, lanes, arena(workspace), batch.dims, is_first, part);
    }
};

CUBOME_END_NAMESPACE
