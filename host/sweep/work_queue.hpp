// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

/// Queues: what a sweep's chunks are worked on by, side by side.
namespace cubome::detail {

/// Runs tasks one after another, in the order they were posted. Tasks do not throw.
class work_queue {
public:
    virtual ~work_queue() = default;

    /// Returns at once, or when the task is done.
    virtual void post(std::function<void()> task) = 0;
};

/// Runs each task where it is posted. What a sweep does then has one order.
class inline_queue final : public work_queue {
public:
    void post(std::function<void()> task) override { task(); }
};

/// A host thread. On CUDA its tasks enqueue on streams of their own and wait for them, so that several of these keep
/// the device busy: a launch that is bounded needs somebody to look at what is left to do.
class thread_queue final : public work_queue {
public:
    /// @throws std::system_error if there is no thread to be had
    thread_queue() : thread_([this] { run(); }) {}
    thread_queue(const thread_queue&) = delete;
    thread_queue& operator=(const thread_queue&) = delete;

    /// Runs what was posted to its end.
    ~thread_queue() override {
        {
            const std::lock_guard lock(mutex_);
            is_closed_ = true;
        }
        changed_.notify_one();
        thread_.join();
    }

    void post(std::function<void()> task) override {
        {
            const std::lock_guard lock(mutex_);
            tasks_.push_back(std::move(task));
        }
        changed_.notify_one();
    }

private:
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return is_closed_ || !tasks_.empty(); });
            if (tasks_.empty()) return;
            const std::function<void()> task = std::move(tasks_.front());
            tasks_.pop_front();
            lock.unlock();
            task();
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> tasks_;
    bool is_closed_ = false;
    std::thread thread_;  ///< last, for it uses the others
};

}  // namespace cubome::detail
