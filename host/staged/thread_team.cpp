// SPDX-License-Identifier: Apache-2.0
#include "host/staged/thread_team.hpp"

#include <algorithm>

namespace cubome::detail {

thread_team::thread_team(int num_threads) {
    try {
        helpers_.reserve(static_cast<std::size_t>(num_threads) - 1);
        for (int i = 1; i < num_threads; ++i) helpers_.emplace_back([this] { help(); });
    } catch (...) {
        // No more threads to be had: those that run take all pieces.
    }
}

thread_team::~thread_team() {
    {
        const std::lock_guard lock(mutex_);
        is_closed_ = true;
    }
    begun_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
}

void thread_team::run(const job& what) {
    {
        const std::lock_guard lock(mutex_);
        job_ = what;
        next_ = 0;
        const std::int64_t num_pieces = (what.num_items - 1) / what.grain + 1;
        num_wanted_ = static_cast<int>(std::min(num_pieces - 1, static_cast<std::int64_t>(helpers_.size())));
        num_helping_ = num_wanted_;
        ++number_;
    }
    begun_.notify_all();
    take_pieces();
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return num_helping_ == 0; });
}

void thread_team::take_pieces() {
    for (std::int64_t first; (first = next_.fetch_add(job_.grain)) < job_.num_items;)
        job_.call(job_.work, first, std::min(first + job_.grain, job_.num_items));
}

void thread_team::help() {
    std::uint64_t last = 0;
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            begun_.wait(lock, [&] { return is_closed_ || number_ != last; });
            if (is_closed_) return;
            last = number_;
            if (num_wanted_ == 0) continue;
            --num_wanted_;
        }
        take_pieces();
        {
            const std::lock_guard lock(mutex_);
            if (--num_helping_ > 0) continue;
        }
        ended_.notify_one();
    }
}

}  // namespace cubome::detail
