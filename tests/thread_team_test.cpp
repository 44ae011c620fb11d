// SPDX-License-Identifier: Apache-2.0

// The staged engine's threads: every item once, whatever the pieces, and what was written is seen by the next job.

#include "host/staged/thread_team.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace {

using cubome::detail::thread_team;

TEST(ThreadTeam, DoesEveryItemOnceInPiecesThatAreNotTooLong) {
    for (const int num_threads : {1, 2, 5}) {
        thread_team team(num_threads);
        EXPECT_EQ(team.num_threads(), num_threads);
        for (const std::int64_t n : {0, 1, 2, 63, 64, 65, 1000}) {
            for (const std::int64_t grain : {1, 7, 64, 1000}) {
                std::vector<int> times(static_cast<std::size_t>(n), 0);
                std::atomic<std::int64_t> longest{0};
                team.for_each(n, grain, [&](std::int64_t first, std::int64_t last) {
                    for (std::int64_t seen = longest;
                         seen < last - first && !longest.compare_exchange_weak(seen, last - first);) {
                    }
                    for (std::int64_t i = first; i < last; ++i) ++times[static_cast<std::size_t>(i)];
                });
                EXPECT_EQ(std::count(times.begin(), times.end(), 1), n);
                if (num_threads > 1) {
                    EXPECT_LE(longest, grain);
                }
            }
        }
    }
}

TEST(ThreadTeam, OneJobSeesWhatTheJobBeforeItHasWritten) {
    thread_team team(4);
    constexpr std::size_t n = 256;
    std::vector<std::int64_t> from(n, 1), to(n);
    for (int round = 0; round < 500; ++round) {
        team.for_each(n, 3, [&](std::int64_t first, std::int64_t last) {
            for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i)
                to[i] = from[(i * 7 + 1) % n] + 1;
        });
        std::swap(from, to);
    }
    EXPECT_EQ(from, std::vector<std::int64_t>(n, 501));
}

TEST(ThreadTeam, HasOneSideOfEachJobOnTheCallersThread) {
    thread_team team(3);
    const auto caller = std::this_thread::get_id();
    std::atomic<int> num_here{0}, num_pieces{0};
    for (int round = 0; round < 100; ++round)
        team.for_each(64, 1, [&](std::int64_t, std::int64_t) {
            ++num_pieces;
            num_here += std::this_thread::get_id() == caller;
        });
    EXPECT_EQ(num_pieces, 6400);
    EXPECT_GT(num_here, 0);
}

}  // namespace
