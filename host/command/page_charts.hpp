// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What charts are made of: scales, the numbers along them, and an SVG that grows line by line.
namespace cubome::command {

/// Numbers from low to high onto [0, 1]; beyond the ends they stay at the ends.
struct scale {
    double low = 0, high = 1;
    bool is_log = false;

    double at(double x) const;
};

/// A scale over these numbers with a little room at its ends. Logarithmic where all are positive and the greatest is
/// more than `log_from` times the least; never where `log_from` is 0.
scale scale_over(std::span<const double> numbers, double log_from);

/// The same for numbers that are spread over the scale: logarithmic only where their median then lies nearer the
/// middle.
scale scale_among(std::span<const double> numbers, double log_from);

/// At most about so many round numbers on the scale.
std::vector<double> ticks_of(const scale& s, int most);

/// All ticks alike: "0.90", "0.95", "1.00".
std::vector<std::string> spell_ticks(const scale& s, std::span<const double> ticks);

/// A coordinate: one digit behind the point, if it is not 0.
std::string coordinate(double x);

/// The part of a drawing that data lies in.
struct plot_area {
    double left = 0, top = 0, right = 0, bottom = 0;

    double x(double share) const { return left + (right - left) * share; }
    double y(double share) const { return bottom - (bottom - top) * share; }
};

/// Collects the elements of an SVG; colours come from the page's classes.
class drawing {
public:
    /// @param label what the picture shows, for those who cannot see it
    drawing(double width, double height, std::string_view classes, std::string_view label,
            std::string_view attributes = {});

    /// A text that is escaped here.
    void text(double x, double y, std::string_view classes, std::string_view what, std::string_view attributes = {});
    void path(std::string_view classes, std::string_view d);
    void line(std::string_view classes, double x1, double y1, double x2, double y2);
    void dot(double x, double y, double radius, std::string_view classes = {});
    /// An area, hardly visible or not at all, that says more when pointed at; the words are escaped here.
    void spot(double x, double y, double width, double height, std::string_view words);
    /// Opens a group of things that belong together; the words are escaped here.
    void begin_mark(std::string_view words);
    void end_mark() { svg_ += "</g>\n"; }

    /// The numbers along the vertical side, with lines across, and the line at the bottom.
    void side(const plot_area& area, const scale& y, int most);

    std::string finished() { return svg_ + "</svg>\n"; }

private:
    std::string svg_;
};

/// The colour of a share in [0, 1] on the ramp viridis, as "#rrggbb".
std::string ramp_colour(double share);

/// Whether black or white is read better on it: "#000" or "#fff".
const char* ink_on(const std::string& colour);

}  // namespace cubome::command
