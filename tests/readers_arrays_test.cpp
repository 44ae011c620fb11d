// SPDX-License-Identifier: Apache-2.0

/// The readers of NumPy arrays and of LIBSVM's tables; readers_test.cpp has the others, and what all say about files
/// that cannot be read.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "cubome/readers.hpp"
#include "readers_files.hpp"

namespace {

using namespace readers_files;
using cubome::npy_array;
using cubome::sparse_table;

// ---- files to read

/// The bytes of a number, as they lie in the memory of a machine of either byte order.
template <class Number>
std::string bytes_of(Number number, bool big_endian) {
    std::string result(sizeof(Number), '\0');
    std::memcpy(result.data(), &number, sizeof(Number));
    const std::uint16_t one = 1;
    std::uint8_t first = 0;
    std::memcpy(&first, &one, 1);
    if (big_endian != (first == 0)) std::reverse(result.begin(), result.end());
    return result;
}

template <class Number>
std::string bytes_of(const std::vector<Number>& numbers, bool big_endian = false) {
    std::string result;
    for (const Number number : numbers) result += bytes_of(number, big_endian);
    return result;
}

/// The header as NumPy writes it: padded so that the values begin at a multiple of 64.
std::string padded(const std::string& dictionary, int version) {
    const std::size_t before = version == 1 ? 10 : 12;
    return dictionary + std::string(63 - (before + dictionary.size()) % 64, ' ') + '\n';
}

std::string npy_of(const std::string& header, const std::string& values, int version = 1) {
    std::string result = "\x93NUMPY" + bytes({version, 0});
    for (int i = 0; i < (version == 1 ? 2 : 4); ++i) result += static_cast<char>(header.size() >> 8 * i & 0xff);
    return result + header + values;
}

std::string npy(const std::string& type, bool fortran_order, const std::string& shape, const std::string& values,
                int version = 1) {
    const std::string dictionary = "{'descr': '" + type + "', 'fortran_order': " + (fortran_order ? "True" : "False") +
                                   ", 'shape': " + shape + ", }";
    return npy_of(padded(dictionary, version), values, version);
}

npy_array read_npy(const std::string& contents, std::size_t most_per_read = at_once, bool size_is_known = true) {
    return cubome::detail::read_npy(in_memory(contents, most_per_read, size_is_known), "x");
}

sparse_table read_libsvm(const std::string& contents, std::size_t most_per_read = at_once, bool size_is_known = true) {
    return cubome::detail::read_libsvm(in_memory(contents, most_per_read, size_is_known), "x");
}

std::string npy_message_of(const std::string& contents, bool size_is_known = true) {
    return error_of([&] { return read_npy(contents, at_once, size_is_known); }).what();
}

/// What is said of a file with this header and one value of 8 bytes. The header begins at byte 10.
std::string header_message_of(const std::string& header) {
    return npy_message_of(npy_of(header, bytes_of(std::vector<double>{1})));
}

std::string libsvm_message_of(const std::string& contents) {
    return error_of([&] { return read_libsvm(contents); }).what();
}

// ---- the same again, naively

double number_at(const std::string& contents, std::size_t at, const std::string& type) {
    std::string own = contents.substr(at, static_cast<std::size_t>(type[2] - '0'));
    const std::uint16_t one = 1;
    std::uint8_t first = 0;
    std::memcpy(&first, &one, 1);
    if ((type[0] == '>') != (first == 0)) std::reverse(own.begin(), own.end());
    const auto as = [&](auto number) {
        std::memcpy(&number, own.data(), sizeof(number));
        return static_cast<double>(number);
    };
    const std::string name = type.substr(1);
    if (name == "f4") return as(float());
    if (name == "f8") return as(double());
    if (name == "i1") return as(std::int8_t());
    if (name == "i2") return as(std::int16_t());
    if (name == "i4") return as(std::int32_t());
    if (name == "i8") return as(std::int64_t());
    if (name == "u1" || name == "b1") return as(std::uint8_t());
    if (name == "u2") return as(std::uint16_t());
    if (name == "u4") return as(std::uint32_t());
    return as(std::uint64_t());
}

/// What an uncompressed .npy file holds, if it is one that is read.
///
/// Integers near 2^53 are beyond it: they are rounded before they are judged.
std::optional<npy_array> npy_oracle(const std::string& contents) {
    const auto byte = [&](std::size_t i) { return std::size_t{static_cast<unsigned char>(contents[i])}; };
    if (contents.size() < 12 || contents.substr(0, 6) != "\x93NUMPY" || byte(7) != 0) return {};
    if (byte(6) < 1 || byte(6) > 3) return {};
    const std::size_t begin = byte(6) == 1 ? 10 : 12;
    std::size_t length = byte(8) + 256 * byte(9);
    if (begin == 12) length += (byte(10) << 16) + (byte(11) << 24);
    if (length > 65535 || contents.size() < begin + length) return {};
    const std::string header = contents.substr(begin, length);

    const auto quoted = [](const std::string& text) { return "(?:'" + text + "'|\"" + text + "\")"; };
    static const std::string type_item = quoted("descr") + " *: *" + quoted("(?:[<>][fiub].|[|][iub]1)");
    static const std::string order_item = quoted("fortran_order") + " *: *(?:True|False)";
    static const std::string extent = "(?:0|[1-9][0-9]{0,17}) *";
    static const std::string several = extent + ", *(?:" + extent + ", *){0,2}(?:" + extent + "(?:, *)?)?";
    static const std::string shape_item = quoted("shape") + " *: *[(] *(?:" + several + ")?[)]";
    static const std::string item = "(?:" + type_item + "|" + order_item + "|" + shape_item + ")";
    static const std::regex whole(" *\\{ *" + item + " *, *" + item + " *, *" + item + " *(?:, *)?\\} *\n");
    static const std::regex type_regex("descr['\"] *: *['\"](.)(.)(.)");
    static const std::regex order_regex("order['\"] *: *(True|False)");
    static const std::regex shape_regex("shape['\"] *: *\\(([^)]*)\\)");
    std::smatch type_match;
    std::smatch order_match;
    std::smatch shape_match;
    if (!std::regex_match(header, whole) || !std::regex_search(header, type_match, type_regex) ||
        !std::regex_search(header, order_match, order_regex) || !std::regex_search(header, shape_match, shape_regex)) {
        return {};
    }
    const std::string type = type_match.str(1) + type_match.str(2) + type_match.str(3);
    const std::string known = "f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1 ";
    if (known.find(type.substr(1) + " ") == known.npos) return {};

    npy_array result;
    double num_values = 1;  // exact for every number of values that a test file can hold
    const std::string shape = shape_match.str(1);
    static const std::regex digits("[0-9]+");
    for (auto i = std::sregex_iterator(shape.begin(), shape.end(), digits); i != std::sregex_iterator(); ++i) {
        result.extents.push_back(std::stoll(i->str()));
        num_values *= static_cast<double>(result.extents.back());
    }
    const auto size = static_cast<std::size_t>(type[2] - '0');
    if (num_values * static_cast<double>(size) != static_cast<double>(contents.size() - begin - length)) return {};

    result.values.resize(static_cast<std::size_t>(num_values));
    for (std::size_t i = 0; i < result.values.size(); ++i) {
        // From the row-major place to the indices, and from these to the place in the file.
        std::size_t rest = i;
        std::size_t place = 0;
        std::vector<std::size_t> index(result.extents.size());
        for (std::size_t d = index.size(); d-- > 0;) {
            index[d] = rest % static_cast<std::size_t>(result.extents[d]);
            rest /= static_cast<std::size_t>(result.extents[d]);
        }
        if (order_match.str(1) == "True") std::reverse(index.begin(), index.end());
        std::vector<std::int64_t> extents = result.extents;
        if (order_match.str(1) == "True") std::reverse(extents.begin(), extents.end());
        for (std::size_t d = 0; d < index.size(); ++d) {
            place = place * static_cast<std::size_t>(extents[d]) + index[d];
        }
        const double value = number_at(contents, begin + length + place * size, type);
        const bool is_integer = type[1] == 'i' || type[1] == 'u';
        if (!std::isfinite(value) || (is_integer && std::abs(value) > 0x1p53)) return {};
        if (type[1] == 'b' && value > 1) return {};
        result.values[i] = value;
    }
    return result;
}

/// What a text holds, if it is a table that is read.
std::optional<sparse_table> libsvm_oracle(const std::string& contents) {
    static const std::string number = R"((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)";
    static const std::regex row_regex("[ \t]*[-+]?" + number + "(?:[ \t]+[0-9]+:-?" + number + ")*[ \t]*(?:#[^\r]*)?");
    static const std::regex comment_regex("[ \t]*#[^\r]*");
    static const std::regex number_regex("[^ \t:]+");
    bool right = true;
    const auto value_of = [&](const std::string& text) {
        const double value = std::strtod(text.c_str(), nullptr);
        const bool is_zero = text.substr(0, text.find_first_of("eE")).find_first_of("123456789") == text.npos;
        right = right && std::isfinite(value) && (value == 0) == is_zero;
        return value;
    };

    sparse_table result;
    for (std::size_t begin = 0; begin < contents.size() && right;) {
        const std::size_t end = std::min(contents.find('\n', begin), contents.size());
        std::string line = contents.substr(begin, end - begin);
        if (!line.empty() && line.back() == '\r' && end < contents.size()) line.pop_back();
        begin = end + 1;
        if (std::regex_match(line, comment_regex)) continue;
        if (!std::regex_match(line, row_regex)) return {};
        line.resize(std::min(line.find('#'), line.size()));

        std::int64_t last = 0;
        auto text = std::sregex_iterator(line.begin(), line.end(), number_regex);
        result.labels.push_back(value_of(text->str()));
        while (++text != std::sregex_iterator()) {
            const double index = std::strtod(text->str().c_str(), nullptr);
            right = right && index >= 1 && index <= 2147482624 && static_cast<std::int64_t>(index) > last;
            if (!right) break;
            last = static_cast<std::int64_t>(index);
            result.columns.push_back(last - 1);
            result.num_columns = std::max(result.num_columns, last);
            result.values.push_back(value_of((++text)->str()));
        }
        result.row_starts.push_back(static_cast<std::int64_t>(result.values.size()));
        ++result.num_rows;
    }
    if (!right || result.num_rows == 0) return {};
    return result;
}

// ---- comparisons

void expect_npy_right_or_refused(const std::string& plain, std::size_t most_per_read, bool size_is_known) {
    const auto tried = attempt_to([&] { return read_npy(plain, most_per_read, size_is_known); });
    const std::optional<npy_array> truth = npy_oracle(plain);
    ASSERT_EQ(tried.result.has_value(), truth.has_value()) << (tried.error ? tried.error->what() : "accepted");
    if (tried.result) {
        ASSERT_EQ(tried.result->extents, truth->extents);
        ASSERT_TRUE(same_bits(tried.result->values, truth->values));
    } else {
        ASSERT_GE(tried.error->offset(), 0);
        ASSERT_LE(tried.error->offset(), static_cast<std::int64_t>(plain.size()));
    }
}

void expect_same(const sparse_table& a, const sparse_table& b) {
    ASSERT_EQ(a.num_rows, b.num_rows);
    ASSERT_EQ(a.num_columns, b.num_columns);
    ASSERT_TRUE(same_bits(a.labels, b.labels));
    ASSERT_EQ(a.row_starts, b.row_starts);
    ASSERT_EQ(a.columns, b.columns);
    ASSERT_TRUE(same_bits(a.values, b.values));
}

void expect_libsvm_right_or_refused(const std::string& plain, std::size_t most_per_read) {
    const auto tried = attempt_to([&] { return read_libsvm(plain, most_per_read); });
    const std::optional<sparse_table> truth = libsvm_oracle(plain);
    ASSERT_EQ(tried.result.has_value(), truth.has_value()) << (tried.error ? tried.error->what() : "accepted");
    if (tried.result) {
        expect_same(*tried.result, *truth);
    } else {
        ASSERT_GE(tried.error->offset(), 0);
        ASSERT_LE(tried.error->offset(), static_cast<std::int64_t>(plain.size()));
    }
}

// ---- .npy

struct type_sample {
    std::string type;
    std::string bytes;
    std::vector<double> values;
};

template <class Number>
type_sample sample_of(const std::string& type, const std::vector<Number>& numbers) {
    type_sample result{type, bytes_of(numbers, type[0] == '>'), {}};
    for (const Number number : numbers) result.values.push_back(static_cast<double>(number));
    return result;
}

/// Four values of every type, the largest and smallest that are read among them.
std::vector<type_sample> type_samples() {
    const std::int64_t largest = std::int64_t{1} << 53;
    std::vector<type_sample> result;
    for (const std::string order : {"<", ">"}) {
        result.push_back(sample_of<float>(order + "f4", {-0.0F, 1.5F, FLT_MAX, 1e-45F}));
        result.push_back(sample_of<double>(order + "f8", {-0.0, 0.1, -DBL_MAX, 5e-324}));
        result.push_back(sample_of<std::int16_t>(order + "i2", {-32768, -1, 258, 32767}));
        result.push_back(sample_of<std::int32_t>(order + "i4", {INT32_MIN, -1, 16909060, INT32_MAX}));
        result.push_back(sample_of<std::int64_t>(order + "i8", {-largest, -1, 72623859790382856 / 16, largest}));
        result.push_back(sample_of<std::uint16_t>(order + "u2", {0, 1, 258, 65535}));
        result.push_back(sample_of<std::uint32_t>(order + "u4", {0, 1, 16909060, UINT32_MAX}));
        result.push_back(sample_of<std::uint64_t>(order + "u8", {0, 1, 4538991236898928, std::uint64_t{1} << 53}));
    }
    for (const std::string order : {"<", ">", "|"}) {
        result.push_back(sample_of<std::int8_t>(order + "i1", {-128, -1, 2, 127}));
        result.push_back(sample_of<std::uint8_t>(order + "u1", {0, 1, 128, 255}));
        result.push_back(sample_of<std::uint8_t>(order + "b1", {0, 1, 1, 0}));
    }
    return result;
}

TEST(ReadNpy, ReadsEveryTypeInEveryVersionAndOrder) {
    for (const type_sample& sample : type_samples()) {
        for (const int version : {1, 2, 3}) {
            for (const bool fortran_order : {false, true}) {
                const std::string contents = npy(sample.type, fortran_order, "(2, 2)", sample.bytes, version);
                std::vector<double> values = sample.values;
                if (fortran_order) std::swap(values[1], values[2]);

                for (const std::string& file : {contents, gzip(contents)}) {
                    const npy_array read = read_npy(file);

                    EXPECT_EQ(read.extents, (std::vector<std::int64_t>{2, 2})) << sample.type;
                    EXPECT_TRUE(same_bits(read.values, values)) << sample.type;
                }
            }
        }
    }
}

TEST(ReadNpy, ReturnsWhatAFileHolds) {
    const std::string contents = npy("<f8", false, "(3,)", bytes_of<double>({1, -2.5, 1e300}));
    const temporary_file plain(contents);
    const temporary_file compressed(gzip(contents));

    for (const std::string& path : {plain.path, compressed.path}) {
        const npy_array read = cubome::read_npy(path);

        EXPECT_EQ(read.extents, std::vector<std::int64_t>{3});
        EXPECT_TRUE(same_bits(read.values, {1, -2.5, 1e300}));
    }
    const temporary_file other("x");
    EXPECT_EQ(error_of([&] { return cubome::read_npy(other.path); }).path(), other.path);
}

TEST(ReadNpy, RearrangesFortranOrderOfUpToFourExtents) {
    const std::vector<std::vector<std::int64_t>> shapes = {
        {},        {1},          {7},       {1, 1},    {3, 4},       {5, 1},       {1, 5},      {2, 3, 4},
        {4, 1, 3}, {2, 3, 4, 5}, {1, 1, 6}, {5, 4, 3}, {3, 1, 2, 2}, {40, 30, 20}, {7, 1, 1, 1}};
    for (const std::vector<std::int64_t>& extents : shapes) {
        std::string shape = "(";
        std::size_t num_values = 1;
        for (const std::int64_t extent : extents) {
            shape += std::to_string(extent) + ", ";
            num_values *= static_cast<std::size_t>(extent);
        }
        shape += ")";
        if (extents.empty()) shape = "()";
        std::vector<double> counted(num_values);
        for (std::size_t i = 0; i < num_values; ++i) counted[i] = static_cast<double>(i);

        const npy_array rows = read_npy(npy("<f8", false, shape, bytes_of(counted)));
        const npy_array columns = read_npy(npy("<f8", true, shape, bytes_of(counted)));

        EXPECT_EQ(rows.extents, extents);
        EXPECT_EQ(columns.extents, extents);
        EXPECT_TRUE(same_bits(rows.values, counted)) << shape;
        // In the file, the first index is the fastest.
        ASSERT_EQ(columns.values.size(), num_values);
        std::vector<std::int64_t> wide = extents;
        wide.resize(4, 1);
        std::size_t at = 0;
        for (std::int64_t i = 0; i < wide[0]; ++i) {
            for (std::int64_t j = 0; j < wide[1]; ++j) {
                for (std::int64_t k = 0; k < wide[2]; ++k) {
                    for (std::int64_t l = 0; l < wide[3]; ++l) {
                        ASSERT_EQ(columns.values[at++], i + wide[0] * (j + wide[1] * (k + wide[2] * l))) << shape;
                    }
                }
            }
        }
    }
}

TEST(ReadNpy, AcceptsOneNumberWithoutExtents) {
    const npy_array read = read_npy(npy("<f8", false, "()", bytes_of(2.5, false)));

    EXPECT_TRUE(read.extents.empty());
    EXPECT_TRUE(same_bits(read.values, {2.5}));
    EXPECT_EQ(npy_message_of(npy("<f8", false, "()", "")),
              "read_npy: 'x' at byte 128: the file ends after 0 of 1 values");
}

TEST(ReadNpy, AcceptsAnExtentOfZeroWhateverTheOthersAre) {
    for (const bool fortran_order : {false, true}) {
        const npy_array read =
            read_npy(npy("<f8", fortran_order, "(9223372036854775807, 0, 9223372036854775807, 3)", ""));

        EXPECT_EQ(read.extents, (std::vector<std::int64_t>{INT64_MAX, 0, INT64_MAX, 3}));
        EXPECT_TRUE(read.values.empty());
    }
    EXPECT_EQ(npy_message_of(npy("<f8", false, "(0,)", "a")),
              "read_npy: 'x' at byte 128: the file goes on after the last of 0 values");
}

TEST(ReadNpy, AcceptsTheHeaderHoweverItIsLaidOut) {
    const std::string values = bytes_of<float>({1, 2, 3});
    for (const std::string header :
         {"{'descr':'<f4','fortran_order':False,'shape':(1,3)}\n",
          "{'shape': (1,3,), \"fortran_order\": False, \"descr\": \"<f4\"}  \n",
          "  {  'fortran_order'  :  False  ,  'shape'  :  (  1  ,  3  ,  )  ,  'descr'  :  '<f4'  ,  }  \n"}) {
        const npy_array read = read_npy(npy_of(header, values));

        EXPECT_EQ(read.extents, (std::vector<std::int64_t>{1, 3})) << header;
        EXPECT_TRUE(same_bits(read.values, {1, 2, 3}));
    }
    const std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
    for (const int version : {2, 3}) {
        const std::string longest = dictionary + std::string(65534 - dictionary.size(), ' ') + '\n';
        EXPECT_TRUE(same_bits(read_npy(npy_of(longest, values, version)).values, {1, 2, 3}));
        EXPECT_EQ(npy_message_of(npy_of(' ' + longest, values, version)),
                  "read_npy: 'x' at byte 8: the header has 65536 bytes, expected at most 65535");
    }
}

TEST(ReadNpy, ReadsMoreValuesThanOnePieceHolds) {
    for (const std::size_t size : {(1U << 13) - 1, 1U << 13, (1U << 13) + 1, (5U << 13) + 3}) {
        std::vector<std::uint32_t> numbers(size);
        for (std::size_t i = 0; i < size; ++i) numbers[i] = static_cast<std::uint32_t>(i * 2654435761U);
        const type_sample sample = sample_of(">u4", numbers);
        for (const bool fortran_order : {false, true}) {
            const std::string plain = npy(">u4", fortran_order, "(" + std::to_string(size) + ", 1)", sample.bytes);

            const npy_array read = read_npy(plain);

            EXPECT_TRUE(same_bits(read.values, sample.values));
            EXPECT_EQ(read.values.capacity(), size);  // no more memory than the values take
            EXPECT_TRUE(same_bits(read_npy(gzip(plain), 7, false).values, sample.values));
        }
    }
}

TEST(ReadNpy, IsTheSameHoweverTheInputIsCut) {
    std::vector<double> numbers;
    for (int i = 0; i < 300; ++i) numbers.push_back(0.1 * i);
    const std::string plain = npy(">f8", false, "(100, 3)", bytes_of(numbers, true));
    const std::string two_members = gzip(plain.substr(0, 9)) + gzip("") + gzip(plain.substr(9));

    for (const std::string& file : {plain, gzip(plain), two_members}) {
        for (const std::size_t most_per_read : {1U, 2U, 3U, 7U, 64U}) {
            EXPECT_TRUE(same_bits(read_npy(file, most_per_read).values, numbers));
        }
    }
}

TEST(ReadNpy, SaysWhatIsWrongBeforeTheHeader) {
    const std::string right = npy("<f8", false, "(1,)", bytes_of(1.0, false));

    EXPECT_EQ(npy_message_of("PK\3\4\0\0\0\0"),
              "read_npy: 'x' at byte 4: the file ends within the 8 bytes of the magic number and the version");
    EXPECT_EQ(npy_message_of(bytes({'P', 'K', 3, 4, 0, 0, 0, 0})),
              "read_npy: 'x' at byte 0: byte 0 of the magic number is 0x50, expected 0x93");
    EXPECT_EQ(npy_message_of("\x93NUMPy" + right.substr(6)),
              "read_npy: 'x' at byte 5: byte 5 of the magic number is 0x79, expected 0x59");
    EXPECT_EQ(npy_message_of("\x93NUMPY" + bytes({0, 0})),
              "read_npy: 'x' at byte 6: the version is 0.0, expected 1.0, 2.0 or 3.0");
    EXPECT_EQ(npy_message_of("\x93NUMPY" + bytes({4, 0})),
              "read_npy: 'x' at byte 6: the version is 4.0, expected 1.0, 2.0 or 3.0");
    EXPECT_EQ(npy_message_of("\x93NUMPY" + bytes({1, 1})),
              "read_npy: 'x' at byte 7: the version is 1.1, expected 1.0, 2.0 or 3.0");
    EXPECT_EQ(npy_message_of(right.substr(0, 9)),
              "read_npy: 'x' at byte 9: the file ends within the length of the header");
    EXPECT_EQ(npy_message_of(right.substr(0, 50)),
              "read_npy: 'x' at byte 8: the header has 118 bytes, more than the file can hold");
    EXPECT_EQ(npy_message_of(right.substr(0, 50), false),
              "read_npy: 'x' at byte 50: the file ends within the header of 118 bytes");
    EXPECT_EQ(npy_message_of("\x93NUMPY" + bytes({3, 0, 255, 255, 255, 255}), false),
              "read_npy: 'x' at byte 8: the header has 4294967295 bytes, expected at most 65535");
}

TEST(ReadNpy, SaysWhatTheHeaderHasInThePlaceOfWhat) {
    EXPECT_EQ(header_message_of(""), "read_npy: 'x' at byte 10: the header has its end in the place of '{'");
    EXPECT_EQ(header_message_of("[]\n"), "read_npy: 'x' at byte 10: the header has '[' in the place of '{'");
    EXPECT_EQ(header_message_of("{}\n"), "read_npy: 'x' at byte 11: the header has no 'descr'");
    EXPECT_EQ(header_message_of("{\n"), "read_npy: 'x' at byte 11: the header has '\\x0a' in the place of a string");
    EXPECT_EQ(header_message_of("{descr\n"), "read_npy: 'x' at byte 11: the header has 'd' in the place of a string");
    EXPECT_EQ(header_message_of("{'descr\n"),
              "read_npy: 'x' at byte 18: the header has its end in the place of the end of a string");
    EXPECT_EQ(header_message_of("{'descr\"\n"),
              "read_npy: 'x' at byte 19: the header has its end in the place of the end of a string");
    EXPECT_EQ(header_message_of("{'descr' '<f8'}\n"),
              "read_npy: 'x' at byte 19: the header has ''' in the place of ':'");
    EXPECT_EQ(header_message_of("{'descr': '<f8' 'shape': (1,)}\n"),
              "read_npy: 'x' at byte 26: the header has ''' in the place of ',' or '}'");
    EXPECT_EQ(header_message_of("{'descr': [('a', '<f8')]}\n"),
              "read_npy: 'x' at byte 20: the header has '[' in the place of a string");
    EXPECT_EQ(header_message_of("{'fortran_order': 0}\n"),
              "read_npy: 'x' at byte 28: the header has '0' in the place of True or False");
    EXPECT_EQ(header_message_of("{'fortran_order': Falsehood}\n"),
              "read_npy: 'x' at byte 33: the header has 'h' in the place of ',' or '}'");
    EXPECT_EQ(header_message_of("{'shape': 1}\n"), "read_npy: 'x' at byte 20: the header has '1' in the place of '('");
    EXPECT_EQ(header_message_of("{'shape': (1)}\n"),
              "read_npy: 'x' at byte 22: the header has ')' in the place of ','");
    EXPECT_EQ(header_message_of("{'shape': (1L,)}\n"),
              "read_npy: 'x' at byte 22: the header has 'L' in the place of ','");
    EXPECT_EQ(header_message_of("{'shape': (1, 2 3)}\n"),
              "read_npy: 'x' at byte 26: the header has '3' in the place of ',' or ')'");
    EXPECT_EQ(header_message_of("{'shape': (,)}\n"),
              "read_npy: 'x' at byte 21: the header has ',' in the place of an extent");
    EXPECT_EQ(header_message_of("{'shape': (1,,)}\n"),
              "read_npy: 'x' at byte 23: the header has ',' in the place of an extent");
    EXPECT_EQ(header_message_of("{'shape': (-1,)}\n"),
              "read_npy: 'x' at byte 21: the header has '-' in the place of an extent");
    EXPECT_EQ(header_message_of("{'shape': (1"),
              "read_npy: 'x' at byte 22: the header has its end in the place of ','");
    EXPECT_EQ(header_message_of("{'shape': (01,)}\n"), "read_npy: 'x' at byte 21: an extent begins with 0");
    EXPECT_EQ(header_message_of("{'shape': (1, 9223372036854775808)}\n"),
              "read_npy: 'x' at byte 24: an extent is more than 2^63 - 1");
    EXPECT_EQ(header_message_of("{'shape': (1, 1, 1, 1, 1)}\n"),
              "read_npy: 'x' at byte 33: the shape has more than 4 extents");
}

TEST(ReadNpy, TakesEachKeyOnceAndNoOther) {
    const std::string type = "'descr': '<f8'";
    const std::string order = "'fortran_order': False";
    const std::string shape = "'shape': (1,)";

    EXPECT_EQ(header_message_of("{" + order + ", " + shape + "}\n"),
              "read_npy: 'x' at byte 48: the header has no 'descr'");
    EXPECT_EQ(header_message_of("{" + type + ", " + shape + "}\n"),
              "read_npy: 'x' at byte 40: the header has no 'fortran_order'");
    EXPECT_EQ(header_message_of("{" + type + ", " + order + "}\n"),
              "read_npy: 'x' at byte 49: the header has no 'shape'");
    EXPECT_EQ(header_message_of("{" + type + ", " + type + ", " + order + ", " + shape + "}\n"),
              "read_npy: 'x' at byte 27: the header's key 'descr' occurs twice");
    EXPECT_EQ(header_message_of("{" + shape + ", " + type + ", " + order + ", " + shape + "}\n"),
              "read_npy: 'x' at byte 66: the header's key 'shape' occurs twice");
    EXPECT_EQ(header_message_of("{" + order + ", " + order + "}\n"),
              "read_npy: 'x' at byte 35: the header's key 'fortran_order' occurs twice");
    EXPECT_EQ(header_message_of("{" + type + ", " + order + ", " + shape + ", 'a\n': 1}\n"),
              "read_npy: 'x' at byte 66: the header's key 'a\\x0a' is not descr, fortran_order or shape");
    EXPECT_EQ(header_message_of("{" + type + ",, " + order + ", " + shape + "}\n"),
              "read_npy: 'x' at byte 26: the header has ',' in the place of a string");
}

TEST(ReadNpy, EndsTheHeaderWithALineFeed) {
    const std::string dictionary = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}";

