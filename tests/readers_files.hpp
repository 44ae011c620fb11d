// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "../host/readers_detail.hpp"

/// Files for the readers' tests, and what came of reading them.
namespace readers_files {

using cubome::read_error;
using cubome::detail::memory_file;

constexpr auto at_once = std::numeric_limits<std::size_t>::max();

inline std::string bytes(std::initializer_list<int> values) {
    std::string result;
    for (const int value : values) result += static_cast<char>(value);
    return result;
}

inline std::string counting(std::size_t size) {
    std::string result;
    for (std::size_t i = 0; i < size; ++i) result += static_cast<char>(i * 131 + (i >> 8) * 7);
    return result;
}

inline std::string gzip(const std::string& plain) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string result(deflateBound(&stream, static_cast<uLong>(plain.size())), '\0');
    std::string input = plain;
    stream.next_in = reinterpret_cast<Bytef*>(input.data());
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = reinterpret_cast<Bytef*>(result.data());
    stream.avail_out = static_cast<uInt>(result.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    result.resize(stream.total_out);
    deflateEnd(&stream);
    return result;
}

/// A file in the test's folder for as long as this lives.
class temporary_file {
public:
    explicit temporary_file(const std::string& contents)
        : path(::testing::TempDir() + "cubome_readers_" + std::to_string(::getpid()) + "_" + std::to_string(count_++)) {
        std::ofstream(path, std::ios::binary) << contents;
    }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;
    ~temporary_file() {
        std::error_code ignored;
        std::filesystem::remove(path, ignored);
    }

    const std::string path;

private:
    static inline int count_ = 0;
};

inline memory_file in_memory(const std::string& contents, std::size_t most_per_read = at_once,
                             bool size_is_known = true) {
    return {reinterpret_cast<const std::uint8_t*>(contents.data()), contents.size(), most_per_read, size_is_known};
}

// ---- what came of it

/// A result or the error instead of it. Whatever else is thrown ends the test.
template <class Result>
struct attempt {
    std::optional<Result> result;
    std::optional<read_error> error;
};

template <class Read>
auto attempt_to(Read read) -> attempt<decltype(read())> {
    try {
        return {read(), std::nullopt};
    } catch (const read_error& error) {
        return {std::nullopt, error};
    }
}

template <class Read>
read_error error_of(Read read) {
    const auto tried = attempt_to(read);
    return tried.error.value_or(read_error("nothing", "was thrown", -1, "no error"));
}

inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

}  // namespace readers_files
