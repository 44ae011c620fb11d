// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Random123/philox.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "cubome/core/mathematics.hpp"

namespace cubome::command {

/// A number as a word, for keys.
inline std::uint64_t bits_of(double x) {
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

/// Words mixed into one, for keys: FNV-1a, then the finishing steps of MurmurHash3, by bytes.
class key_mixer {
public:
    key_mixer& add(std::uint64_t word) {
        for (int shift = 0; shift < 64; shift += 8) add_byte(static_cast<unsigned char>(word >> shift));
        return *this;
    }
    key_mixer& add(std::string_view text) {
        for (const char c : text) add_byte(static_cast<unsigned char>(c));
        return add(text.size());
    }
    std::uint64_t key() const {
        std::uint64_t k = state_;
        k = (k ^ (k >> 33)) * 0xff51afd7ed558ccdu;
        k = (k ^ (k >> 33)) * 0xc4ceb9fe1a85ec53u;
        return k ^ (k >> 33);
    }

private:
    void add_byte(unsigned char byte) { state_ = (state_ ^ byte) * 1099511628211u; }

    std::uint64_t state_ = 14695981039346656037u;
};

/// Random numbers that its key and the item's number determine, and nothing else: Philox4x32-10 (Salmon, Moraes, Dror,
/// Shaw, SC 2011), which counts instead of going from state to state. The mathematics behind them is cuBOME's own, so
/// that they are the same whatever the C library takes a processor for.
class draw_stream {
public:
    draw_stream(std::uint64_t key, std::uint64_t item) : key_{{low(key), high(key)}}, item_(item) {}

    std::uint64_t next() {
        if (left_ == 0) {
            const r123::Philox4x32::ctr_type counter = {{low(block_), high(block_), low(item_), high(item_)}};
            const auto words = r123::Philox4x32()(counter, key_);
            words_[0] = words[0] | std::uint64_t{words[1]} << 32;
            words_[1] = words[2] | std::uint64_t{words[3]} << 32;
            ++block_;
            left_ = 2;
        }
        return words_[--left_];
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
    double uniform(double from, double to) { return from + (to - from) * uniform(); }
    double log_uniform(double from, double to) { return cubome::exp(uniform(cubome::log(from), cubome::log(to))); }

    /// Normal with mean 0 and deviation 1 (Box and Muller, 1958).
    double normal() {
        const double radius = cubome::sqrt(-2 * cubome::log(1 - uniform()));
        return radius * cubome::cos(2 * 3.14159265358979323846 * uniform());
    }

    /// Uniform in [0, bound). The bias is below bound / 2⁶⁴.
    std::uint64_t below(std::uint64_t bound) {
        __extension__ using wide = unsigned __int128;
        return static_cast<std::uint64_t>((static_cast<wide>(next()) * bound) >> 64);
    }

private:
    static std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
    static std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

    r123::Philox4x32::key_type key_;
    std::uint64_t item_;
    std::uint64_t block_ = 0;
    std::uint64_t words_[2] = {};
    int left_ = 0;
};

/// `count` different numbers from [0, bound), count ≤ bound, in random order.
inline std::vector<std::uint32_t> draw_distinct(std::uint32_t bound, std::uint32_t count, draw_stream& random) {
    std::vector<std::uint32_t> numbers(bound);
    for (std::uint32_t i = 0; i < bound; ++i) numbers[i] = i;
    for (std::uint32_t i = 0; i < count; ++i)
        std::swap(numbers[i], numbers[i + static_cast<std::uint32_t>(random.below(bound - i))]);
    numbers.resize(count);
    return numbers;
}

}  // namespace cubome::command