    EXPECT_EQ(header_message_of(dictionary + "\n"), "nothing: 'was thrown' at byte -1: no error");
    EXPECT_EQ(header_message_of(dictionary),
              "read_npy: 'x' at byte 65: the header has its end in the place of spaces and a line feed at its end");
    EXPECT_EQ(header_message_of(dictionary + " x\n"),
              "read_npy: 'x' at byte 66: the header has 'x' in the place of spaces and a line feed at its end");
    EXPECT_EQ(header_message_of(dictionary + "\n\n"),
              "read_npy: 'x' at byte 65: the header has '\\x0a' in the place of spaces and a line feed at its end");
    EXPECT_EQ(header_message_of(dictionary + "\n "),
              "read_npy: 'x' at byte 65: the header has '\\x0a' in the place of spaces and a line feed at its end");
}

TEST(ReadNpy, RefusesTypesThatAreNotReadByName) {
    for (const std::string type :
         {"|O",  "<c8", "<c16", "<f2", "<f16", "|S8",  "<U2", "<M8[ns]", "<m8", "|V8", "=f8", "|f8",
          "|i2", "f8",  "",     "<",   "<f",   "<f88", "<b2", "|1 ",     "< u", "<8f", "!f8", "<F8"}) {
        EXPECT_EQ(
            header_message_of("{'descr': '" + type + "', 'fortran_order': False, 'shape': (1,)}\n"),
            "read_npy: 'x' at byte 20: the type is '" + type +
                "', expected f4, f8, i1, i2, i4, i8, u1, u2, u4, u8 or b1 behind its byte order, < or >, or | where "
                "it is one byte");
    }
}

