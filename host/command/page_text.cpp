// SPDX-License-Identifier: Apache-2.0
#include "host/command/page_text.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace cubome::command {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD

/// The length of the character at the start of a text that is not empty; 0 where there is none (RFC 3629).
std::size_t character_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
    const unsigned char least = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned char most = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (byte(1) < least || byte(1) > most) return 0;
    for (std::size_t i = 2; i < length; ++i)
        if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
    return length;
}

/// Calls with each character, or with U+FFFD in the place of a byte that belongs to none.
template <class Use>
void for_each_character(std::string_view text, Use use) {
    while (!text.empty()) {
        const std::size_t length = character_length(text);
        use(length == 0 ? replacement : text.substr(0, length));
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
}

bool is_control(std::string_view character) {
    const auto first = static_cast<unsigned char>(character[0]);
    // U+0080 … U+009F are control characters, too.
    return first < 0x20 || first == 0x7F || (first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0);
}

/// "1e-07" → "1e-7"
std::string without_padding(std::string text) {
    const std::size_t e = text.find('e');
    if (e == std::string::npos) return text;
    std::string exponent = text.substr(e + 1);
    const bool is_negative = exponent[0] == '-';
    exponent.erase(0, exponent.find_first_not_of("+-0"));
    return text.substr(0, e) + "e" + (is_negative ? "-" : "") + exponent;
}

/// Commas between thousands of what stands before the point.
std::string with_commas(std::string text) {
    const std::size_t from = text.find_first_of("0123456789");
    std::size_t place = std::min(text.find('.'), text.size());
    for (; place > from + 3;) text.insert(place -= 3, 1, ',');
    return text;
}

std::string special(double x) {
    return std::isnan(x) ? "–" : x > 0 ? "∞" : "-∞";
}

}  // namespace

std::string escaped(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    for_each_character(text, [&](std::string_view c) {
        if (c == "<")
            result += "&lt;";
        else if (c == ">")
            result += "&gt;";
        else if (c == "&")
            result += "&amp;";
        else if (c == "\"")
            result += "&quot;";
        else if (c == "'")
            result += "&#39;";
        else if (is_control(c) && c != "\n" && c != "\t")
            result += replacement;
        else
            result += c;
    });
    return result;
}

std::string json_string(std::string_view text) {
    std::string result = "\"";
    for_each_character(text, [&](std::string_view c) {
        char code[8];
        if (c == "\"" || c == "\\") {
            result += "\\";
            result += c;
        } else if (c == "<" || c == ">" || c == "&" || c == "'" || static_cast<unsigned char>(c[0]) < 0x20) {
            std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c[0]));
            result += code;
        } else if (c == "\xE2\x80\xA8" || c == "\xE2\x80\xA9") {
            result += c == "\xE2\x80\xA8" ? "\\u2028" : "\\u2029";
        } else {
            result += c;
        }
    });
    return result + "\"";
}

std::string shortened(std::string_view text, std::size_t most) {
    std::vector<std::string_view> characters;
    for_each_character(text, [&](std::string_view c) { characters.push_back(c); });
    const bool is_cut = characters.size() > most && most > 0;
    const std::size_t head = is_cut ? (most - 1) / 2 : characters.size();
    const std::size_t tail = is_cut ? characters.size() - (most - 1 - head) : characters.size();
    std::string result;
    for (std::size_t i = 0; i < head; ++i) result += characters[i];
    if (is_cut) result += "…";
    for (std::size_t i = tail; i < characters.size(); ++i) result += characters[i];
    return result;
}

std::string spell_count(std::int64_t n) {
    return with_commas(std::to_string(n));
}

std::string spell_count(std::int64_t n, const char* noun) {
    return spell_count(n) + " " + noun + (n == 1 ? "" : "s");
}

std::string spell_share(std::int64_t part, std::int64_t whole) {
    if (whole <= 0) return "–";
    const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    if (part == 0) return "0 %";
    if (part == whole) return "100 %";
    if (percent < 0.05) return "under 0.1 %";
    if (percent > 99.95) return "over 99.9 %";
    char text[32];
    std::snprintf(text, sizeof text, "%.1f %%", percent);
    return text;
}

std::string spell_number(double x, int digits) {
    if (!std::isfinite(x)) return special(x);
    if (x == 0) return "0";
    char text[64];
    const double size = std::abs(x);
    if (x == std::round(x) && size < 1e7) {
        std::snprintf(text, sizeof text, "%.0f", x);
        return with_commas(text);
    }
    if (size >= 1e-4 && size < 1e6) {
        // %g leaves trailing zeros out, which is right for a number that stands alone.
        std::snprintf(text, sizeof text, "%.*g", std::max(digits, static_cast<int>(std::floor(std::log10(size))) + 1),
                      x);
        // One that is rounded up to the next power of ten would get an exponent.
        if (std::string_view(text).find('e') != std::string_view::npos) std::snprintf(text, sizeof text, "%.0f", x);
        return with_commas(text);
    }
    std::snprintf(text, sizeof text, "%.*g", digits, x);
    return without_padding(text);
}

std::string number_style::spell(double x) const {
    if (!std::isfinite(x)) return special(x);
    char text[400];
    if (is_scientific) {
        if (x == 0) return "0";
        std::snprintf(text, sizeof text, "%.*e", decimals, x);
        std::string result = without_padding(text);
        return result.ends_with("e") ? result + "0" : result;
    }
    std::snprintf(text, sizeof text, "%.*f", decimals, x);
    // What rounds to nothing has no sign.
    if (text[0] == '-' && std::string_view(text).find_first_of("123456789") == std::string_view::npos)
        return with_commas(text + 1);
    return with_commas(text);
}

number_style style_of(std::span<const double> numbers, double resolution) {
    double most = 0, least = 0;
    bool are_whole = true;
    for (const double x : numbers) {
        if (!std::isfinite(x) || x == 0) continue;
        const double size = std::abs(x);
        most = std::max(most, size);
        least = least == 0 ? size : std::min(least, size);
        are_whole = are_whole && x == std::round(x);
    }
    if (most == 0 || (are_whole && most < 1e7)) return {false, 0};
    if (most >= 1e6 || most < 1e-3 || most / least > 1e5) return {true, 2};
    const bool is_known = std::isfinite(resolution) && resolution > 0;
    const int wanted = is_known ? static_cast<int>(std::ceil(-std::log10(resolution)))
                                : 3 - static_cast<int>(std::floor(std::log10(most)));
    return {false, std::clamp(wanted, 0, 6)};
}

}  // namespace cubome::command
