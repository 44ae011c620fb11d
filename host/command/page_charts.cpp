// SPDX-License-Identifier: Apache-2.0
#include "host/command/page_charts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "host/command/page_text.hpp"

namespace cubome::command {
namespace {

/// Of the ramp viridis (S. van der Walt, N. Smith: CC0), at equal steps.
constexpr std::array<std::array<int, 3>, 9> ramp = {{{68, 1, 84},
                                                     {71, 44, 122},
                                                     {59, 82, 139},
                                                     {44, 113, 142},
                                                     {33, 145, 140},
                                                     {39, 173, 129},
                                                     {92, 200, 99},
                                                     {170, 220, 50},
                                                     {253, 231, 37}}};

/// The luminance of a colour (WCAG 2.1).
double luminance_of(const std::string& colour) {
    double result = 0;
    constexpr double weights[3] = {0.2126, 0.7152, 0.0722};
    for (std::size_t i = 0; i < 3; ++i) {
        const double c = std::stoi(colour.substr(1 + 2 * i, 2), nullptr, 16) / 255.0;
        result += weights[i] * (c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4));
    }
    return result;
}

}  // namespace

double scale::at(double x) const {
    if (is_log && !(x > 0)) return 0;
    if (!(high > low)) return 0.5;
    const double share =
        is_log ? (std::log(x) - std::log(low)) / (std::log(high) - std::log(low)) : (x - low) / (high - low);
    return std::clamp(share, 0.0, 1.0);
}

scale scale_over(std::span<const double> numbers, double log_from) {
    scale s{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), false};
    // Beyond these the ends' difference is no number.
    constexpr double most = 1e300;
    for (const double number : numbers) {
        if (!std::isfinite(number)) continue;
        const double x = std::clamp(number, -most, most);
        s.low = std::min(s.low, x), s.high = std::max(s.high, x);
    }
    if (s.low > s.high) return {};
    if (s.low == s.high) {
        const double room = s.low == 0 ? 1 : std::abs(s.low) * 0.1;
        return {s.low - room, s.high + room, false};
    }
    s.is_log = log_from > 0 && s.low > 0 && s.high / s.low > log_from;
    if (s.is_log) {
        const double room = std::exp(0.03 * (std::log(s.high) - std::log(s.low)));
        return {std::max(s.low / room, std::numeric_limits<double>::min()), std::min(s.high * room, 10 * most), true};
    }
    const double room = (s.high - s.low) * 0.03;
    return {s.low - room, s.high + room, false};
}

scale scale_among(std::span<const double> numbers, double log_from) {
    const scale logarithmic = scale_over(numbers, log_from), linear = scale_over(numbers, 0);
    if (!logarithmic.is_log) return linear;
    std::vector<double> sorted(numbers.begin(), numbers.end());
    std::erase_if(sorted, [](double x) { return !std::isfinite(x); });
    std::sort(sorted.begin(), sorted.end());
    const double median = sorted[sorted.size() / 2];
    return std::abs(logarithmic.at(median) - 0.5) < std::abs(linear.at(median) - 0.5) ? logarithmic : linear;
}

std::vector<double> ticks_of(const scale& s, int most) {
    std::vector<double> result;
    if (s.is_log) {
        const double decades = std::log10(s.high) - std::log10(s.low);
        const int first = static_cast<int>(std::floor(std::log10(s.low)));
        const int last = static_cast<int>(std::ceil(std::log10(s.high)));
        const auto add = [&](int power, double digit) {
            const double x = digit * std::pow(10, power);
            if (x >= s.low && x <= s.high) result.push_back(x);
        };
        if (decades < 1.2) {
            for (int power = first; power <= last; ++power)
                for (const double digit : {1.0, 2.0, 3.0, 5.0, 7.0}) add(power, digit);
        } else if (decades < 2.5) {
            for (int power = first; power <= last; ++power)
                for (const double digit : {1.0, 3.0}) add(power, digit);
        } else {
            const int stride = std::max(1, static_cast<int>(std::ceil(decades / most)));
            for (int power = first; power <= last; ++power)
                if (power % stride == 0) add(power, 1);
        }
        if (result.size() >= 2) return result;
        result.clear();
    }
    const double wanted = (s.high - s.low) / most;
    if (!(wanted > 0) || !std::isfinite(wanted)) return result;
    const double power = std::pow(10, std::floor(std::log10(wanted)));
    double step = 10 * power;
    for (const double digit : {5.0, 2.0, 1.0})
        if (digit * power >= wanted * 0.999) step = digit * power;
    for (double n = std::ceil(s.low / step); n * step <= s.high && result.size() < 100; ++n)
        result.push_back(n == 0 ? 0.0 : n * step);
    return result.size() < 2 && most < 20 ? ticks_of(s, 2 * most) : result;
}