TEST(ReadNpy, RefusesValuesThatAreNotFiniteByTheirIndices) {
    const double infinity = std::numeric_limits<double>::infinity();
    for (const double wrong : {infinity, -infinity, std::nan("")}) {
        std::vector<double> values = {1, 2, 3, 4, 5, 6};
        values[4] = wrong;
        const auto as_float = std::vector<float>(values.begin(), values.end());

        EXPECT_EQ(npy_message_of(npy("<f8", false, "(2, 3)", bytes_of(values))),
                  "read_npy: 'x' at byte 160: the value at [1, 1] is not finite");
        EXPECT_EQ(npy_message_of(npy(">f8", true, "(2, 3)", bytes_of(values, true))),
                  "read_npy: 'x' at byte 160: the value at [0, 2] is not finite");
        EXPECT_EQ(npy_message_of(npy("<f4", false, "(6,)", bytes_of(as_float))),
                  "read_npy: 'x' at byte 144: the value at [4] is not finite");
        EXPECT_EQ(npy_message_of(npy(">f4", true, "(1, 2, 1, 3)", bytes_of(as_float, true))),
                  "read_npy: 'x' at byte 144: the value at [0, 0, 0, 2] is not finite");
        EXPECT_EQ(npy_message_of(npy("<f8", false, "()", bytes_of(wrong, false))),
                  "read_npy: 'x' at byte 128: the value at [] is not finite");
    }
}

