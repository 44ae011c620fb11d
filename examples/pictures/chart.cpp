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

/// What a chart is drawn with, on light or dark paper.
struct palette {
    const char *paper, *ink, *grid, *guide;
    std::array<const char*, 6> lines;
};
constexpr palette light = {
    "#ffffff", "#222222", "#e4e4e4", "#777777", {"#1f5fa8", "#c2571a", "#2d8a4e", "#8a3ea8", "#a83232", "#5f5f5f"}};
constexpr palette dark = {
    "#15181c", "#dddddd", "#33383e", "#999999", {"#6aa9f0", "#f0915a", "#66c98a", "#cb8ae6", "#ee7c7c", "#b5b5b5"}};

constexpr std::array dashes = {"none", "7 3", "2 3"};  ///< for lines beyond the colours

/// An axis: values from `low` to `high` onto [0, 1].
struct axis {
    explicit axis(scale s) : is_linear(s == scale::linear) {}

    bool is_linear;
    double low = std::numeric_limits<double>::infinity();
    double high = -std::numeric_limits<double>::infinity();

    void include(double value) { low = std::min(low, value), high = std::max(high, value); }
    double at(double value) const {
        return is_linear ? (value - low) / (high - low) : std::log(value / low) / std::log(high / low);
    }
    /// A linear axis gets some room at its ends, and one that has no length some length.
    void widen() {
        if (!is_linear) return;
        const double room = high > low ? 0.04 * (high - low) : 0.5;
        low -= low == 0 ? 0 : room;
        high += room;
    }
};

/// A step of 1, 2 or 5 times a power of ten that cuts a length into four to ten pieces.
double step_of(double length) {
    const double power = std::pow(10, std::floor(std::log10(length / 4)));
    for (const double digit : {5.0, 2.0})
        if (length / (digit * power) >= 4) return digit * power;
    return power;
}

/// The numbers of an axis: steps, or powers of ten, with 2 and 5 between them where there are few.
std::vector<double> ticks_of(const axis& a) {
    std::vector<double> result;
    if (a.is_linear) {
        const double step = step_of(a.high - a.low);
        for (double k = std::ceil(a.low / step); k * step <= a.high; ++k) result.push_back(k * step);
        return result;
    }
    const bool is_short = std::log10(a.high / a.low) < 2.5;
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

void write_rules(std::ostream& svg, const palette& p) {
    svg << "text{fill:" << p.ink << "}.paper{fill:" << p.paper << "}.grid{stroke:" << p.grid
        << "}path.guide{stroke:" << p.guide << "}text.guide{fill:" << p.guide << "}";
    for (std::size_t i = 0; i < p.lines.size(); ++i)
        svg << "path.c" << i << "{stroke:" << p.lines[i] << "}text.c" << i << "{fill:" << p.lines[i] << "}";
    svg << "\n";
}

void write_style(std::ostream& svg) {
    svg << "<style>\npath{fill:none}path.line{stroke-width:2}path.guide{stroke-width:1.2;stroke-dasharray:5 4}\n";
    write_rules(svg, light);
    svg << "@media(prefers-color-scheme:dark){\n";
    write_rules(svg, dark);
    svg << "}\n</style>\n";
}

/// Draws one chart into the rectangle that is its own.
void draw(std::ostream& svg, const chart& what) {
    axis x(what.x_scale), y(what.y_scale);
    for (const line& l : what.lines)
        for (const point& p : l.points) x.include(p.x), y.include(p.y);
    x.widen(), y.widen();
    const auto to_x = [&](double value) { return left + (width - left - right) * x.at(value); };
    const auto to_y = [&](double value) { return height - bottom - (height - top - bottom) * y.at(value); };

    write_text(svg, left, top - 18, "font-size=\"15\" font-weight=\"bold\"", what.title);
    for (const double tick : ticks_of(x)) {
        svg << "<path class=\"grid\" d=\"M" << coordinate(to_x(tick)) << " " << coordinate(top) << "V"
            << coordinate(height - bottom) << "\"/>\n";
        write_text(svg, to_x(tick), height - bottom + 17, "text-anchor=\"middle\"", spell(tick));
    }
    for (const double tick : ticks_of(y)) {
        svg << "<path class=\"grid\" d=\"M" << coordinate(left) << " " << coordinate(to_y(tick)) << "H"
            << coordinate(width - right) << "\"/>\n";
        write_text(svg, left - 8, to_y(tick) + 4, "text-anchor=\"end\"", spell(tick));
    }
    write_text(svg, (left + width - right) / 2, height - 14, "text-anchor=\"middle\"", what.x_label);
    svg << "<g transform=\"translate(18 " << coordinate((top + height - bottom) / 2) << ") rotate(-90)\">";
    write_text(svg, 0, 0, "text-anchor=\"middle\"", what.y_label);
    svg << "</g>\n";

    std::vector<std::string> class_of, dash_of;
    for (std::size_t next = 0; const line& l : what.lines) {
        class_of.push_back(l.is_guide ? "guide" : "line c" + std::to_string(next % light.lines.size()));
        dash_of.emplace_back(l.is_guide ? "" : dashes[next / light.lines.size() % dashes.size()]);
        next += !l.is_guide;
    }
    // Labels stand beside the ends of their lines, moved apart from the top down, and up again from the bottom.
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < what.lines.size(); ++i) order.push_back(i);
    const auto end_of = [&](std::size_t i) { return to_y(what.lines[i].points.back().y); };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return end_of(a) < end_of(b); });
    std::vector<double> label_at;
    for (const std::size_t i : order)
        label_at.push_back(label_at.empty() ? end_of(i) : std::max(label_at.back() + label_height, end_of(i)));
    double highest = height - label_height / 2;
    for (std::size_t k = label_at.size(); k-- > 0; highest -= label_height)
        highest = label_at[k] = std::min(label_at[k], highest);
    for (std::size_t k = 0; k < order.size(); ++k) {
        const line& l = what.lines[order[k]];
        svg << "<path class=\"" << class_of[order[k]] << "\"";
        if (!l.is_guide) svg << " stroke-dasharray=\"" << dash_of[order[k]] << "\"";
        svg << " d=\"";
        for (const char* move = "M"; const point& p : l.points) {
            svg << move << coordinate(to_x(p.x)) << " " << coordinate(to_y(p.y));
            move = "L";
        }
        svg << "\"/>\n";
        const std::string attributes = "class=\"" + class_of[order[k]] + "\"";
        write_text(svg, width - right + 8, label_at[k] + 4, attributes.c_str(), l.label);
    }
}

}  // namespace

void write_svg(const std::vector<chart>& charts, const std::filesystem::path& file) {
    std::ofstream svg(file);
    svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width << " "
        << height * static_cast<double>(charts.size()) << "\" font-family=\"sans-serif\" font-size=\"12\">\n";
    write_style(svg);
    svg << "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n";
    for (std::size_t i = 0; i < charts.size(); ++i) {
        svg << "<g transform=\"translate(0 " << coordinate(height * static_cast<double>(i)) << ")\">\n";
        draw(svg, charts[i]);
        svg << "</g>\n";
    }
    svg << "</svg>\n";
    svg.close();
    if (!svg) throw std::runtime_error("cannot write " + file.string());
}

void write_svg(const chart& what, const std::filesystem::path& file) {
    write_svg(std::vector<chart>{what}, file);
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
