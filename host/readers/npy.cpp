// SPDX-License-Identifier: Apache-2.0
#include "cubome/readers.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "host/readers/byte_stream.hpp"
#include "host/readers_detail.hpp"

namespace cubome {
namespace {

using namespace detail::readers;

// ---- the header

constexpr std::size_t most_extents = 4;

struct value_type {
    char kind = 'f';  // f, i, u, or b for bool
    int size = 8;     // in bytes
    bool big_endian = false;
};

struct npy_header {
    value_type type;
    bool fortran_order = false;
    std::vector<std::int64_t> extents;
    std::vector<std::int64_t> places;  // of the extents, in the stream
};

/// Reads the literal of a Python dictionary that is a header, and no other.
class header_parser {
public:
    /// @param begin of the text, in the stream
    header_parser(const byte_stream& stream, std::string_view text, std::int64_t begin)
        : stream_(stream), text_(text), begin_(begin) {}

    npy_header parse() {
        npy_header header;
        take('{');
        while (!next_is('}')) {
            parse_item(header);
            if (next_is('}')) break;
            take(',', "',' or '}'");
        }
        if (!has_type_) fail("the header has no 'descr'");
        if (!has_order_) fail("the header has no 'fortran_order'");
        if (!has_shape_) fail("the header has no 'shape'");
        take('}');
        skip_spaces();
        if (text_.substr(at_) != "\n") fail_expected("spaces and a line feed at its end");
        return header;
    }

private:
    void parse_item(npy_header& header) {
        skip_spaces();
        const std::size_t place = at_;
        const std::string_view key = parse_string();
        bool* const known = key == "descr"           ? &has_type_
                            : key == "fortran_order" ? &has_order_
                            : key == "shape"         ? &has_shape_
                                                     : nullptr;
        if (known == nullptr) {
            fail_at(place, "the header's key " + excerpt(key) + " is not descr, fortran_order or shape");
        }
        if (*known) fail_at(place, "the header's key " + excerpt(key) + " occurs twice");
        *known = true;
        take(':');
        if (known == &has_type_) {
            header.type = parse_type();
        } else if (known == &has_order_) {
            header.fortran_order = parse_bool();
        } else {
            parse_shape(header);
        }
    }

    value_type parse_type() {
        skip_spaces();
        const std::size_t place = at_;
        const std::string_view text = parse_string();
        constexpr std::array<std::string_view, 11> names = {"i1", "u1", "b1", "f4", "f8", "i2",
                                                            "i4", "i8", "u2", "u4", "u8"};
        const std::string_view order = text.substr(0, 1);
        const std::string_view name = text.substr(order.size());
        const bool is_name = std::find(names.begin(), names.end(), name) != names.end();
        if (!is_name || !(order == "<" || order == ">" || (order == "|" && name[1] == '1'))) {
            fail_at(place, "the type is " + excerpt(text) +
                               ", expected f4, f8, i1, i2, i4, i8, u1, u2, u4, u8 or b1 behind its byte order, < or >, "
                               "or | where it is one byte");
        }
        return {name[0], name[1] - '0', order == ">"};
    }

    bool parse_bool() {
        skip_spaces();
        for (const bool value : {false, true}) {
            const std::string_view word = value ? "True" : "False";
            if (text_.substr(at_).starts_with(word)) {
                at_ += word.size();
                return value;
            }
        }
        fail_expected("True or False");
    }

    void parse_shape(npy_header& header) {
        take('(');
        for (bool closed = next_is(')'); !closed;) {
            skip_spaces();
            const auto place = begin_ + static_cast<std::int64_t>(at_);
            if (header.extents.size() == most_extents) {
                fail("the shape has more than " + std::to_string(most_extents) + " extents");
            }
            header.extents.push_back(parse_extent());
            header.places.push_back(place);
            // In Python `(3)` is a number, `(3,)` a tuple.
            const bool needs_comma = header.extents.size() == 1;
            if (needs_comma || !next_is(')')) take(',', needs_comma ? "','" : "',' or ')'");
            closed = next_is(')');
        }
        take(')');
    }

    std::int64_t parse_extent() {
        const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
        const char* const begin = text_.data() + at_;
        const char* const end = std::find_if_not(begin, text_.data() + text_.size(), is_digit);
        if (begin == end) fail_expected("an extent");
        if (*begin == '0' && end - begin > 1) fail("an extent begins with 0");
        std::int64_t extent = 0;
        if (std::from_chars(begin, end, extent).ec != std::errc()) fail("an extent is more than 2^63 - 1");
        at_ += static_cast<std::size_t>(end - begin);
        return extent;
    }

    std::string_view parse_string() {
        const char quote = next_is('"') ? '"' : '\'';
        take(quote, "a string");
        const std::size_t begin = at_;
        at_ = std::min(text_.find(quote, begin), text_.size());
        const std::string_view text = text_.substr(begin, at_ - begin);
        take(quote, "the end of a string");
        return text;
    }