TEST(ReadNpy, NamesAValueFarBehindTheFirstPiece) {
    std::vector<double> values(50000, 1.0);
    values[49999] = std::nan("");

    EXPECT_EQ(npy_message_of(npy("<f8", false, "(500, 100)", bytes_of(values))),
              "read_npy: 'x' at byte 400120: the value at [499, 99] is not finite");
    EXPECT_EQ(npy_message_of(npy("<f8", true, "(500, 100)", bytes_of(values))),
              "read_npy: 'x' at byte 400120: the value at [499, 99] is not finite");
    EXPECT_EQ(npy_message_of(npy("<f8", false, "(500, 100)", bytes_of(values).substr(0, 399998)), false),
              "read_npy: 'x' at byte 400126: the file ends after 49999 of 50000 values");
}

TEST(ReadNpy, RefusesIntegersThatADoubleCannotTell) {
    const std::int64_t largest = std::int64_t{1} << 53;
    const std::string beyond = ", beyond the 2^53 up to which a double holds every integer";
    for (const std::int64_t wrong : {largest + 1, -largest - 1, largest + 2, INT64_MAX, INT64_MIN}) {
        for (const bool big_endian : {false, true}) {
            EXPECT_EQ(npy_message_of(npy(big_endian ? ">i8" : "<i8", false, "(2,)",
                                         bytes_of(std::vector<std::int64_t>{largest, wrong}, big_endian))),
                      "read_npy: 'x' at byte 136: the value at [1] is " + std::to_string(wrong) + beyond);
        }
    }
    EXPECT_EQ(npy_message_of(npy("<u8", false, "(1,)", bytes_of(UINT64_MAX, false))),
              "read_npy: 'x' at byte 128: the value at [0] is 18446744073709551615" + beyond);
    EXPECT_EQ(npy_message_of(npy(">u8", false, "(1,)", bytes_of((std::uint64_t{1} << 53) + 1, true))),
              "read_npy: 'x' at byte 128: the value at [0] is 9007199254740993" + beyond);
}

