// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "cubome/settings.hpp"

namespace bench {

/// Memory of what runs the steps, until the end of the scope.
class memory {
public:
    virtual ~memory() = default;
    virtual float* take(std::size_t count, float value) = 0;  ///< aligned to 64 bytes
    virtual void copy(float* to, const float* from, std::size_t count) = 0;
    virtual void finish() = 0;  ///< waits for what was enqueued
    virtual cubome::execution execution() const = 0;
    virtual std::string name() const = 0;
};

}  // namespace bench
