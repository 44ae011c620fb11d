// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <barrier>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

#include "cubome/core/group.hpp"

/// A group whose lanes are host threads, for ThreadSanitizer: what it sees here is a race on a device too. Only `sync`
/// orders memory. `sum` and its kin exchange numbers through relaxed atomics, which create no happens-before edge, so
/// that none of them can stand in for a barrier that is missing.
namespace thread_model {

using cubome::index;
using cubome::sums;

/// The barrier that all lanes pass without waiting; `count`, none. To be set while no lane runs.
inline cubome::barrier left_out = cubome::barrier::count;

/// Where the lanes of one problem meet.
template <index Width>
class meeting_point {
public:
    static constexpr int max_words = 16;  // six sums of doubles, two words each, are the most that the text asks for

    void wait() { barrier_.arrive_and_wait(); }

    /// Two buffers are enough: who writes call s + 2 has seen every lane write s + 1, hence finish reading s.
    std::atomic<std::uint64_t>* words(std::uint32_t call, index lane) { return slots_[call % 2][lane].words; }

private:
    struct alignas(64) slot {
        std::atomic<std::uint64_t> words[max_words] = {};
    };

    slot slots_[2][Width];
    std::barrier<> barrier_{Width};
};

/// One lane.
template <class Real, index Width>
class alignas(64) thread_group {
    static_assert((Width & (Width - 1)) == 0, "the tree over lanes needs a power of two");

public:
    using real = Real;
    static constexpr index width = Width;

    template <class... E>
    static constexpr bool inlines = (... && cubome::is_unrolled<E>);

    // One object for all lanes, in memory that they share.
    template <class E>
    using own = cubome::vector_storage<Real, E>;
    template <class E>
    using published = cubome::vector_storage<Real, E>;
    template <class R, class C>
    using own_rows = cubome::matrix_storage<Real, R, C>;
    template <class R, class C>
    using stored_rows = cubome::matrix_storage<Real, R, C>;
    template <class R, class C>
    using matrix = cubome::matrix_storage<Real, R, C>;

    thread_group(meeting_point<Width>& meeting, index rank) : meeting_(&meeting), rank_(rank) {}

    template <class E, class F>
    void for_each(E n, F&& f) const {
        if constexpr (E::is_constant && E::constant == 0) return;
        for (index i = rank_; i < n; i += Width) f(i);
    }

    template <cubome::barrier B, class E, class F>
    void phase(E n, F&& f) const {
        for_each(n, f);
        sync<B>();
    }

    template <int K, class E, class F>
    sums<Real, K> sum(E n, F&& f) const {
        return sum<K>(n, f, cubome::extent<0>{}, f);
    }

    template <int K, class E, class F, class E2, class F2>
    sums<Real, K> sum(E n, F&& f, E2 n2, F2&& f2) const {
        auto mine = sums<Real, K>::zero();
        for_each(n, [&](index i) { mine = f(i, mine); });
        for_each(n2, [&](index i) { mine = f2(i, mine); });
        sums<Real, K> all[Width];
        exchange(mine, all);
        for (index offset = 1; offset < Width; offset *= 2)
            for (index l = 0; l < Width; l += 2 * offset)
                for (int k = 0; k < K; ++k) all[l][k] = all[l][k] + all[l + offset][k];
        return all[0];
    }

    template <class E, class M, class Term, class Use>
    void sum_each(E n, M m, Term&& term, Use&& use) const {
        for_each(n, [&](index i) { cubome::sum_rows<Real, 1>(i, m, term, use); });
    }

    template <class E, class F>
    Real maximum(E n, F&& f) const {
        sums<Real, 1> mine{{-std::numeric_limits<Real>::infinity()}};
        for_each(n, [&](index i) { mine[0] = cubome::max(mine[0], f(i)); });
        sums<Real, 1> all[Width];
        exchange(mine, all);
        for (index l = 1; l < Width; ++l) all[0][0] = cubome::max(all[0][0], all[l][0]);
        return all[0][0];
    }

