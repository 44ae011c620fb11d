// SPDX-License-Identifier: Apache-2.0
#include "cubome/settings.hpp"

namespace cubome {

const char* to_string(backend value) noexcept {
    switch (value) {
        case backend::automatic:
            return "automatic";
        case backend::cpu:
            return "cpu";
        case backend::cuda:
            return "cuda";
    }
    return "unknown";
}

const char* to_string(instruction_set value) noexcept {
    switch (value) {
        case instruction_set::automatic:
            return "automatic";
        case instruction_set::baseline:
            return "baseline";
        case instruction_set::avx2:
            return "avx2";
        case instruction_set::avx512:
            return "avx512";
    }
    return "unknown";
}

const char* to_string(outcome value) noexcept {
    switch (value) {
        case outcome::not_run:
            return "not_run";
        case outcome::converged:
            return "converged";
        case outcome::step_limit:
            return "step_limit";
        case outcome::non_finite:
            return "non_finite";
        case outcome::descent_diverged:
            return "descent_diverged";
        case outcome::cancelled:
            return "cancelled";
        case outcome::no_curvature:
            return "no_curvature";
    }
    return "unknown";
}

const char* to_string(quantity value) noexcept {
    switch (value) {
        case quantity::none:
            return "none";
        case quantity::start:
            return "start";
        case quantity::descent:
            return "descent";
        case quantity::outer_value:
            return "outer_value";
        case quantity::gap:
            return "gap";
        case quantity::sums:
            return "sums";
        case quantity::update:
            return "update";
    }
    return "unknown";
}

}  // namespace cubome
