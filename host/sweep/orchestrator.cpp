// SPDX-License-Identifier: Apache-2.0
#include "host/sweep/orchestrator.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "cubome/error.hpp"

namespace cubome::detail {

orchestrator::orchestrator(std::vector<chunk_queue> queues, std::vector<sweep_range> ranges, tuning how)
    : queues_(std::move(queues)), tuning_(std::move(how)), chunk_(tuning_.problems_per_chunk) {
    for (const sweep_range& r : ranges) {
        if (r.count == 0) continue;
        waiting_.push_back(r);
        undelivered_.push_back(r);
    }
    std::size_t num_places = 0;
    for (const chunk_queue& q : queues_) {
        num_places += q.slots.size();
        std::vector<std::size_t>& slots = free_slots_.emplace_back();
        for (std::size_t i = q.slots.size(); i-- > 0;) slots.push_back(i);
        is_alive_.push_back(true);
    }
    events_.reserve(num_places);
}

orchestrator::~orchestrator() {
    is_stopping_ = true;
    for (chunk_queue& q : queues_) q.queue.reset();
}

bool orchestrator::run() {
    event e;
    for (;;) {
        is_cancelled_ = is_cancelled_ || tuning_.is_cancelled();
        is_stopping_ = is_stopped();
        if (!is_stopped()) post_chunks();
        if (num_under_way_ == 0) {
            if (is_stopped() || undelivered_.empty()) break;
            make_room();
            continue;
        }
        if (wait_for_event(e)) {
            handle(e);
            deliver_finished();
        }
        tuning_.tick();
    }
    if (error_ != nullptr) std::rethrow_exception(error_);
    return undelivered_.empty();
}

std::int64_t orchestrator::num_done() const {
    std::int64_t result = num_delivered_;
    for (const auto& [first, finished] : finished_) result += finished.first.count;
    for (const place& at : busy_) result += slot_at(at).num_done();
    return result;
}

/// Gives each queue one chunk after another, in turns, as long as there are places.
void orchestrator::post_chunks() {
    for (bool is_any = true; is_any;) {
        is_any = false;
        for (std::size_t q = 0; q < queues_.size() && !waiting_.empty(); ++q) {
            if (!is_alive_[q] || free_slots_[q].empty()) continue;
            const place at{q, free_slots_[q].back()};
            const sweep_range chunk = take_chunk();
            free_slots_[q].pop_back();
            slot_at(at).begin();
            busy_.push_back(at);
            ++num_under_way_;
            queues_[q].queue->post([this, at, chunk] { work(at, chunk); });
            is_any = true;
        }
    }
}

sweep_range orchestrator::take_chunk() {
    sweep_range& front = waiting_.front();
    const sweep_range chunk{front.first, std::min(front.count, chunk_)};
    front.first += chunk.count;
    front.count -= chunk.count;
    if (front.count == 0) waiting_.pop_front();
    return chunk;
}

void orchestrator::give_back(sweep_range chunk) {
    const auto after =
        std::find_if(waiting_.begin(), waiting_.end(), [&](const sweep_range& r) { return r.first > chunk.first; });
    waiting_.insert(after, chunk);
}

/// A queue's task.
void orchestrator::work(place at, sweep_range chunk) {
    event e{at, chunk, ending::failed, nullptr};
    try {
        bool is_done = false;
        if (!is_stopping_ && !tuning_.is_cancelled()) {
            chunk_slot& slot = slot_at(at);
            slot.load(chunk);
            slot.solve();
            is_done = slot.unload();
        }
        e.what = is_done ? ending::done : ending::cancelled;
    } catch (const std::bad_alloc&) {
        e.what = ending::no_memory;
        e.error = std::current_exception();
    } catch (const backend_unavailable&) {
        e.what = ending::no_device;
        e.error = std::current_exception();
    } catch (const cuda_error& problem) {
        const cuda_failure failure = problem.failure();
        if (failure == cuda_failure::out_of_memory) e.what = ending::no_memory;
        if (failure == cuda_failure::device_lost || failure == cuda_failure::retry) e.what = ending::no_device;
        e.error = std::current_exception();
    } catch (...) {
        e.error = std::current_exception();
    }
    {
        const std::lock_guard lock(mutex_);
        events_.push_back(std::move(e));
    }
    happened_.notify_one();
}

/// @return whether something happened before the next tick
bool orchestrator::wait_for_event(event& e) {
    std::unique_lock lock(mutex_);
    const std::chrono::duration<double> most(tuning_.tick_seconds);
    if (!happened_.wait_for(lock, most, [this] { return !events_.empty(); })) return false;
    e = std::move(events_.front());
    events_.erase(events_.begin());
    return true;
}

void orchestrator::handle(const event& e) {
    --num_under_way_;
    busy_.erase(std::find_if(busy_.begin(), busy_.end(),
                             [&](const place& p) { return p.queue == e.at.queue && p.slot == e.at.slot; }));
    if (e.what == ending::done) {
        finished_[e.chunk.first] = {e.chunk, e.at};
        return;
    }
    free_slots_[e.at.queue].push_back(e.at.slot);
    switch (e.what) {
        case ending::done:
            break;
        case ending::cancelled:
            is_cancelled_ = true;
            break;
        case ending::no_memory:
            halve(e);
            break;
        case ending::no_device:
            is_alive_[e.at.queue] = false;
            give_back(e.chunk);
            if (std::find(is_alive_.begin(), is_alive_.end(), true) == is_alive_.end() && !error_) error_ = e.error;
            break;
        case ending::failed:
            if (!error_) error_ = e.error;
            break;
    }
}

/// There was no memory for a chunk: frees what nobody uses, and goes on with shorter ones; if even one problem did not
/// fit, with one place less.
void orchestrator::halve(const event& e) {
    memory_error_ = e.error;
    give_back(e.chunk);
    release_free_slots();
    if (e.chunk.count > 1) {
        chunk_ = std::min(chunk_, (e.chunk.count + 1) / 2);
        return;
    }
    std::vector<std::size_t>& slots = free_slots_[e.at.queue];
    slots.erase(std::find(slots.begin(), slots.end(), e.at.slot));
    closed_.push_back(e.at);
}

/// Hands on every chunk whose turn it is.
void orchestrator::deliver_finished() {
    while (!undelivered_.empty() && error_ == nullptr) {
        const auto next = finished_.find(undelivered_.front().first);
        if (next == finished_.end()) return;
        const auto [chunk, at] = next->second;
        try {
            slot_at(at).deliver();
        } catch (...) {
            error_ = std::current_exception();
            return;
        }
        finished_.erase(next);
        free_slots_[at.queue].push_back(at.slot);
        num_delivered_ += chunk.count;
        sweep_range& front = undelivered_.front();
        front.first += chunk.count;
        front.count -= chunk.count;
        if (front.count == 0) undelivered_.pop_front();
    }
}

/// Nothing is under way and nothing could be begun: the places are taken by chunks that wait for one that was given
/// back. The last of them makes room for it.
void orchestrator::make_room() {
    for (auto last = finished_.rbegin(); last != finished_.rend(); ++last) {
        const auto [chunk, at] = last->second;
        if (!is_alive_[at.queue]) continue;
        finished_.erase(std::next(last).base());
        free_slots_[at.queue].push_back(at.slot);
        give_back(chunk);
        return;
    }
    // No queue that lives has a place left. Whatever took the memory then may have given it back: once more, with all
    // that is held given back, but not twice for the same chunk.
    if (num_delivered_ == delivered_before_retry_) {
        error_ = memory_error_;
        return;
    }
    delivered_before_retry_ = num_delivered_;
    for (const auto& [first, waiting] : finished_) {
        give_back(waiting.first);
        free_slots_[waiting.second.queue].push_back(waiting.second.slot);
    }
    finished_.clear();
    for (const place& at : closed_) free_slots_[at.queue].push_back(at.slot);
    closed_.clear();
    release_free_slots();
}

void orchestrator::release_free_slots() {
    for (std::size_t q = 0; q < queues_.size(); ++q)
        for (const std::size_t slot : free_slots_[q]) queues_[q].slots[slot]->release();
}

}  // namespace cubome::detail
