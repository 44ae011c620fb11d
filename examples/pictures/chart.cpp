// SPDX-License-Identifier: Apache-2.0
#include "chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <stdexcept>

namespace pictures {
namespace {

constexpr double width = 720, height = 440;
constexpr double left = 74, right = 196, top = 44, bottom = 56;
constexpr double label_height = 15;
constexpr std::array colours = {"#1f5fa8", "#c2571a", "#2d8a4e", "#8a3ea8", "#a83232", "#5f5f5f"};

/// A logarithmic axis: values from `low` to `high` onto [0, 1].
struct axis {
    double low = std::numeric_limits<double>::infinity();
    double high = 0;

    void include(double value) { low = std::min(low, value), high = std::max(high, value); }
    double at(double value) const { return std::log(value / low) / std::log(high / low); }
};

/// The numbers of an axis: powers of ten, and 2 and 5 between them where there are few.
std::vector<double> ticks_of(const axis& a) {
    const bool is_short = std::log10(a.high / a.low) < 2.5;
    std::vector<double> result;
    for (int power = static_cast<int>(std::floor(std::log10(a.low))); power <= std::log10(a.high) + 1; ++power) {
        for (const double digit : {1.0, 2.0, 5.0}) {
            const double value = digit * std::pow(10, power);
            const bool is_inside = value >= a.low * 0.999 && value <= a.high * 1.001;
            if (is_inside && (digit == 1 || is_short)) result.push_back(value);
        }
    }
    return result;
}

std::string spell(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value);
    return text;
}

std::string coordinate(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
}

std::string escaped(const std::string& text) {
    std::string result;
    for (const char c : text) {
        if (c == '<')
            result += "&lt;";
        else if (c == '&')
            result += "&amp;";
        else
            result += c;
    }
    return result;
}

void write_text(std::ostream& svg, double x, double y, const char* attributes, const std::string& text) {
    svg << "<text x=\"" << coordinate(x) << "\" y=\"" << coordinate(y) << "\" " << attributes << ">" << escaped(text)
        << "</text>\n";
}

}  // namespace

void write_svg(const chart& what, const std::filesystem::path& file) {
    axis x, y;
    for (const line& l : what.lines)
        for (const point& p : l.points) x.include(p.x), y.include(p.y);
    const auto to_x = [&](double value) { return left + (width - left - right) * x.at(value); };
    const auto to_y = [&](double value) { return height - bottom - (height - top - bottom) * y.at(value); };

    std::ofstream svg(file);
    svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width << " " << height
        << "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n"
        << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
    write_text(svg, left, top - 18, "font-size=\"15\" font-weight=\"bold\"", what.title);
    for (const double tick : ticks_of(x)) {
        svg << "<path d=\"M" << coordinate(to_x(tick)) << " " << coordinate(top) << "V" << coordinate(height - bottom)
            << "\" stroke=\"#e4e4e4\"/>\n";
        write_text(svg, to_x(tick), height - bottom + 17, "text-anchor=\"middle\"", spell(tick));
    }
    for (const double tick : ticks_of(y)) {
        svg << "<path d=\"M" << coordinate(left) << " " << coordinate(to_y(tick)) << "H" << coordinate(width - right)
            << "\" stroke=\"#e4e4e4\"/>\n";
        write_text(svg, left - 8, to_y(tick) + 4, "text-anchor=\"end\"", spell(tick));
    }
    write_text(svg, (left + width - right) / 2, height - 14, "text-anchor=\"middle\"", what.x_label);
    svg << "<g transform=\"translate(18 " << coordinate((top + height - bottom) / 2) << ") rotate(-90)\">";
    write_text(svg, 0, 0, "text-anchor=\"middle\"", what.y_label);
    svg << "</g>\n";

    std::vector<std::string> colour_of;
    for (std::size_t next = 0; const line& l : what.lines)
        colour_of.emplace_back(l.is_guide ? "#888" : colours[next++ % colours.size()]);
    // Labels stand beside the ends of their lines, moved apart from the top down.
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < what.lines.size(); ++i) order.push_back(i);
    const auto end_of = [&](std::size_t i) { return to_y(what.lines[i].points.back().y); };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return end_of(a) < end_of(b); });
    double lowest = top - label_height;
    for (const std::size_t i : order) {
        const line& l = what.lines[i];
        svg << "<path d=\"";
        for (const char* move = "M"; const point& p : l.points) {
            svg << move << coordinate(to_x(p.x)) << " " << coordinate(to_y(p.y));
            move = "L";
        }
        svg << "\" fill=\"none\" stroke=\"" << colour_of[i] << "\" "
            << (l.is_guide ? "stroke-width=\"1.2\" stroke-dasharray=\"5 4\"" : "stroke-width=\"2\"") << "/>\n";
        lowest = std::max(lowest + label_height, end_of(i));
        const std::string fill = "fill=\"" + colour_of[i] + "\"";
        write_text(svg, width - right + 8, lowest + 4, fill.c_str(), l.label);
    }
    svg << "</svg>\n";
    svg.close();
    if (!svg) throw std::runtime_error("cannot write " + file.string());
}

double slope_of(const std::vector<point>& points) {
    double n = 0, sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
    for (const point& p : points) {
        const double x = std::log(p.x), y = std::log(p.y);
        n += 1, sum_x += x, sum_y += y, sum_xx += x * x, sum_xy += x * y;
    }
    return (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x);
}

}  // namespace pictures