std::vector<std::string> spell_ticks(const scale& s, std::span<const double> ticks) {
    std::vector<std::string> result;
    if (s.is_log) {
        for (const double x : ticks) {
            const bool is_plain = x >= 0.0099 && x < 1.01e4;
            result.push_back(is_plain ? spell_number(x) : number_style{true, 0}.spell(x));
        }
        return result;
    }
    double step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1, most = 0;
    for (const double x : ticks) most = std::max(most, std::abs(x));
    const bool is_plain = most < 1e6 && (most >= 1e-3 || most == 0);
    const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 8);
    for (const double x : ticks)
        result.push_back(is_plain ? number_style{false, decimals}.spell(x) : x == 0 ? "0" : spell_number(x, 3));
    return result;
}

std::string coordinate(double x) {
    char text[48];
    std::snprintf(text, sizeof text, "%.1f", x);
    std::string result = text;
    if (result.ends_with(".0")) result.resize(result.size() - 2);
    return result == "-0" ? "0" : result;
}

drawing::drawing(double width, double height, std::string_view classes, std::string_view label,
                 std::string_view attributes) {
    svg_ = "<svg class=\"" + std::string(classes) + "\" viewBox=\"0 0 " + coordinate(width) + " " + coordinate(height) +
           "\" width=\"" + coordinate(width) + "\" height=\"" + coordinate(height) + "\" role=\"img\" aria-label=\"" +
           escaped(label) + "\"" + std::string(attributes) + ">\n";
}

void drawing::text(double x, double y, std::string_view classes, std::string_view what, std::string_view attributes) {
    svg_ += "<text x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" class=\"" + std::string(classes) + "\"" +
            std::string(attributes) + ">" + escaped(what) + "</text>\n";
}

void drawing::path(std::string_view classes, std::string_view d) {
    svg_ += "<path class=\"" + std::string(classes) + "\" d=\"" + std::string(d) + "\"/>\n";
}

void drawing::line(std::string_view classes, double x1, double y1, double x2, double y2) {
    path(classes, "M" + coordinate(x1) + " " + coordinate(y1) + "L" + coordinate(x2) + " " + coordinate(y2));
}

void drawing::dot(double x, double y, double radius, std::string_view classes) {
    svg_ += "<circle" + (classes.empty() ? std::string() : " class=\"" + std::string(classes) + "\"") + " cx=\"" +
            coordinate(x) + "\" cy=\"" + coordinate(y) + "\" r=\"" + coordinate(radius) + "\"/>\n";
}

void drawing::spot(double x, double y, double width, double height, std::string_view words) {
    svg_ += "<rect class=\"spot\" x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" width=\"" +
            coordinate(width) + "\" height=\"" + coordinate(height) + "\"><title>" + escaped(words) +
            "</title></rect>\n";
}

void drawing::begin_mark(std::string_view words) {
    svg_ += "<g class=\"mark\"><title>" + escaped(words) + "</title>";
}

void drawing::side(const plot_area& area, const scale& y, int most) {
    const std::vector<double> ticks = ticks_of(y, most);
    const std::vector<std::string> labels = spell_ticks(y, ticks);
    for (std::size_t i = 0; i < ticks.size(); ++i) {
        const double at = area.y(y.at(ticks[i]));
        line("grid", area.left, at, area.right, at);
        text(area.left - 5, at + 3.5, "end", labels[i]);
    }
    line("base", area.left, area.bottom, area.right, area.bottom);
}

std::string ramp_colour(double share) {
    const double at = std::clamp(share, 0.0, 1.0) * static_cast<double>(ramp.size() - 1);
    const auto below = std::min(static_cast<std::size_t>(at), ramp.size() - 2);
    const double rest = at - static_cast<double>(below);
    char text[8];
    int parts[3];
    for (std::size_t i = 0; i < 3; ++i)
        parts[i] = static_cast<int>(std::lround(ramp[below][i] + rest * (ramp[below + 1][i] - ramp[below][i]))) & 255;
    std::snprintf(text, sizeof text, "#%02x%02x%02x", static_cast<unsigned>(parts[0]), static_cast<unsigned>(parts[1]),
                  static_cast<unsigned>(parts[2]));
    return text;
}

const char* ink_on(const std::string& colour) {
    const double luminance = luminance_of(colour);
    return (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) ? "#000" : "#fff";
}

}  // namespace cubome::command
