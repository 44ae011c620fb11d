// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "host/staged/staged_run.hpp"
#include "host/staged/thread_team.hpp"

namespace cubome::detail {

/// The stages on this machine's cores.
template <class Real>
class cpu_stages final : public stage_runner<Real> {
public:
    cpu_stages(const staged_functions<Real>& functions, thread_team& team) : functions_(functions), team_(team) {}

    void run(stage which, const staged_arguments<Real>& a) override {
        const bool is_short = items_of(which) == stage_items::problems;
        const std::int64_t grain =
            is_short ? problems_per_piece : std::max<std::int64_t>(1, elements_per_piece / elements_per_item(a));
        team_.for_each(num_items(which, a), grain,
                       [&](std::int64_t first, std::int64_t last) { functions_.run(which, a, first, last); });
    }

    bool may_have(stage_flag flag, const staged_arguments<Real>& a, std::int64_t) const override {
        return std::any_of(a.flags, a.flags + a.num_problems, [&](std::uint8_t x) { return (x & flag) != 0; });
    }

private:
    /// What is worth waking a thread for.
    static constexpr std::int64_t elements_per_piece = 16 * std::int64_t{stage_chunk};
    static constexpr std::int64_t problems_per_piece = 64;

    static std::int64_t elements_per_item(const staged_arguments<Real>& a) {
        return std::min<std::int64_t>(stage_chunk, std::max(a.outer_dim, a.inner_dim));
    }

    const staged_functions<Real>& functions_;
    thread_team& team_;
};

/// A whole solve on this machine's cores.
/// @throws whatever the oracle throws, after what it leaves unfinished has been ended
template <class Real>
void solve_on_cpu(staged_run<Real>& run, const std::atomic<bool>* cancel, std::atomic<std::int64_t>* progress) {
    const auto is_cancelled = [&] { return cancel != nullptr && cancel->load(std::memory_order_relaxed); };
    if (is_cancelled()) return;
    run.begin();
    try {
        for (std::int64_t num_active = run.arguments().num_problems; num_active > 0;) {
            const bool is_last = is_cancelled();
            run.iterate(is_last);
            // Those that were under way are not done.
            if (is_last) break;
            const std::int64_t still = count_active(run.arguments().flags, run.arguments().num_problems);
            if (progress != nullptr) progress->fetch_add(num_active - still, std::memory_order_relaxed);
            num_active = still;
        }
        run.end();
    } catch (...) {
        run.abandon();
        throw;
    }
}

}  // namespace cubome::detail
