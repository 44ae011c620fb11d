// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pictures {

struct point {
    double x, y;
};

/// One line of a chart. Lines are told apart by colour and by the label at their end.
struct line {
    std::string label;
    std::vector<point> points;  ///< x and y > 0
    bool is_guide = false;      ///< thin, grey and dashed: what is predicted, not measured
};

/// A chart with logarithmic axes.
struct chart {
    std::string title, x_label, y_label;
    std::vector<line> lines;
};

/// Writes the chart as SVG.
/// @throws std::runtime_error if the file cannot be written
void write_svg(const chart& what, const std::filesystem::path& file);

/// The slope of log y over log x, by least squares.
double slope_of(const std::vector<point>& points);

}  // namespace pictures
