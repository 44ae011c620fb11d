// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/readers_fuzz.hpp"

namespace {

using namespace readers_fuzz;

struct idx_format {
    using result_type = cubome::idx_array;

    static result_type read(const memory_file& file, const std::string& name) {
        return cubome::detail::read_idx(file, name);
    }

    static bool same(const result_type& a, const result_type& b) {
        return a.extents == b.extents && a.values == b.values;
    }

    static void check(const result_type& array, const byte_vector& plain) {
        REQUIRE(!array.extents.empty() && array.extents.size() <= 4);
        double num_values = 1;  // exact for the sizes that an input has
        for (const std::int64_t extent : array.extents) {
            REQUIRE(extent >= 0 && extent <= 0xffffffff);
            num_values *= static_cast<double>(extent);
        }
        REQUIRE(num_values == static_cast<double>(array.values.size()));
        REQUIRE(4 + 4 * array.extents.size() + array.values.size() == plain.size());
    }

    static byte_vector written(const result_type& array) {
        byte_vector bytes = {0, 0, 8, static_cast<std::uint8_t>(array.extents.size())};
        for (const std::int64_t extent : array.extents) {
            for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(extent >> shift));
        }
        bytes.insert(bytes.end(), array.values.begin(), array.values.end());
        return bytes;
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz<idx_format>(data, size);
}
