// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>

namespace fashion {

/// A stream of random numbers that its key alone determines: the same on every platform and for every number of
/// threads.
///
/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a counter behind a mixing function. <random> has engines with fixed
/// output, but its distributions differ between standard libraries.
class random_stream {
public:
    explicit random_stream(std::uint64_t key) noexcept : counter_(key) {}

    std::uint64_t next() noexcept {
        counter_ += golden_gamma;
        return mix(counter_);
    }

    /// Uniform in [0, bound). The bias is below bound / 2⁶⁴.
    std::uint64_t below(std::uint64_t bound) noexcept {
        __extension__ using wide = unsigned __int128;
        return static_cast<std::uint64_t>((static_cast<wide>(next()) * bound) >> 64);
    }

    /// One key made of several words.
    static std::uint64_t key_of(std::initializer_list<std::uint64_t> words) noexcept {
        std::uint64_t key = 0;
        for (const std::uint64_t word : words) key = mix((key ^ word) + golden_gamma);
        return key;
    }

private:
    static constexpr std::uint64_t golden_gamma = 0x9e3779b97f4a7c15u;

    static std::uint64_t mix(std::uint64_t z) noexcept {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    std::uint64_t counter_;
};

}  // namespace fashion
