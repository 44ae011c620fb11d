// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cubome/sweep.hpp"

namespace cubome::command {

/// How a command talks: lines for a person, or one JSON object per line for a program.
enum class speech { person, program };

/// Shows how far a sweep has come, on the standard error stream: a bar on a terminal, else a line now and then, or one
/// JSON object per line.
class progress_display {
public:
    explicit progress_display(speech how);
    progress_display(const progress_display&) = delete;
    progress_display& operator=(const progress_display&) = delete;
    ~progress_display() { end(); }

    void show(const sweep_progress& p);
    void end();  ///< what follows begins a line of its own

private:
    speech how_;
    bool is_terminal_;
    bool has_bar_ = false;
    double next_line_ = 0;
};

/// "3.2 s", "4 min 5 s", "2 h 3 min".
std::string duration(double seconds);

/// "1.5 GiB".
std::string bytes_text(double bytes);

}  // namespace cubome::command
