// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// How a page spells what comes from data: texts that cannot end what they stand in, and numbers with sensible digits.
namespace cubome::command {

/// Text for HTML, between tags or in a quoted attribute. What is no UTF-8, and control characters other than line ends
/// and tabs, become U+FFFD.
std::string escaped(std::string_view text);

/// A JSON string with its quotes, that may stand inside <script>: no '<', '>', '&', and no line separators.
std::string json_string(std::string_view text);

/// The text with its middle cut out, so that at most so many characters are left.
std::string shortened(std::string_view text, std::size_t most);

/// "4,000"
std::string spell_count(std::int64_t n);

/// "1 problem", "4,000 problems"
std::string spell_count(std::int64_t n, const char* noun);

/// "12.3 %"; never 0 % or 100 % of what is not that.
std::string spell_share(std::int64_t part, std::int64_t whole);

/// So many significant digits, without a superfluous exponent: "0.0412", "1,234", "3.2e-7"; "–" for NaN.
std::string spell_number(double x, int digits = 4);

/// One way to write all numbers of a column, so that their digits stand below each other.
struct number_style {
    bool is_scientific = false;
    int decimals = 3;

    std::string spell(double x) const;
};

/// The style of some numbers that are known to about `resolution`; 0 or NaN where that is not known.
number_style style_of(std::span<const double> numbers, double resolution);

}  // namespace cubome::command