TEST(ReadNpy, RefusesABoolThatIsNeitherTrueNorFalse) {
    EXPECT_EQ(npy_message_of(npy("|b1", false, "(3,)", bytes({0, 1, 2}))),
              "read_npy: 'x' at byte 130: the value at [2] is 0x02, expected 0x00 or 0x01 for a bool");
    EXPECT_EQ(npy_message_of(npy("|b1", false, "(1,)", "\xff")),
              "read_npy: 'x' at byte 128: the value at [0] is 0xff, expected 0x00 or 0x01 for a bool");
}

TEST(ReadNpy, NamesTheExtentThatIsMoreThanTheFileCanHold) {
    EXPECT_EQ(npy_message_of(npy("<f8", false, "(2, 3)", bytes_of<double>({1, 2, 3, 4, 5}))),
              "read_npy: 'x' at byte 64: extent 1 is 3, more than the file can hold: shape [2, 3], room for at most 5 "
              "values");
    EXPECT_EQ(npy_message_of(npy("<f8", false, "(2, 3)", bytes_of<double>({1, 2, 3, 4, 5}) + "1234567")),
              "read_npy: 'x' at byte 64: extent 1 is 3, more than the file can hold: shape [2, 3], room for at most 5 "
              "values");
    EXPECT_EQ(npy_message_of(npy("<f8", false, "(2, 3)", bytes_of<double>({1, 2, 3, 4, 5}) + "1234567"), false),
              "read_npy: 'x' at byte 175: the file ends after 5 of 6 values");
    EXPECT_EQ(npy_message_of(npy("|i1", false, "(9223372036854775807,)", "ab")),
              "read_npy: 'x' at byte 61: extent 0 is 9223372036854775807, more than the file can hold: shape "
              "[9223372036854775807], room for at most 2 values");
    const std::string lie = gzip(npy("<f4", false, "(3000000,)", "ab"));
    EXPECT_EQ(
        npy_message_of(lie),
        "read_npy: 'x' at byte 61: extent 0 is 3000000, more than the file can hold: shape [3000000], room for at "
        "most " +
            std::to_string((1032 * lie.size() - 128) / 4) + " values");
}

