// SPDX-License-Identifier: Apache-2.0
#include "host/command/terminal.hpp"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "host/command/page_text.hpp"

namespace cubome::command {
namespace {

constexpr double seconds_between_lines = 10;
constexpr int bar_width = 30;

std::string rate(const sweep_progress& p) {
    char text[32];
    std::snprintf(text, sizeof text, p.problems_per_second < 100 ? "%.1f/s" : "%.0f/s", p.problems_per_second);
    return text;
}

std::string left(const sweep_progress& p) {
    return std::isfinite(p.seconds_left) ? duration(p.seconds_left) + " left" : "time left unknown";
}

}  // namespace

progress_display::progress_display(speech how) : how_(how), is_terminal_(isatty(STDERR_FILENO) == 1) {}

void progress_display::show(const sweep_progress& p) {
    const double share = p.num_problems > 0 ? static_cast<double>(p.num_done) / static_cast<double>(p.num_problems) : 1;
    if (how_ == speech::program) {
        nlohmann::ordered_json line;
        line["event"] = "progress";
        line["problems"] = p.num_problems;
        line["done"] = p.num_done;
        line["durable"] = p.num_received;
        line["converged"] = p.num_converged;
        line["failed"] = p.num_failed;
        line["seconds"] = p.seconds;
        line["per_second"] = p.problems_per_second;
        if (std::isfinite(p.seconds_left)) line["seconds_left"] = p.seconds_left;
        std::fprintf(stderr, "%s\n", line.dump().c_str());
    } else if (is_terminal_) {
        std::string bar;
        for (int i = 0; i < bar_width; ++i) bar += i < static_cast<int>(share * bar_width) ? "━" : " ";
        // Without the wrap of lines: what a narrow terminal has no room for is cut off.
        std::fprintf(stderr, "\r\033[K\033[?7l%s %3.0f %%  %s of %s  %s  %s%s\033[?7h", bar.c_str(),
                     std::floor(100 * share), spell_count(p.num_done).c_str(), spell_count(p.num_problems).c_str(),
                     rate(p).c_str(), left(p).c_str(),
                     p.num_failed > 0 ? ("  " + spell_count(p.num_failed) + " failed").c_str() : "");
        has_bar_ = true;
    } else if (p.seconds >= next_line_ && p.num_done < p.num_problems) {
        if (next_line_ > 0)
            std::fprintf(stderr, "%s of %s problems, %s, %s\n", spell_count(p.num_done).c_str(),
                         spell_count(p.num_problems).c_str(), rate(p).c_str(), left(p).c_str());
        next_line_ = p.seconds + seconds_between_lines;
    }
    std::fflush(stderr);
}

void progress_display::end() {
    if (has_bar_) std::fputs("\n", stderr);
    has_bar_ = false;
}

std::string duration(double seconds) {
    char text[48];
    if (seconds < 9.95) {
        std::snprintf(text, sizeof text, "%.1f s", seconds);
        return text;
    }
    const auto whole = static_cast<long long>(seconds + 0.5);
    if (whole < 60)
        std::snprintf(text, sizeof text, "%lld s", whole);
    else if (whole < 3600)
        std::snprintf(text, sizeof text, "%lld min %lld s", whole / 60, whole % 60);
    else
        std::snprintf(text, sizeof text, "%lld h %lld min", whole / 3600, whole % 3600 / 60);
    return text;
}

std::string bytes_text(double bytes) {
    const char* const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int unit = 0;
    for (; bytes >= 1024 && unit < 5; ++unit) bytes /= 1024;
    char text[32];
    std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}

}  // namespace cubome::command
