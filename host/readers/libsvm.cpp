// SPDX-License-Identifier: Apache-2.0
#include "cubome/readers.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include "host/readers/byte_stream.hpp"
#include "host/readers/text.hpp"
#include "host/readers_detail.hpp"

namespace cubome {
namespace {

using namespace detail::readers;

/// Cuts the stream into lines, and lines into what stands between blanks.
class token_reader {
public:
    explicit token_reader(byte_stream& stream) : scanner_(stream) {}

    /// Steps to the next line; false where there is none.
    bool next_line() {
        scanner_.next_line();
        begin_ = scanner_.position();
        commented_ = false;
        return !scanner_.at_end();
    }

    /// Reads the line's next token. Where there is none, takes the comment and the line end, and returns false.
    bool next() {
        while (!scanner_.at_end() && is_blank(scanner_.peek())) scanner_.take();
        text_.clear();
        if (scanner_.at_end()) return false;
        if (scanner_.peek() == '#') commented_ = true;
        if (commented_ || is_line_end(scanner_.peek())) {
            while (!scanner_.at_end() && !scanner_.ends_line(scanner_.take())) continue;
            return false;
        }
        begin_ = scanner_.position();
        while (!scanner_.at_end() && !closes(scanner_.peek())) {
            if (text_.size() == longest_text)
                fail("more than " + std::to_string(longest_text) + " bytes without a blank");
            text_ += scanner_.take();
        }
        return true;
    }

    const std::string& text() const noexcept { return text_; }
    bool commented() const noexcept { return commented_; }  ///< whether the line that has ended had a comment

    /// Where the token, or the line that has none, begins.
    [[noreturn]] void fail(const std::string& reason) const { scanner_.fail(begin_, reason); }
    [[noreturn]] void fail_after(std::size_t size, const std::string& reason) const {
        scanner_.fail(begin_ + static_cast<std::int64_t>(size), reason);
    }

private:
    static bool is_blank(char c) { return c == ' ' || c == '\t'; }
    static bool is_line_end(char c) { return c == '\n' || c == '\r'; }
    static bool closes(char c) { return is_blank(c) || is_line_end(c) || c == '#'; }

    text_scanner scanner_;
    std::string text_;
    std::int64_t begin_ = 0;
    bool commented_ = false;
};

double parse_label(const token_reader& tokens) {
    std::string_view text = tokens.text();
    // "+1" is how the files of two classes write the one of them.
    const bool has_sign = text.size() > 1 && text[0] == '+' && (text[1] == '.' || (text[1] >= '0' && text[1] <= '9'));
    if (has_sign) text.remove_prefix(1);
    double label = 0;
    const number_fault fault = parse_number(text, label);
    if (fault != number_fault::none) tokens.fail("the label " + describe(fault, tokens.text()));
    return label;
}

struct entry {
    std::int64_t index;
    double value;
};

entry parse_entry(const token_reader& tokens) {
    constexpr std::int64_t largest_index = (std::int64_t{1} << 31) - 1024;
    const std::string_view text = tokens.text();
    const std::size_t colon = text.find(':');
    if (colon == text.npos) tokens.fail(excerpt(text) + " is not index:value");

    const std::string_view index_text = text.substr(0, colon);
    const char* const end = index_text.data() + index_text.size();
    entry result{};
    const auto [stop, code] = std::from_chars(index_text.data(), end, result.index);
    if (code == std::errc::invalid_argument || stop != end) {
        tokens.fail(excerpt(text) + " is not index:value");
    }
    if (code != std::errc() || result.index < 1 || result.index > largest_index) {
        tokens.fail("the index " + excerpt(index_text) + " is not in 1 to " + std::to_string(largest_index));
    }

    const std::string_view value_text = text.substr(colon + 1);
    const number_fault fault = parse_number(value_text, result.value);
    if (fault != number_fault::none) {
        tokens.fail_after(colon + 1, "index " + std::to_string(result.index) + ": " +
                                         (fault == number_fault::empty ? "no value" : describe(fault, value_text)));
    }
    return result;
}

sparse_table read_libsvm_stream(byte_stream& stream) {
    token_reader tokens(stream);
    sparse_table result;
    while (tokens.next_line()) {
        if (!tokens.next()) {
            if (tokens.commented()) continue;
            tokens.fail("the line is blank");
        }
        result.labels.push_back(parse_label(tokens));
        for (std::int64_t last = 0; tokens.next();) {
            const auto [index, value] = parse_entry(tokens);
            if (index <= last) {
                tokens.fail("index " + std::to_string(index) + " follows index " + std::to_string(last) +
                            "; they must increase");
            }
            last = index;
            result.columns.push_back(index - 1);
            result.values.push_back(value);
            result.num_columns = std::max(result.num_columns, index);
        }
        result.row_starts.push_back(static_cast<std::int64_t>(result.values.size()));
        ++result.num_rows;
    }
    if (result.num_rows == 0) stream.fail("the file has no line with a label");
    return result;
}

}  // namespace

sparse_table read_libsvm(const std::string& path) {
    return read_file("read_libsvm", path, read_libsvm_stream);
}

sparse_table detail::read_libsvm(const memory_file& file, const std::string& name) {
    return read_memory("read_libsvm", file, name, read_libsvm_stream);
}

}  // namespace cubome