TEST(ReadNpy, BoundsWhatAGzipFileCanHoldByTheBestCompressionThereIs) {
    const std::size_t size = 2'000'000;
    const std::string whole = gzip(npy("<f4", true, "(2000000, 1)", std::string(4 * size, '\0')));

    EXPECT_LT(whole.size(), 4 * size / 900);  // so that the bound is nearly met
    EXPECT_EQ(read_npy(whole).values.size(), size);
}

TEST(ReadNpy, AllocatesNothingForValuesThatItHasNotSeen) {
    // No machine could. std::bad_alloc or std::length_error in place of the error would end the test.
    const std::string claims = npy("|i1", true, "(1152921504606846975, 1)", "abc");

    EXPECT_EQ(npy_message_of(claims, false),
              "read_npy: 'x' at byte 131: the file ends after 3 of 1152921504606846975 values");
    EXPECT_EQ(npy_message_of(gzip(claims), false),
              "read_npy: 'x' at byte 131: the file ends after 3 of 1152921504606846975 values");
}

TEST(ReadNpy, CountsUpTo64BitsAndNotBeyond) {
    const auto file = [](const std::string& shape) { return npy("|i1", false, shape, ""); };

    EXPECT_EQ(npy_message_of(file("(1152921504606846976,)"), false),
              "read_npy: 'x' at byte 61: extent 0 is 1152921504606846976, more than 64 bits can count: shape "
              "[1152921504606846976]");
    EXPECT_EQ(npy_message_of(file("(4294967296, 1, 4294967296)"), false),
              "read_npy: 'x' at byte 76: extent 2 is 4294967296, more than 64 bits can count: shape [4294967296, 1, "
              "4294967296]");
    // The product is 2^64, and would be 0 if it wrapped around.
    EXPECT_EQ(error_of([&] { return read_npy(file("(65536, 65536, 65536, 65536)"), 1, false); }).offset(), 82);
    EXPECT_EQ(error_of([&] { return read_npy(file("(65536, 65536, 65536, 65536)")); }).offset(), 61);
    // 2^61 values of 8 bytes each: as many bytes as would wrap around to 0.
    EXPECT_EQ(error_of([&] { return read_npy(npy("<f8", false, "(2305843009213693952,)", ""), 1, false); }).offset(),
              61);
}

TEST(ReadNpy, RefusesTrailingBytes) {
    const std::string plain = npy("<f8", false, "(2,)", bytes_of<double>({1, 2}));

    EXPECT_EQ(npy_message_of(plain + "g"), "read_npy: 'x' at byte 144: the file goes on after the last of 2 values");
    EXPECT_EQ(npy_message_of(gzip(plain + "g")),
              "read_npy: 'x' at byte 144: the file goes on after the last of 2 values");
    EXPECT_EQ(npy_message_of(plain + plain), "read_npy: 'x' at byte 144: the file goes on after the last of 2 values");
    EXPECT_EQ(npy_message_of(gzip(plain) + "g"),
              "read_npy: 'x' at byte 144: bytes that are not gzip follow the gzip data");
}

TEST(ReadNpy, VerifiesTheChecksumsOfAGzipFile) {
    std::string wrong = gzip(npy("<f8", true, "(2, 1)", bytes_of<double>({1, 2})));
    wrong[wrong.size() - 8] ^= 1;

    EXPECT_EQ(npy_message_of(wrong), "read_npy: 'x' at byte 144: gzip: incorrect data check");
}

TEST(ReadNpy, RefusesEveryTruncation) {
    for (const int version : {1, 2}) {
        const std::string plain = npy("<f8", version == 2, "(2, 1)", bytes_of<double>({1, 2}), version);
        for (std::size_t size = 0; size < plain.size(); ++size) {
            const std::string cut = plain.substr(0, size);

            const read_error of_file = error_of([&] { return read_npy(cut); });
            const read_error of_pipe = error_of([&] { return read_npy(cut, 1, false); });

            EXPECT_GE(of_file.offset(), 0) << size;
            EXPECT_LE(of_file.offset(), static_cast<std::int64_t>(size));
            EXPECT_EQ(of_pipe.offset(), static_cast<std::int64_t>(size)) << of_pipe.what();
        }
    }
}

TEST(ReadNpy, RefusesEveryTruncationOfAGzipFile) {
    const std::string plain = npy("<f8", false, "(2,)", bytes_of<double>({1, 2}));
    const std::string whole = gzip(plain);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const read_error error = error_of([&] { return read_npy(whole.substr(0, size), 3); });

        EXPECT_GE(error.offset(), 0) << size;
        EXPECT_LE(error.offset(), static_cast<std::int64_t>(plain.size()));
        if (size >= 2) {
            EXPECT_EQ(error.reason(), "gzip: the file ends within the compressed data") << size;
        }
    }
}

TEST(ReadNpy, IsRightOrRefusesForEveryValueOfEveryByte) {
    // Without padding, which is the same byte again and again.
    const std::vector<std::string> samples = {
        npy_of("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 2)}\n", bytes_of<std::int16_t>({1, -2, 3, 4})),
        npy_of("{'shape':(2,),'descr':\"|b1\",'fortran_order':False,} \n", bytes({0, 1}), 2),
        npy_of("{'fortran_order': False, 'shape': (), 'descr': '>f8'}\n", bytes_of(1.5, true), 3)};
    for (const std::string& plain : samples) {
        ASSERT_TRUE(npy_oracle(plain));
        for (std::size_t i = 0; i < plain.size(); ++i) {
            for (int value = 0; value < 256; ++value) {
                std::string changed = plain;
                changed[i] = static_cast<char>(value);

                expect_npy_right_or_refused(changed, at_once, value % 2 == 0);
                if (HasFatalFailure()) FAIL() << "byte " << i << " is " << value;
            }
        }
    }
}

