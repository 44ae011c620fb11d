// SPDX-License-Identifier: Apache-2.0
#include "host/readers/text.hpp"

#include <charconv>
#include <cmath>
#include <system_error>

namespace cubome::detail::readers {

number_fault parse_number(std::string_view text, double& value) {
    if (text.empty()) return number_fault::empty;
    const char* const end = text.data() + text.size();
    value = 0;
    const auto [stop, code] = std::from_chars(text.data(), end, value);
    if (code == std::errc::invalid_argument || stop != end) return number_fault::not_a_number;
    const bool spelled_out = text.find_first_of("nN") != text.npos;  // nan, inf, infinity: no other number has an n
    if (spelled_out) return number_fault::not_finite;
    // What from_chars does at the two ends of the range differs between libraries; these are the same everywhere.
    const std::string_view significand = text.substr(0, text.find_first_of("eE"));
    const bool is_zero = significand.find_first_of("123456789") == significand.npos;
    if (is_zero) return number_fault::none;  // value is 0 or -0, whatever the exponent
    if (code != std::errc() || std::isinf(value) || value == 0) return number_fault::out_of_range;
    return number_fault::none;
}

std::string describe(number_fault fault, std::string_view text) {
    switch (fault) {
        case number_fault::not_a_number:
            return excerpt(text) + " is not a number";
        case number_fault::out_of_range:
            return excerpt(text) + " is outside the range of double";
        case number_fault::not_finite:
            return excerpt(text) + " is not finite";
        case number_fault::empty:
        case number_fault::none:
            break;
    }
    return "";
}

}  // namespace cubome::detail::readers
