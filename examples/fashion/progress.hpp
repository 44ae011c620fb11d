// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace fashion {

/// Shows on stderr how far the job is: a bar on a terminal, one plain line per stage elsewhere.
class progress {
public:
    /// @param total what `done()` will have counted in the end
    explicit progress(std::int64_t total);
    ~progress();

    /// Counts finished work; any thread may add to it.
    std::atomic<std::int64_t>& done() { return done_; }

    /// Says what is being worked on from now on.
    void begin_stage(const std::string& title);

private:
    void keep_drawing(const std::stop_token& stop);
    void draw();

    const std::int64_t total_;
    const bool is_terminal_;
    std::atomic<std::int64_t> done_{0};
    std::mutex title_mutex_;
    std::string title_;
    std::jthread drawer_;
};

}  // namespace fashion
