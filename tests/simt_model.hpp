// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <barrier>
#include <bit>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "cubome/core/group.hpp"

/// A device for the headers in cubome/cuda, made of host threads: one for each thread of a block, blocks one after
/// another. Exchange within a warp goes through relaxed atomics, so that only the barriers order memory and a missing
/// one is a race that ThreadSanitizer sees.
CUBOME_BEGIN_NAMESPACE
namespace simt {

using lane_mask = unsigned;

/// What the threads of one block share.
class block_model {
public:
    static constexpr index warp_size = 32;
    static constexpr int num_widths = 6;  // 1, 2, 4 … 32 lanes
    static constexpr int max_words = 12;  // six sums of doubles

    explicit block_model(index num_threads) : everybody_(num_threads), slots_(num_threads) {
        for (index first = 0; first < num_threads; first += warp_size)
            for (index width = 1; width <= warp_size; width *= 2)
                for (index at = 0; at < warp_size; at += width) tiles_.emplace_back(width);
    }

    void sync() { everybody_.arrive_and_wait(); }
    void sync(index thread, lane_mask mask) { tile(thread, mask).arrive_and_wait(); }

    bool all(bool predicate) {
        if (!predicate) everyone_agrees_.store(false, std::memory_order_relaxed);
        sync();
        const bool result = everyone_agrees_.load(std::memory_order_relaxed);
        sync();
        everyone_agrees_.store(true, std::memory_order_relaxed);
        sync();
        return result;
    }

    /// Two buffers are enough: who writes call c + 2 has seen every lane of the mask write c + 1, hence finish reading
    /// c.
    std::atomic<std::uint64_t>* words(std::uint32_t call, index thread) {
        return slots_[static_cast<std::size_t>(thread)].words[call % 2];
    }

    void forget_words(index thread) {
        for (auto& buffer : slots_[static_cast<std::size_t>(thread)].words)
            for (auto& word : buffer) word.store(0, std::memory_order_relaxed);
    }

private:
    struct alignas(64) slot {
        std::atomic<std::uint64_t> words[2][max_words] = {};
    };

    std::barrier<>& tile(index thread, lane_mask mask) {
        const index width = static_cast<index>(std::popcount(mask)), at = static_cast<index>(std::countr_zero(mask));
        // Widths 1, 2, 4 … have 32, 16, 8 … tiles in a warp.
        const index before = 2 * warp_size - 2 * warp_size / width;
        const index in_warp = before + at / width;
        return tiles_[static_cast<std::size_t>(thread / warp_size * (2 * warp_size - 1) + in_warp)];
    }

    std::barrier<> everybody_;
    std::deque<std::barrier<>> tiles_;
    std::vector<slot> slots_;
    std::atomic<bool> everyone_agrees_{true};
};

/// The calling thread's place.
struct place {
    block_model* block = nullptr;
    index thread = 0;
    std::int64_t block_rank = 0, num_blocks = 1;
    char* shared = nullptr;
    std::uint32_t call = 0;  ///< of exchange; the lanes of a mask make the same ones
};
inline thread_local place here;

inline index thread_rank() {
    return here.thread;
}
inline std::int64_t block_rank() {
    return here.block_rank;
}
inline std::int64_t num_blocks() {
    return here.num_blocks;
}
inline char* shared_memory() {
    return here.shared;
}

/// Shows x to the lanes of the mask and reads that of `from`. A word holds 32 bits of payload and, above them, the
/// number of the call.
template <class T>
T exchange(lane_mask mask, T x, index from) {
    constexpr int num_words = static_cast<int>((sizeof(T) + 3) / 4);
    static_assert(num_words <= block_model::max_words);
    const std::uint32_t call = ++here.call;
    std::uint32_t payload[num_words] = {};
    std::memcpy(payload, &x, sizeof x);
    std::atomic<std::uint64_t>* words = here.block->words(call, here.thread);
    for (int w = 0; w < num_words; ++w)
        words[w].store(std::uint64_t(call) << 32 | payload[w], std::memory_order_relaxed);
    const index first = here.thread / block_model::warp_size * block_model::warp_size;
    for (index l = 0; l < block_model::warp_size; ++l) {
        if ((mask >> l & 1) == 0) continue;
        words = here.block->words(call, first + l);
        for (int w = 0; w < num_words; ++w) {
            std::uint64_t word;
            while ((word = words[w].load(std::memory_order_relaxed)) >> 32 != call) std::this_thread::yield();
            if (first + l == from) payload[w] = static_cast<std::uint32_t>(word);
        }
    }
    std::memcpy(&x, payload, sizeof x);
    return x;
}

template <class Real, int K>
sums<Real, K> shuffle_xor(lane_mask mask, sums<Real, K> x, index offset) {
    return exchange(mask, x, here.thread ^ offset);
}
inline bool all_of_warp(lane_mask mask, bool predicate) {
    bool holds = predicate;
    for (index offset = 1; offset < std::popcount(mask); offset *= 2) {
        const bool other = exchange(mask, holds, here.thread ^ offset);
        holds = holds && other;
    }
    return holds;
}
inline void sync_warp(lane_mask mask) {
    here.block->sync(here.thread, mask);
}
inline void sync_block() {
    here.block->sync();
}
inline bool all_of_block(bool predicate) {
    return here.block->all(predicate);
}

/// The threads of a block, started once and fed with one launch after another.
class device_model {
public:
    explicit device_model(index threads_per_block) : block_(threads_per_block), gate_(threads_per_block + 1) {
        for (index t = 0; t < threads_per_block; ++t) threads_.emplace_back([this, t] { work(t); });
    }
    ~device_model() {
        kernel_ = nullptr;
        gate_.arrive_and_wait();
        for (std::thread& thread : threads_) thread.join();
    }
    device_model(const device_model&) = delete;
    device_model& operator=(const device_model&) = delete;

    /// Calls the kernel in every thread of every block, and returns when all are through.
    void launch(std::int64_t num_blocks, std::size_t shared_bytes, std::function<void()> kernel) {
        kernel_ = std::move(kernel);
        num_blocks_ = num_blocks;
        // Exactly as large as was asked for: an address sanitizer sees what reaches past it.
        shared_.reset(new (std::align_val_t(16)) char[shared_bytes]);
        shared_bytes_ = shared_bytes;
        gate_.arrive_and_wait();
        gate_.arrive_and_wait();
    }

private:
    struct aligned_delete {
        void operator()(char* memory) const { ::operator delete[](memory, std::align_val_t(16)); }
    };

    void work(index thread) {
        for (;;) {
            gate_.arrive_and_wait();
            if (!kernel_) return;
            for (std::int64_t b = 0; b < num_blocks_; ++b) {
                // Lanes that were in one tile need not have made as many calls as those that are now.
                block_.forget_words(thread);
                here = {&block_, thread, b, num_blocks_, shared_.get(), 0};
                // NaNs where zeros, or the block before, should not be counted on
                if (thread == 0) std::memset(shared_.get(), 0x7f, shared_bytes_);
                block_.sync();
                kernel_();
                block_.sync();
            }
            gate_.arrive_and_wait();
        }
    }

    block_model block_;
    std::int64_t num_blocks_ = 0;
    std::function<void()> kernel_;
    std::unique_ptr<char[], aligned_delete> shared_;
    std::size_t shared_bytes_ = 0;
    std::barrier<> gate_;
    std::vector<std::thread> threads_;
};

}  // namespace simt
CUBOME_END_NAMESPACE
