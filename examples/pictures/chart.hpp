// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pictures {

struct point {
    double x, y;
};

/// One line of a chart. Lines are told apart by colour, dashes where there are many, and the label at their end.
struct line {
    std::string label;
    std::vector<point> points;
    bool is_guide = false;  ///< thin, grey and dashed: what is predicted or given, not measured along x
};

enum class scale { logarithmic, linear };

/// A chart. What is drawn on a logarithmic axis is > 0.
struct chart {
    std::string title, x_label, y_label;
    std::vector<line> lines;
    scale x_scale = scale::logarithmic, y_scale = scale::logarithmic;
};

/// Writes charts as one SVG, one below the other, light or dark as the reader's screen is.
/// @throws std::runtime_error if the file cannot be written
void write_svg(const std::vector<chart>& charts, const std::filesystem::path& file);
void write_svg(const chart& what, const std::filesystem::path& file);

/// The slope of log y over log x, by least squares.
double slope_of(const std::vector<point>& points);

}  // namespace pictures
