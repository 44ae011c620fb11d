// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cubome/sweep.hpp"
#include "host/sweep/work_queue.hpp"

/// Which chunk is worked on when, by whom, and who gets its results.
namespace cubome::detail {

/// A place for one chunk: its memory, and whoever solves it. Used by one thread at a time.
class chunk_slot {
public:
    virtual ~chunk_slot() = default;

    virtual void begin() = 0;  ///< of a chunk that load() will be told: num_done() is 0; by the orchestrator's thread
    virtual void load(sweep_range chunk) = 0;  ///< makes its problems
    virtual void solve() = 0;
    /// Ends the work on the chunk.
    /// @return false: it was cancelled before all of it was solved
    virtual bool unload() = 0;
    virtual void deliver() = 0;                 ///< hands the results on; by the orchestrator's thread
    virtual void release() = 0;                 ///< gives back all memory that can be had again
    virtual std::int64_t num_done() const = 0;  ///< problems of the chunk so far; from any thread
};

/// A queue and the places of the chunks it works on.
struct chunk_queue {
    std::unique_ptr<work_queue> queue;
    std::vector<std::unique_ptr<chunk_slot>> slots;  ///< at least one
};

/// Drives queues until the chunks of all ranges have been delivered, in order.
///
/// A chunk for which memory cannot be had goes back, and all that follow are half as long. One whose device is lost, or
/// busy with another process, goes back, too, and its queue gets no more. Where chunks that wait for their turn leave
/// no place for the one whose turn it is, the last of them is given up, to be solved again.
class orchestrator {
public:
    struct tuning {
        std::int64_t problems_per_chunk = 1;
        std::function<bool()> is_cancelled;  ///< polled between chunks, by any thread
        std::function<void()> tick;          ///< called now and then by the orchestrator's thread
        double tick_seconds = 0.2;
    };

    orchestrator(std::vector<chunk_queue> queues, std::vector<sweep_range> ranges, tuning how);

    /// Waits until no queue works any more. Chunks that were not begun are left.
    ~orchestrator();
    orchestrator(const orchestrator&) = delete;
    orchestrator& operator=(const orchestrator&) = delete;

    /// @return whether all has been delivered: false if it was cancelled
    /// @throws what a slot threw, once nothing is being worked on
    bool run();

    std::int64_t num_delivered() const { return num_delivered_; }  ///< problems
    std::int64_t problems_per_chunk() const { return chunk_; }

    /// Problems delivered, waiting to be or solved in chunks under way.
    std::int64_t num_done() const;

private:
    struct place {
        std::size_t queue = 0, slot = 0;
    };
    enum class ending { done, cancelled, no_memory, no_device, failed };
    struct event {
        place at;
        sweep_range chunk;
        ending what = ending::done;
        std::exception_ptr error;
    };

    chunk_slot& slot_at(place at) const { return *queues_[at.queue].slots[at.slot]; }
    bool is_stopped() const { return error_ != nullptr || is_cancelled_; }
    void post_chunks();
    sweep_range take_chunk();
    void give_back(sweep_range chunk);
    void halve(const event& e);
    void work(place at, sweep_range chunk);
    bool wait_for_event(event& e);
    void handle(const event& e);
    void deliver_finished();
    void make_room();
    void release_free_slots();

    std::vector<chunk_queue> queues_;
    tuning tuning_;
    std::int64_t chunk_;
    std::deque<sweep_range> waiting_;                                 ///< in order: what no queue has
    std::deque<sweep_range> undelivered_;                             ///< in order: whose turn it is, is at the front
    std::map<std::int64_t, std::pair<sweep_range, place>> finished_;  ///< by first problem: what waits for its turn
    std::vector<std::vector<std::size_t>> free_slots_;                ///< of each queue
    std::vector<place> closed_;                                       ///< where one problem found no memory
    std::vector<bool> is_alive_;
    std::vector<place> busy_;
    std::int64_t num_under_way_ = 0;
    std::int64_t num_delivered_ = 0;
    std::int64_t delivered_before_retry_ = -1;  ///< when closed places were opened again for the last time
    bool is_cancelled_ = false;
    std::exception_ptr error_;         ///< what the run ends with
    std::exception_ptr memory_error_;  ///< why chunks were halved last

    std::atomic<bool> is_stopping_{false};  ///< what has not been begun need not be

    std::mutex mutex_;
    std::condition_variable happened_;
    std::vector<event> events_;  ///< with room for one of each place: a queue's task cannot fail to tell how it ended
};

}  // namespace cubome::detail