    void skip_spaces() { at_ = std::min(text_.find_first_not_of(' ', at_), text_.size()); }

    bool next_is(char c) {
        skip_spaces();
        return at_ < text_.size() && text_[at_] == c;
    }

    void take(char c) { take(c, std::string("'") + c + "'"); }
    void take(char c, const std::string& expected) {
        if (!next_is(c)) fail_expected(expected);
        ++at_;
    }

    [[noreturn]] void fail(const std::string& reason) const { fail_at(at_, reason); }
    [[noreturn]] void fail_at(std::size_t place, const std::string& reason) const {
        stream_.fail(begin_ + static_cast<std::int64_t>(place), reason);
    }
    [[noreturn]] void fail_expected(const std::string& expected) const {
        fail("the header has " + (at_ < text_.size() ? excerpt(text_.substr(at_, 1)) : "its end") +
             " in the place of " + expected);
    }

    const byte_stream& stream_;
    std::string_view text_;
    std::int64_t begin_;
    std::size_t at_ = 0;
    bool has_type_ = false;
    bool has_order_ = false;
    bool has_shape_ = false;
};

std::uint64_t little_endian(const std::uint8_t* bytes, int size) {
    std::uint64_t value = 0;
    for (int i = size; i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

std::uint64_t big_endian(const std::uint8_t* bytes, int size) {
    std::uint64_t value = 0;
    for (int i = 0; i < size; ++i) value = value << 8 | bytes[i];
    return value;
}

npy_header read_npy_header(byte_stream& stream) {
    constexpr std::array<std::uint8_t, 6> magic = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    constexpr std::uint64_t longest_header = 0xffff;

    std::array<std::uint8_t, 8> start{};
    if (stream.read(start.data(), start.size()) < start.size()) {
        stream.fail("the file ends within the 8 bytes of the magic number and the version");
    }
    for (std::size_t i = 0; i < magic.size(); ++i) {
        if (start[i] != magic[i]) {
            stream.fail(static_cast<std::int64_t>(i), "byte " + std::to_string(i) + " of the magic number is " +
                                                          hexadecimal(start[i], 2) + ", expected " +
                                                          hexadecimal(magic[i], 2));
        }
    }
    const int version = start[6];
    const bool is_known = version >= 1 && version <= 3;
    if (!is_known || start[7] != 0) {
        stream.fail(is_known ? 7 : 6, "the version is " + std::to_string(version) + "." + std::to_string(start[7]) +
                                          ", expected 1.0, 2.0 or 3.0");
    }

    std::array<std::uint8_t, 4> length_bytes{};
    const std::size_t num_length_bytes = version == 1 ? 2 : 4;
    if (stream.read(length_bytes.data(), num_length_bytes) < num_length_bytes) {
        stream.fail("the file ends within the length of the header");
    }
    const std::uint64_t length = little_endian(length_bytes.data(), static_cast<int>(num_length_bytes));
    if (length > longest_header) {
        stream.fail(8, "the header has " + std::to_string(length) + " bytes, expected at most " +
                           std::to_string(longest_header));
    }
    const std::optional<std::int64_t> room = stream.room();
    if (room && length > static_cast<std::uint64_t>(*room)) {
        stream.fail(8, "the header has " + std::to_string(length) + " bytes, more than the file can hold");
    }
    const std::int64_t begin = stream.offset();
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(length));
    if (stream.read(bytes.data(), bytes.size()) < bytes.size()) {
        stream.fail("the file ends within the header of " + std::to_string(length) + " bytes");
    }
    const std::string text(bytes.begin(), bytes.end());
    return header_parser(stream, text, begin).parse();
}

/// How many values the header claims: judged but not yet believed.
std::int64_t count_values(const byte_stream& stream, const npy_header& header) {
    const std::vector<std::int64_t>& extents = header.extents;
    // One of them may be 0, and then the others claim nothing.
    if (std::find(extents.begin(), extents.end(), 0) != extents.end()) return 0;
    const std::optional<std::int64_t> room = stream.room();
    const std::int64_t most = room ? *room / header.type.size : int64_max / static_cast<std::int64_t>(sizeof(double));
    std::int64_t num_values = 1;
    for (std::size_t d = 0; d < extents.size(); ++d) {
        // Division, so that the product is formed only where it fits.
        if (extents[d] > most / num_values) {
            stream.fail(header.places[d], "extent " + std::to_string(d) + " is " + std::to_string(extents[d]) +
                                              ", more than " + (room ? "the file can hold" : "64 bits can count") +
                                              ": shape " + bracketed(extents) +
                                              (room ? ", room for at most " + std::to_string(most) + " values" : ""));
        }
        num_values *= extents[d];
    }
    return num_values;
}

// ---- the values

constexpr std::uint64_t largest_exact = std::uint64_t{1} << 53;  // up to it, a double holds every integer

std::int64_t signed_value(const value_type& type, std::uint64_t bits) {
    const int unused = 64 - 8 * type.size;
    return static_cast<std::int64_t>(bits << unused) >> unused;
}

/// False where the value is not one that is read.
bool decode(const value_type& type, std::uint64_t bits, double& value) {
    switch (type.kind) {
        case 'f':
            value = type.size == 8 ? std::bit_cast<double>(bits)
                                   : static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
            return std::isfinite(value);
        case 'i': {
            const std::int64_t number = signed_value(type, bits);
            value = static_cast<double>(number);
            constexpr auto largest = static_cast<std::int64_t>(largest_exact);
            return number >= -largest && number <= largest;
        }
        case 'u':
            value = static_cast<double>(bits);
            return bits <= largest_exact;
        default:
            value = static_cast<double>(bits);
            return bits <= 1;
    }
}

/// What is wrong with a value that is not read.
std::string describe_value(const value_type& type, std::uint64_t bits) {
    const std::string beyond = ", beyond the 2^53 up to which a double holds every integer";
    switch (type.kind) {
        case 'f':
            return "is not finite";
        case 'i':
            return "is " + std::to_string(signed_value(type, bits)) + beyond;
        case 'u':
            return "is " + std::to_string(bits) + beyond;
        default:
            return "is " + hexadecimal(static_cast<std::uint32_t>(bits), 2) + ", expected 0x00 or 0x01 for a bool";
    }
}

/// The indices of the value that is the `number`th in the file.
std::vector<std::int64_t> indices_of(std::uint64_t number, const npy_header& header) {
    const std::size_t rank = header.extents.size();
    std::vector<std::int64_t> indices(rank);
    for (std::size_t i = 0; i < rank; ++i) {
        const std::size_t d = header.fortran_order ? i : rank - 1 - i;  // the fastest first
        const auto extent = static_cast<std::uint64_t>(header.extents[d]);
        indices[d] = static_cast<std::int64_t>(number % extent);
        number /= extent;
    }
    return indices;
}

/// From the first index fastest to the last index fastest.
std::vector<double> to_row_major(const std::vector<double>& values, const std::vector<std::int64_t>& extents) {
    const std::size_t rank = extents.size();
    std::array<std::size_t, most_extents> size{};
    std::array<std::size_t, most_extents> stride{};
    for (std::size_t d = 0; d < rank; ++d) {
        size[d] = static_cast<std::size_t>(extents[d]);
        stride[d] = d == 0 ? 1 : stride[d - 1] * size[d - 1];
    }
    std::array<std::size_t, most_extents> index{};
    std::vector<double> result;
    result.reserve(values.size());
    for (std::size_t from = 0; result.size() < values.size();) {
        result.push_back(values[from]);
        for (std::size_t d = rank; d-- > 0;) {
            from += stride[d];
            if (++index[d] < size[d]) break;
            from -= size[d] * stride[d];
            index[d] = 0;
        }
    }
    return result;
}

npy_array read_npy_stream(byte_stream& stream) {
    npy_header header = read_npy_header(stream);
    const auto num_values = static_cast<std::uint64_t>(count_values(stream, header));
    const value_type type = header.type;
    const auto value_size = static_cast<std::size_t>(type.size);
    const std::int64_t begin = stream.offset();

    npy_array result;
    std::vector<double>& values = result.values;
    constexpr std::size_t piece = std::size_t{1} << 13;  // in values
    std::vector<std::uint8_t> bytes(piece * value_size);
    while (values.size() < num_values) {
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(num_values - values.size(), piece));
        const std::size_t count = stream.read(bytes.data(), wanted * value_size) / value_size;
        make_room(values, count, num_values);
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint8_t* const place = bytes.data() + i * value_size;
            const std::uint64_t bits = type.big_endian ? big_endian(place, type.size) : little_endian(place, type.size);
            double value = 0;
            if (!decode(type, bits, value)) {
                stream.fail(
                    begin + static_cast<std::int64_t>(values.size() * value_size),
                    "the value at " + bracketed(indices_of(values.size(), header)) + " " + describe_value(type, bits));
            }
            values.push_back(value);
        }
        if (count < wanted) {
            stream.fail("the file ends after " + std::to_string(values.size()) + " of " + std::to_string(num_values) +
                        " values");
        }
    }
    stream.expect_end(num_values);

    if (header.fortran_order && header.extents.size() > 1 && !values.empty()) {
        values = to_row_major(values, header.extents);
    }
    result.extents = std::move(header.extents);
    return result;
}

}  // namespace

npy_array read_npy(const std::string& path) {
    return read_file("read_npy", path, read_npy_stream);
}

npy_array detail::read_npy(const memory_file& file, const std::string& name) {
    return read_memory("read_npy", file, name, read_npy_stream);
}

}  // namespace cubome