    template <class E, class F>
    bool all_of(E n, F&& f) const {
        bool holds = true;
        for_each(n, [&](index i) { holds = holds & f(i); });
        sums<Real, 1> all[Width];
        exchange(sums<Real, 1>{{Real(holds ? 1 : 0)}}, all);
        for (index l = 0; l < Width; ++l) holds = holds & (all[l][0] == Real(1));
        return holds;
    }

    bool is(index i, index which) const { return i == which; }
    bool is_below(index i, index n) const { return i < n; }
    Real number(index i) const { return static_cast<Real>(i); }

    template <cubome::barrier B>
    void sync() const {
        if (B != left_out) meeting_->wait();
    }

    index rank() const { return rank_; }
    index size() const { return Width; }

private:
    static constexpr int words_per_number = static_cast<int>(sizeof(Real) / sizeof(std::uint32_t));

    /// Shows `mine` to every lane and reads what every lane shows. A word holds 32 bits of payload and, above them, the
    /// number of the call.
    template <int K>
    void exchange(const sums<Real, K>& mine, sums<Real, K> (&all)[Width]) const {
        constexpr int num_words = K * words_per_number;
        static_assert(num_words <= meeting_point<Width>::max_words);
        ++call_;
        std::uint32_t payload[num_words];
        std::memcpy(payload, mine.values, sizeof payload);
        std::atomic<std::uint64_t>* words = meeting_->words(call_, rank_);
        for (int w = 0; w < num_words; ++w)
            words[w].store(std::uint64_t(call_) << 32 | payload[w], std::memory_order_relaxed);
        for (index l = 0; l < Width; ++l) {
            words = meeting_->words(call_, l);
            for (int w = 0; w < num_words; ++w) {
                std::uint64_t word;
                while ((word = words[w].load(std::memory_order_relaxed)) >> 32 != call_) std::this_thread::yield();
                payload[w] = static_cast<std::uint32_t>(word);
            }
            std::memcpy(all[l].values, payload, sizeof payload);
        }
    }

    meeting_point<Width>* meeting_;
    index rank_;
    mutable std::uint32_t call_ = 0;  // of exchange; every lane makes the same calls
};

/// The threads of the lanes, started once and fed with one block of work after another.
template <class Real, index Width>
class lane_threads {
public:
    using group = thread_group<Real, Width>;
    static constexpr index num_threads = Width;

    lane_threads() {
        for (index l = 0; l < Width; ++l) groups_.emplace_back(meeting_, l);
        for (index l = 0; l < Width; ++l) threads_.emplace_back([this, l] { work(lane(l)); });
    }
    ~lane_threads() {
        block_ = nullptr;
        gate_.arrive_and_wait();
        for (std::thread& thread : threads_) thread.join();
    }
    lane_threads(const lane_threads&) = delete;
    lane_threads& operator=(const lane_threads&) = delete;

    const group& lane(index l) const { return groups_[static_cast<std::size_t>(l)]; }

    /// Calls block(group) once in every lane and returns when all are through.
    void run(std::function<void(const group&)> block) {
        block_ = std::move(block);
        gate_.arrive_and_wait();
        gate_.arrive_and_wait();
    }

private:
    void work(const group& g) {
        for (;;) {
            gate_.arrive_and_wait();
            if (!block_) return;
            block_(g);
            gate_.arrive_and_wait();
        }
    }

    meeting_point<Width> meeting_;
    std::vector<group> groups_;
    std::function<void(const group&)> block_;
    std::barrier<> gate_{Width + 1};
    std::vector<std::thread> threads_;
};

/// A model whose lanes are all played by the calling thread, used the same way.
template <class Group>
class calling_thread {
public:
    using group = Group;
    static constexpr index num_threads = 1;

    const group& lane(index) const { return group_; }

    template <class Block>
    void run(Block&& block) {
        block(group_);
    }

private:
    group group_;
};

}  // namespace thread_model
