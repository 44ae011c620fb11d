// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Fuzzes a reader with libFuzzer, and compares what must not differ: however the input is cut, whether its size is
/// known or not, plain and gzip. What is accepted is written again and read again.
///
/// The first byte of an input chooses: bit 0 the rest is the file, or the deflate data of a gzip file whose header and
/// trailer are made to fit (no fuzzer guesses a checksum); bits 1 to 3 how the reads are cut.
///
/// A format is a struct with
///
///     result_type                                          what the reader returns
///     read(const memory_file&, const std::string& name)    the reader
///     same(const result_type&, const result_type&)         bit for bit
///     check(const result_type&, const byte_vector& plain)  what must hold of the result of reading a plain file
///     written(const result_type&)                          a file that holds it

#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "host/readers_detail.hpp"

namespace readers_fuzz {

using cubome::detail::memory_file;
using byte_vector = std::vector<std::uint8_t>;

#define REQUIRE(condition)                                                             \
    do {                                                                               \
        if (!(condition)) {                                                            \
            std::fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition); \
            std::abort();                                                              \
        }                                                                              \
    } while (false)

inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

inline bool all_finite(const std::vector<double>& values) {
    return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

/// The shortest text that reads back as the same number.
inline std::string shortest(double value) {
    std::array<char, 32> digits{};
    return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr};
}

inline byte_vector bytes_of(const std::string& text) {
    return {text.begin(), text.end()};
}

/// What came of reading: a result, or the error's text and place.
template <class Format>
struct reading {
    std::optional<typename Format::result_type> result;
    std::string message;
    std::int64_t offset = 0;
};

template <class Format>
reading<Format> read(const byte_vector& file, std::size_t most_per_read, bool size_is_known) {
    reading<Format> came;
    try {
        came.result = Format::read(memory_file{file.data(), file.size(), most_per_read, size_is_known}, "x");
    } catch (const cubome::read_error& error) {
        came.message = error.what();
        came.offset = error.offset();
        REQUIRE(error.path() == "x");
        REQUIRE(!error.reason().empty());
        REQUIRE(std::all_of(came.message.begin(), came.message.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
    }
    return came;
}

template <class Format>
bool same_contents(const reading<Format>& a, const reading<Format>& b) {
    if (!a.result || !b.result) return !a.result && !b.result;
    return Format::same(*a.result, *b.result);
}

template <class Format>
void check_invariants(const reading<Format>& came, const byte_vector& plain) {
    if (came.result) {
        Format::check(*came.result, plain);
    } else {
        REQUIRE(came.offset >= 0);
        REQUIRE(static_cast<std::uint64_t>(came.offset) <= plain.size());
    }
}

inline void append_word(byte_vector& bytes, std::uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<std::uint8_t>(value >> shift & 0xffU));
}

inline void append_trailer(byte_vector& file, const byte_vector& plain) {
    append_word(file, static_cast<std::uint32_t>(crc32(0, plain.data(), static_cast<uInt>(plain.size()))));
    append_word(file, static_cast<std::uint32_t>(plain.size()));
}

inline const byte_vector gzip_header = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};

/// A gzip file of stored blocks.
inline byte_vector stored(const byte_vector& plain) {
    byte_vector result = gzip_header;
    std::size_t begin = 0;
    do {
        const std::size_t size = std::min<std::size_t>(plain.size() - begin, 0xffff);
        result.push_back(begin + size == plain.size() ? 1 : 0);
        append_word(result, static_cast<std::uint32_t>(size | (~size & 0xffffU) << 16));
        result.insert(result.end(), plain.begin() + static_cast<std::ptrdiff_t>(begin),
                      plain.begin() + static_cast<std::ptrdiff_t>(begin + size));
        begin += size;
    } while (begin < plain.size());
    append_trailer(result, plain);
    return result;
}

/// What deflate data hold, up to `most` bytes; `used` of them are deflate data, if `ended`.
inline byte_vector inflated(const byte_vector& deflated, std::size_t most, std::size_t& used, bool& ended) {
    byte_vector result(most);
    byte_vector input = deflated;
    z_stream stream{};
    REQUIRE(inflateInit2(&stream, -15) == Z_OK);
    stream.next_in = input.data();
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = result.data();
    stream.avail_out = static_cast<uInt>(result.size());
    ended = inflate(&stream, Z_FINISH) == Z_STREAM_END;
    result.resize(stream.total_out);
    used = stream.total_in;
    inflateEnd(&stream);
    return result;
}

template <class Format>
void check_file(const byte_vector& file, const byte_vector& plain, std::size_t most_per_read) {
    const auto known = read<Format>(file, SIZE_MAX, true);
    const auto unknown = read<Format>(file, SIZE_MAX, false);
    check_invariants(known, plain);
    check_invariants(unknown, plain);
    REQUIRE(same_contents(known, unknown));  // the messages may differ: a known size refuses some headers earlier

    for (const bool size_is_known : {true, false}) {
        const auto cut = read<Format>(file, most_per_read, size_is_known);
        REQUIRE(same_contents(cut, known));
        REQUIRE(cut.message == (size_is_known ? known : unknown).message);
    }
    if (known.result) REQUIRE(same_contents(read<Format>(Format::written(*known.result), SIZE_MAX, true), known));
}

/// One input of the fuzzer.
template <class Format>
int fuzz(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const bool as_deflate = (data[0] & 1U) != 0;
    const std::size_t most_per_read = 1 + (data[0] >> 1 & 7U);
    const byte_vector rest(data + 1, data + size);

    byte_vector plain = rest;
    if (as_deflate) {
        constexpr std::size_t most = 40000;  // more than two of the readers' buffers hold
        std::size_t used = 0;
        bool ended = false;
        plain = inflated(rest, most, used, ended);
        if (!ended) return 0;
        byte_vector file = gzip_header;
        file.insert(file.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(used));
        append_trailer(file, plain);
        check_file<Format>(file, plain, most_per_read);
    }

    if (plain.size() >= 2 && plain[0] == 0x1f && plain[1] == 0x8b) {
        // Gzip, most likely broken: what it holds is not known here, so only that it is read or refused counts.
        (void)read<Format>(plain, most_per_read, true);
        (void)read<Format>(plain, most_per_read, false);
        return 0;
    }
    check_file<Format>(plain, plain, most_per_read);
    const auto direct = read<Format>(plain, SIZE_MAX, false);
    const auto wrapped = read<Format>(stored(plain), most_per_read, false);
    REQUIRE(same_contents(direct, wrapped));
    REQUIRE(direct.message == wrapped.message);
    return 0;
}

}  // namespace readers_fuzz
