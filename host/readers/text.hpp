// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/readers/byte_stream.hpp"

/// What the readers of text files share.
namespace cubome::detail::readers {

/// 5 times the digits of the longest double, written out: no cell or token of a text file is longer.
constexpr std::size_t longest_text = 4096;

/// Takes a stream byte by byte, and knows where it is.
class text_scanner {
public:
    explicit text_scanner(byte_stream& stream) : stream_(stream) {}

    /// Whether all bytes are taken.
    bool at_end() {
        if (next_ < filled_) return false;
        start_ = stream_.offset();
        filled_ = stream_.read(buffer_.data(), buffer_.size());
        next_ = 0;
        return filled_ == 0;
    }

    /// The byte that take() takes; not at_end().
    char peek() const { return static_cast<char>(buffer_[next_]); }
    char take() { return static_cast<char>(buffer_[next_++]); }

    /// Whether a byte, the last that was taken, ends a line. If it is a carriage return, takes the line feed, too.
    bool ends_line(char last) {
        if (last == '\n') return true;
        if (last != '\r') return false;
        const std::int64_t place = position() - 1;
        if (at_end() || take() != '\n') fail(place, "a carriage return without a line feed");
        return true;
    }

    /// How many bytes are taken.
    std::int64_t position() const noexcept { return start_ + static_cast<std::int64_t>(next_); }

    /// To be called before the first line, and before each other.
    void next_line() noexcept { ++line_; }

    [[noreturn]] void fail(std::int64_t offset, const std::string& reason) const {
        stream_.fail(offset, "line " + std::to_string(line_) + ": " + reason);
    }

private:
    byte_stream& stream_;
    std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(std::size_t{1} << 14);
    std::size_t next_ = 0;
    std::size_t filled_ = 0;
    std::int64_t start_ = 0;  // of the buffer, in the stream
    std::int64_t line_ = 0;
};

enum class number_fault { none, empty, not_a_number, out_of_range, not_finite };

/// Reads a number as `read_csv` documents it.
number_fault parse_number(std::string_view text, double& value);

/// `'1x' is not a number`; for a fault that is not `empty`.
std::string describe(number_fault fault, std::string_view text);

}  // namespace cubome::detail::readers
