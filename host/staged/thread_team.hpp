// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace cubome::detail {

/// Threads that wait for work, so that many short pieces of it need not start their own. One caller at a time.
class thread_team {
public:
    /// @param num_threads the caller among them, ≥ 1; where the system gives fewer, those
    explicit thread_team(int num_threads);
    thread_team(const thread_team&) = delete;
    thread_team& operator=(const thread_team&) = delete;
    ~thread_team();

    int num_threads() const { return static_cast<int>(helpers_.size()) + 1; }

    /// work(first, last) for pieces of [0, num_items) of at most `grain` items, and returns when all are done.
    template <class Work>
    void for_each(std::int64_t num_items, std::int64_t grain, const Work& work) {
        if (num_items <= grain || helpers_.empty()) {
            if (num_items > 0) work(0, num_items);
            return;
        }
        run({num_items, grain, &work, [](const void* w, std::int64_t first, std::int64_t last) {
                 (*static_cast<const Work*>(w))(first, last);
             }});
    }

private:
    struct job {
        std::int64_t num_items, grain;
        const void* work;
        void (*call)(const void* work, std::int64_t first, std::int64_t last);  ///< does not throw
    };

    void run(const job& what);
    void take_pieces();
    void help();

    std::mutex mutex_;
    std::condition_variable begun_, ended_;
    job job_{};
    std::uint64_t number_ = 0;  ///< of the job
    int num_wanted_ = 0;        ///< helpers, for this job
    int num_helping_ = 0;       ///< of them, who have not ended it
    bool is_closed_ = false;
    std::atomic<std::int64_t> next_{0};
    std::vector<std::thread> helpers_;
};

}  // namespace cubome::detail