TEST(ReadNpy, IsRightOrRefusesAfterRandomChanges) {
    std::mt19937 random(20240609);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    const std::string telling = "0123456789<>|=fiub()[]{},:'\" \nTruFalse\t";
    const std::vector<std::string> samples = {
        npy_of("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", bytes_of<float>({1, 2, 3, 4, 5, 6})),
        npy_of("{'shape':(1,2,1,3),'descr':'>u2','fortran_order':True}\n", bytes_of<std::uint16_t>({1, 2, 3, 4, 5, 6}),
               2),
        npy_of("{'fortran_order': False, 'shape': (), 'descr': '<i8'}\n", bytes_of<std::int64_t>({7}), 3)};
    int accepted = 0;
    for (int round = 0; round < 10000; ++round) {
        std::string changed = samples[below(samples.size())];
        const std::size_t header = changed[6] == 1 ? 10 : 12;
        for (std::size_t changes = 1 + below(3); changes > 0; --changes) {
            const std::size_t at = below(4) == 0 ? below(changed.size()) : header + below(changed.size() - header);
            const char c = below(4) == 0 ? static_cast<char>(below(256)) : telling[below(telling.size())];
            switch (below(3)) {
                case 0:
                    changed[at] = c;
                    break;
                case 1:
                    changed.erase(at, 1 + below(4));
                    break;
                default:
                    changed.insert(at, 1 + below(4), c);
                    break;
            }
            if (changed.size() <= header) break;
        }
        if (below(2) == 0 && changed.size() > 9) {
            // The length of the header, as it is now.
            const std::size_t end = changed.find('\n', header);
            if (end != changed.npos) changed[8] = static_cast<char>(end + 1 - header);
        }

        expect_npy_right_or_refused(changed, 1 + below(9), below(2) == 0);
        if (HasFatalFailure()) FAIL() << "round " << round << ": " << changed;
        accepted += npy_oracle(changed) ? 1 : 0;
    }
    EXPECT_GT(accepted, 150);
}

// ---- LIBSVM

TEST(ReadLibsvm, ReturnsWhatWasWritten) {
    const std::string text =
        "# a table\n"
        "+1 1:0.5 3:-2e3 2147482624:.25\n"
        "-1\n"
        "2.5 2:0\t7:-0   9:5e-324 \t# of a kind: 8:1\n"
        "  # and\n"
        "0 1:1.7976931348623157e308\n";
    const temporary_file plain(text);
    const temporary_file compressed(gzip(text));

    for (const std::string& path : {plain.path, compressed.path}) {
        const sparse_table read = cubome::read_libsvm(path);

        EXPECT_EQ(read.num_rows, 4);
        EXPECT_EQ(read.num_columns, 2147482624);
        EXPECT_TRUE(same_bits(read.labels, {1, -1, 2.5, 0}));
        EXPECT_EQ(read.row_starts, (std::vector<std::int64_t>{0, 3, 3, 6, 7}));
        EXPECT_EQ(read.columns, (std::vector<std::int64_t>{0, 2, 2147482623, 1, 6, 8, 0}));
        EXPECT_TRUE(same_bits(read.values, {0.5, -2000, 0.25, 0, -0.0, 5e-324, DBL_MAX}));
    }
    const temporary_file other("x");
    EXPECT_EQ(error_of([&] { return cubome::read_libsvm(other.path); }).path(), other.path);
}

TEST(ReadLibsvm, AcceptsEitherLineEndAndNoneAtTheEnd) {
    for (const std::string text : {"1 1:2\n3 2:4\n", "1 1:2\n3 2:4", "1 1:2\r\n3 2:4\r\n", "1 1:2 \r\n3 2:4 #\r\n#\r\n",
                                   "1 1:2#x\n3 2:4#", "\t1 \t 1:2\t\n 3  2:4  "}) {
        const sparse_table read = read_libsvm(text);

        EXPECT_EQ(read.num_columns, 2) << text;
        EXPECT_TRUE(same_bits(read.labels, {1, 3}));
        EXPECT_EQ(read.row_starts, (std::vector<std::int64_t>{0, 1, 2}));
        EXPECT_EQ(read.columns, (std::vector<std::int64_t>{0, 1}));
        EXPECT_TRUE(same_bits(read.values, {2, 4}));
    }
}

TEST(ReadLibsvm, AcceptsRowsWithoutEntries) {
    const sparse_table read = read_libsvm("1\n2\n");

    EXPECT_EQ(read.num_rows, 2);
    EXPECT_EQ(read.num_columns, 0);
    EXPECT_EQ(read.row_starts, (std::vector<std::int64_t>{0, 0, 0}));
    EXPECT_TRUE(read.columns.empty());
    EXPECT_TRUE(read.values.empty());
}

TEST(ReadLibsvm, HasAnEmptyTableToBeginWith) {
    EXPECT_EQ(sparse_table().row_starts, std::vector<std::int64_t>{0});
}

TEST(ReadLibsvm, RefusesFilesWithoutRows) {
    EXPECT_EQ(libsvm_message_of(""), "read_libsvm: 'x' at byte 0: the file has no line with a label");
    EXPECT_EQ(libsvm_message_of("# 1 1:2\n#\n"), "read_libsvm: 'x' at byte 10: the file has no line with a label");
}

TEST(ReadLibsvm, RefusesBlankLines) {
    EXPECT_EQ(libsvm_message_of("\n"), "read_libsvm: 'x' at byte 0: line 1: the line is blank");
    EXPECT_EQ(libsvm_message_of("1 1:2\n\n"), "read_libsvm: 'x' at byte 6: line 2: the line is blank");
    EXPECT_EQ(libsvm_message_of("#\r\n \t\r\n1\r\n"), "read_libsvm: 'x' at byte 3: line 2: the line is blank");
    EXPECT_EQ(libsvm_message_of("1 1:2\n  "), "read_libsvm: 'x' at byte 6: line 2: the line is blank");
}

TEST(ReadLibsvm, SaysWhatIsWrongWithALabel) {
    for (const std::string label : {"abc", "1,2", "++1", "+-1", "+", "-", "1x", "0x10", "1:2", "+.", "1;",
                                    "\xef\xbb\xbf"
                                    "1"}) {
        std::string shown = label;
        if (label[0] == '\xef') shown = "\\xef\\xbb\\xbf1";
        EXPECT_EQ(libsvm_message_of("#\n " + label + " 1:2\n"),
                  "read_libsvm: 'x' at byte 3: line 2: the label '" + shown + "' is not a number");
    }
    for (const std::string label : {"nan", "-inf", "Infinity"}) {
        EXPECT_EQ(libsvm_message_of(label + "\n"),
                  "read_libsvm: 'x' at byte 0: line 1: the label '" + label + "' is not finite");
    }
    EXPECT_EQ(libsvm_message_of("+inf\n"), "read_libsvm: 'x' at byte 0: line 1: the label '+inf' is not a number");
    for (const std::string label : {"1e400", "+1e-400"}) {
        EXPECT_EQ(libsvm_message_of(label),
                  "read_libsvm: 'x' at byte 0: line 1: the label '" + label + "' is outside the range of double");
    }
}

