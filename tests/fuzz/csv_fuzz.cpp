// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/readers_fuzz.hpp"

namespace {

using namespace readers_fuzz;

struct csv_format {
    using result_type = cubome::csv_table;

    static result_type read(const memory_file& file, const std::string& name) {
        return cubome::detail::read_csv(file, name);
    }

    static bool same(const result_type& a, const result_type& b) {
        return a.names == b.names && a.num_rows == b.num_rows && a.num_columns == b.num_columns &&
               same_bits(a.values, b.values);
    }

    static void check(const result_type& table, const byte_vector& /*plain*/) {
        REQUIRE(table.num_columns >= 1 && table.num_rows >= 0);
        REQUIRE(table.names.size() == static_cast<std::size_t>(table.num_columns));
        REQUIRE(table.values.size() == static_cast<std::size_t>(table.num_rows * table.num_columns));
        REQUIRE(all_finite(table.values));
    }

    static byte_vector written(const result_type& table) {
        std::string text;
        for (std::size_t j = 0; j < table.names.size(); ++j) text += (j > 0 ? "," : "") + table.names[j];
        for (std::size_t i = 0; i < table.values.size(); ++i) {
            text += (i % table.names.size() == 0 ? '\n' : ',') + shortest(table.values[i]);
        }
        return bytes_of(text);
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz<csv_format>(data, size);
}
