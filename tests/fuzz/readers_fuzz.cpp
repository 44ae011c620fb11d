// SPDX-License-Identifier: Apache-2.0

/// Fuzzes both readers with libFuzzer, and compares what must not differ.
///
///     clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Iinclude
///         host/readers.cpp tests/fuzz/readers_fuzz.cpp -lz -o readers_fuzz
///     ./readers_fuzz -max_total_time=300 corpus
///
/// The first byte of an input chooses: bit 0 CSV or IDX; bit 1 the rest is the file, or the deflate data of a gzip file
/// whose header and trailer are made to fit (no fuzzer guesses a checksum); bits 2 to 4 how the reads are cut.

#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../../host/readers_detail.hpp"

namespace {

using cubome::detail::memory_file;
using byte_vector = std::vector<std::uint8_t>;

#define REQUIRE(condition)                                                             \
    do {                                                                               \
        if (!(condition)) {                                                            \
            std::fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition); \
            std::abort();                                                              \
        }                                                                              \
    } while (false)

/// What came of reading: a result, or the error's text and place.
struct reading {
    bool accepted = false;
    std::string message;
    std::int64_t offset = 0;
    cubome::idx_array array;
    cubome::csv_table table;
};

reading read(bool as_csv, const byte_vector& file, std::size_t most_per_read, bool size_is_known) {
    const memory_file in_memory{file.data(), file.size(), most_per_read, size_is_known};
    reading result;
    try {
        if (as_csv) {
            result.table = cubome::detail::read_csv(in_memory, "x");
        } else {
            result.array = cubome::detail::read_idx(in_memory, "x");
        }
        result.accepted = true;
    } catch (const cubome::read_error& error) {
        result.message = error.what();
        result.offset = error.offset();
        REQUIRE(error.path() == "x");
        REQUIRE(!error.reason().empty());
        REQUIRE(
            std::all_of(result.message.begin(), result.message.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
    }
    return result;
}

bool same_contents(const reading& a, const reading& b) {
    const auto& x = a.table.values;
    const auto& y = b.table.values;
    return a.accepted == b.accepted && a.array.extents == b.array.extents && a.array.values == b.array.values &&
           a.table.names == b.table.names && a.table.num_rows == b.table.num_rows &&
           a.table.num_columns == b.table.num_columns && x.size() == y.size() &&
           (x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof(double)) == 0);
}

void check_invariants(const reading& result, bool as_csv, std::size_t plain_size) {
    if (!result.accepted) {
        REQUIRE(result.offset >= 0);
        REQUIRE(static_cast<std::uint64_t>(result.offset) <= plain_size);
    } else if (as_csv) {
        const cubome::csv_table& table = result.table;
        REQUIRE(table.num_columns >= 1 && table.num_rows >= 0);
        REQUIRE(table.names.size() == static_cast<std::size_t>(table.num_columns));
        REQUIRE(table.values.size() == static_cast<std::size_t>(table.num_rows * table.num_columns));
        REQUIRE(std::all_of(table.values.begin(), table.values.end(), [](double v) { return std::isfinite(v); }));
    } else {
        const cubome::idx_array& array = result.array;
        REQUIRE(!array.extents.empty() && array.extents.size() <= 4);
        double num_values = 1;  // exact for the sizes that an input has
        for (const std::int64_t extent : array.extents) num_values *= static_cast<double>(extent);
        REQUIRE(num_values == static_cast<double>(array.values.size()));
        REQUIRE(4 + 4 * array.extents.size() + array.values.size() == plain_size);
    }
}

/// The shortest text that reads back as the same table.
byte_vector written(const cubome::csv_table& table) {
    std::string text;
    for (std::size_t j = 0; j < table.names.size(); ++j) text += (j > 0 ? "," : "") + table.names[j];
    for (std::size_t i = 0; i < table.values.size(); ++i) {
        text += i % table.names.size() == 0 ? '\n' : ',';
        std::array<char, 32> digits{};
        text.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), table.values[i]).ptr);
    }
    return {text.begin(), text.end()};
}

void append_word(byte_vector& bytes, std::uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<std::uint8_t>(value >> shift & 0xffU));
}

const byte_vector gzip_header = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};

/// A gzip file of stored blocks.
byte_vector stored(const byte_vector& plain) {
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
    append_word(result, static_cast<std::uint32_t>(crc32(0, plain.data(), static_cast<uInt>(plain.size()))));
    append_word(result, static_cast<std::uint32_t>(plain.size()));
    return result;
}

/// What deflate data hold, up to `most` bytes; `used` of them are deflate data, if `ended`.
byte_vector inflated(const byte_vector& deflated, std::size_t most, std::size_t& used, bool& ended) {
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

void check(bool as_csv, const byte_vector& file, const byte_vector& plain, std::size_t most_per_read) {
    const reading known = read(as_csv, file, SIZE_MAX, true);
    const reading unknown = read(as_csv, file, SIZE_MAX, false);
    check_invariants(known, as_csv, plain.size());
    check_invariants(unknown, as_csv, plain.size());
    REQUIRE(same_contents(known, unknown));  // the messages may differ: a known size refuses some headers earlier

    for (const bool size_is_known : {true, false}) {
        const reading cut = read(as_csv, file, most_per_read, size_is_known);
        REQUIRE(same_contents(cut, known));
        REQUIRE(cut.message == (size_is_known ? known : unknown).message);
    }
    if (as_csv && known.accepted) {
        const byte_vector again = written(known.table);
        REQUIRE(same_contents(read(true, again, SIZE_MAX, true), known));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const bool as_csv = (data[0] & 1U) != 0;
    const bool as_deflate = (data[0] & 2U) != 0;
    const std::size_t most_per_read = 1 + (data[0] >> 2 & 7U);
    const byte_vector rest(data + 1, data + size);

    byte_vector plain = rest;
    if (as_deflate) {
        constexpr std::size_t most = std::size_t{1} << 17;  // more than the readers' buffers hold
        std::size_t used = 0;
        bool ended = false;
        plain = inflated(rest, most, used, ended);
        if (!ended) return 0;
        byte_vector file = gzip_header;
        file.insert(file.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(used));
        append_word(file, static_cast<std::uint32_t>(crc32(0, plain.data(), static_cast<uInt>(plain.size()))));
        append_word(file, static_cast<std::uint32_t>(plain.size()));
        check(as_csv, file, plain, most_per_read);
    }

    if (plain.size() >= 2 && plain[0] == 0x1f && plain[1] == 0x8b) {
        // Gzip, most likely broken: what it holds is not known here, so only that it is read or refused counts.
        (void)read(as_csv, plain, most_per_read, true);
        (void)read(as_csv, plain, most_per_read, false);
        return 0;
    }
    check(as_csv, plain, plain, most_per_read);
    const reading direct = read(as_csv, plain, SIZE_MAX, false);
    const reading wrapped = read(as_csv, stored(plain), most_per_read, false);
    REQUIRE(same_contents(direct, wrapped));
    REQUIRE(direct.message == wrapped.message);
    return 0;
}