TEST(ReadLibsvm, SaysWhatIsWrongWithAnEntry) {
    for (const std::string entry : {"2", "qid", "qid:1", ":1", "+2:1", "1.0:2", "0x2:1", "1e2:3", "-:1"}) {
        EXPECT_EQ(libsvm_message_of("1 1:1\n1 1:1 " + entry + "\n"),
                  "read_libsvm: 'x' at byte 12: line 2: '" + entry + "' is not index:value");
    }
    for (const std::string index : {"0", "-1", "2147482625", "9223372036854775808", "-9999999999999999999999"}) {
        EXPECT_EQ(libsvm_message_of("1 " + index + ":1\n"),
                  "read_libsvm: 'x' at byte 2: line 1: the index '" + index + "' is not in 1 to 2147482624");
    }
    EXPECT_EQ(libsvm_message_of("1 3:\n"), "read_libsvm: 'x' at byte 4: line 1: index 3: no value");
    EXPECT_EQ(libsvm_message_of("1 3: 4\n"), "read_libsvm: 'x' at byte 4: line 1: index 3: no value");
    for (const std::string value : {"x", "+1", "1:2", "1,5", "0x1", "1e", "-", "1\\x00"}) {
        std::string written = value;
        if (value.size() > 4) written = bytes({'1', 0});
        EXPECT_EQ(libsvm_message_of("1 33:" + written + "\n"),
                  "read_libsvm: 'x' at byte 5: line 1: index 33: '" + value + "' is not a number");
    }
    EXPECT_EQ(libsvm_message_of("1 3:nan\n"), "read_libsvm: 'x' at byte 4: line 1: index 3: 'nan' is not finite");
    EXPECT_EQ(libsvm_message_of("1 3:-1e400#\n"),
              "read_libsvm: 'x' at byte 4: line 1: index 3: '-1e400' is outside the range of double");
}

TEST(ReadLibsvm, RefusesIndicesThatDoNotIncrease) {
    EXPECT_EQ(libsvm_message_of("1 2:1 2:1\n"),
              "read_libsvm: 'x' at byte 6: line 1: index 2 follows index 2; they must increase");
    EXPECT_EQ(libsvm_message_of("1 9:1\n1 2:1 17:1 3:1\n"),
              "read_libsvm: 'x' at byte 17: line 2: index 3 follows index 17; they must increase");
    EXPECT_EQ(read_libsvm("1 9:1\n1 2:1\n").num_columns, 9);
}

TEST(ReadLibsvm, RefusesACarriageReturnWithoutALineFeed) {
    EXPECT_EQ(libsvm_message_of("1 1:2\r3"),
              "read_libsvm: 'x' at byte 5: line 1: a carriage return without a line feed");
    EXPECT_EQ(libsvm_message_of("1 1:2\r"),
              "read_libsvm: 'x' at byte 5: line 1: a carriage return without a line feed");
    EXPECT_EQ(libsvm_message_of("1\n# one\r2 1:2\n"),
              "read_libsvm: 'x' at byte 7: line 2: a carriage return without a line feed");
}

TEST(ReadLibsvm, ReadsLongLinesAndRefusesLongNumbers) {
    std::string text = "1";
    for (int i = 1; i <= 50000; ++i) text += " " + std::to_string(i) + ":" + std::to_string(-i);
    const sparse_table read = read_libsvm(text + "#" + std::string(1'000'000, ':'));

    ASSERT_EQ(read.num_columns, 50000);
    for (int i = 0; i < 50000; ++i) {
        ASSERT_EQ(read.columns[static_cast<std::size_t>(i)], i);
        ASSERT_EQ(read.values[static_cast<std::size_t>(i)], -i - 1);
    }
    EXPECT_TRUE(same_bits(read_libsvm("1 1:2." + std::string(4092, '0')).values, {2}));
    EXPECT_EQ(libsvm_message_of("1 1:2." + std::string(4093, '0')),
              "read_libsvm: 'x' at byte 2: line 1: more than 4096 bytes without a blank");
    EXPECT_EQ(libsvm_message_of(std::string(1'000'000, '1')),
              "read_libsvm: 'x' at byte 0: line 1: more than 4096 bytes without a blank");
}

TEST(ReadLibsvm, IsTheSameHoweverTheInputIsCut) {
    std::string plain;
    for (int i = 0; plain.size() < (std::size_t{1} << 15) + 100; ++i) {
        plain += std::to_string(i % 7) + " 1:0." + std::to_string(i) + "  " + std::to_string(2 + i) + ":-1 # c\r\n";
    }
    const std::optional<sparse_table> truth = libsvm_oracle(plain);
    ASSERT_TRUE(truth);
    const std::string two_members = gzip(plain.substr(0, 9)) + gzip("") + gzip(plain.substr(9));

    for (const std::string& file : {plain, gzip(plain), two_members}) {
        for (const std::size_t most_per_read : {1U, 2U, 3U, 7U, 64U}) {
            expect_same(read_libsvm(file, most_per_read), *truth);
            expect_same(read_libsvm(file, most_per_read, false), *truth);
        }
    }
    // Line ends at every place of the buffer's end.
    for (std::size_t shift = 0; shift < 20; ++shift) {
        const std::string shifted = "#" + std::string(shift, '-') + "\n" + plain;
        expect_same(read_libsvm(shifted), *truth);
        EXPECT_EQ(error_of([&] { return read_libsvm(shifted + "1\r2"); }).offset(),
                  static_cast<std::int64_t>(shifted.size() + 1));
    }
}

TEST(ReadLibsvm, IsRightOrRefusesForEveryTruncation) {
    const std::string plain = "# c\r\n+1 1:0.5\t3:-2e3 # d\r\n-1\r\n2.5 12:0\r\n";
    for (std::size_t size = 0; size <= plain.size(); ++size) {
        expect_libsvm_right_or_refused(plain.substr(0, size), at_once);
        expect_libsvm_right_or_refused(plain.substr(0, size), 1);
    }
    const std::string whole = gzip(plain);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const read_error error = error_of([&] { return read_libsvm(whole.substr(0, size)); });
        EXPECT_GE(error.offset(), 0) << size;
        EXPECT_LE(error.offset(), static_cast<std::int64_t>(plain.size()));
    }
}

TEST(ReadLibsvm, IsRightOrRefusesForEveryValueOfEveryByte) {
    const std::string plain = "# c\r\n+1 1:0.5\t3:-2e3 # d\r\n-1\n2.5 12:0\n";
    ASSERT_TRUE(libsvm_oracle(plain));
    for (std::size_t i = 0; i < plain.size(); ++i) {
        for (int value = 0; value < 256; ++value) {
            std::string changed = plain;
            changed[i] = static_cast<char>(value);

            expect_libsvm_right_or_refused(changed, at_once);
            if (HasFatalFailure()) FAIL() << "byte " << i << " is " << value;
        }
    }
}

TEST(ReadLibsvm, IsRightOrRefusesAfterRandomChanges) {
    std::mt19937 random(20240610);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    const std::string telling = "0123456789.-+eE: \r\n#\t";
    int accepted = 0;
    for (int round = 0; round < 10000; ++round) {
        std::string changed = "+1 1:0.5\t3:-2e3 # d\r\n-1\n#\n2.5 12:0\n";
        for (std::size_t changes = 1 + below(4); changes > 0 && !changed.empty(); --changes) {
            const std::size_t at = below(changed.size());
            const char c = below(8) == 0 ? static_cast<char>(below(256)) : telling[below(telling.size())];
            switch (below(3)) {
                case 0:
                    changed[at] = c;
                    break;
                case 1:
                    changed.erase(at, 1 + below(4));
                    break;
                default:
                    changed.insert(at, 1 + below(4), c);
                    break;
            }
        }

        expect_libsvm_right_or_refused(changed, 1 + below(9));
        if (HasFatalFailure()) FAIL() << "round " << round << ": " << changed;
        accepted += libsvm_oracle(changed) ? 1 : 0;
    }
    EXPECT_GT(accepted, 1000);
}

}  // namespace
