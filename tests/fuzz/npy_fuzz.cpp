// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/readers_fuzz.hpp"

namespace {

using namespace readers_fuzz;

struct npy_format {
    using result_type = cubome::npy_array;

    static result_type read(const memory_file& file, const std::string& name) {
        return cubome::detail::read_npy(file, name);
    }

    static bool same(const result_type& a, const result_type& b) {
        return a.extents == b.extents && same_bits(a.values, b.values);
    }

    static void check(const result_type& array, const byte_vector& plain) {
        REQUIRE(array.extents.size() <= 4);
        // Exact for the sizes that an input has; the extents beside a 0 may be any.
        double num_values = 1;
        for (const std::int64_t extent : array.extents) {
            REQUIRE(extent >= 0);
            num_values *= static_cast<double>(extent);
        }
        REQUIRE(num_values == static_cast<double>(array.values.size()));
        REQUIRE(all_finite(array.values));

        // The first digit behind the key is the size of the type.
        const std::string text(plain.begin(), plain.end());
        const std::size_t digit = text.find_first_of("0123456789", text.find("descr"));
        REQUIRE(digit != text.npos);
        const auto value_size = static_cast<std::size_t>(text[digit] - '0');
        const bool is_short = plain[6] == 1;
        std::size_t header = plain[8] + std::size_t{256} * plain[9] + (is_short ? 10 : 12);
        if (!is_short) header += (std::size_t{plain[10]} << 16) + (std::size_t{plain[11]} << 24);
        REQUIRE(header + array.values.size() * value_size == plain.size());
    }

    static byte_vector written(const result_type& array) {
        std::string header = "{'shape': (";
        for (const std::int64_t extent : array.extents) header += std::to_string(extent) + ",";
        header += "), 'descr': '>f8', 'fortran_order': False}\n";
        std::string text = "\x93NUMPY";
        text += {3, 0, static_cast<char>(header.size()), 0, 0, 0};
        text += header;
        for (const double value : array.values) {
            std::uint64_t bits = 0;
            std::memcpy(&bits, &value, sizeof(bits));
            for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(bits >> shift & 0xffU);
        }
        return bytes_of(text);
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz<npy_format>(data, size);
}
