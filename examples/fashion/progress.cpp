// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>

namespace fashion {
namespace {

constexpr int bar_width = 30;
constexpr std::chrono::milliseconds redraw_interval{100};

}  // namespace

progress::progress(std::int64_t total)
    : total_(std::max<std::int64_t>(total, 1)), is_terminal_(isatty(STDERR_FILENO) == 1) {
    if (is_terminal_) drawer_ = std::jthread([this](const std::stop_token& stop) { keep_drawing(stop); });
}

progress::~progress() {
    if (!is_terminal_) return;
    drawer_.request_stop();
    drawer_.join();
    draw();
    std::fputc('\n', stderr);
}

void progress::begin_stage(const std::string& title) {
    if (!is_terminal_) std::fprintf(stderr, "%s\n", title.c_str());
    const std::lock_guard lock(title_mutex_);
    title_ = title;
}

void progress::keep_drawing(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
        draw();
        stopped.wait_for(lock, stop, redraw_interval, [] { return false; });
    }
}

void progress::draw() {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const std::string bar(static_cast<std::size_t>(share * bar_width), '#');
    const std::lock_guard lock(title_mutex_);
    constexpr const char* clear_to_end_of_line = "\x1b[K";
    std::fprintf(stderr, "\r[%-*s] %3.0f %%  %s%s", bar_width, bar.c_str(), 100 * share, title_.c_str(),
                 clear_to_end_of_line);
    std::fflush(stderr);
}

}  // namespace fashion
