// SPDX-License-Identifier: Apache-2.0
#include "host/execution.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "cubome/error.hpp"
#include "host/cpu_backend.hpp"

namespace cubome::detail {
namespace {

/// The value of an environment variable among those of an enum; `automatic` where it is not set.
template <class Enum, std::size_t N>
Enum from_environment(const char* variable, const std::pair<const char*, Enum> (&values)[N]) {
    const char* text = std::getenv(variable);
    if (text == nullptr || *text == '\0') return Enum::automatic;
    std::string names;
    for (const auto& [name, value] : values) {
        if (name == std::string(text)) return value;
        names += (names.empty() ? "" : ", ") + std::string(name);
    }
    throw invalid_argument("solve", variable, "is '" + std::string(text) + "'", "one of " + names);
}

}  // namespace

void check_execution(const execution& e) {
    const auto expect_at_least = [](const char* name, std::int64_t value, std::int64_t least) {
        if (value < least)
            throw invalid_argument("solve", name, "is " + std::to_string(value), "at least " + std::to_string(least));
    };
    expect_at_least("execution.num_threads", e.num_threads, 0);
    expect_at_least("execution.device", e.device, -1);
    expect_at_least("execution.steps_per_launch", e.steps_per_launch, 0);
}

backend choose_backend(backend wanted) {
    if (wanted > backend::cuda)
        throw invalid_argument("solve", "execution.where", "is " + std::to_string(static_cast<int>(wanted)),
                               "a value of backend");
    if (wanted == backend::automatic) {
        wanted = from_environment<backend>(
            "CUBOME_BACKEND", {{"automatic", backend::automatic}, {"cpu", backend::cpu}, {"cuda", backend::cuda}});
    }
    return wanted;
}

instruction_set choose_instructions(const char* name, instruction_set wanted,
                                    const std::function<bool(instruction_set)>& is_compiled) {
    if (wanted > instruction_set::avx512)
        throw invalid_argument("solve", "execution.instructions", "is " + std::to_string(static_cast<int>(wanted)),
                               "a value of instruction_set");
    if (wanted == instruction_set::automatic) {
        // A user's own problem runs as they compiled it.
        if (is_compiled(instruction_set::automatic)) return instruction_set::automatic;
        wanted = from_environment<instruction_set>("CUBOME_INSTRUCTION_SET", {{"automatic", instruction_set::automatic},
                                                                              {"baseline", instruction_set::baseline},
                                                                              {"avx2", instruction_set::avx2},
                                                                              {"avx512", instruction_set::avx512}});
    }
    if (wanted == instruction_set::automatic) {
        for (const auto which : {instruction_set::avx512, instruction_set::avx2})
            if (is_compiled(which) && cpu_has(which)) return which;
        wanted = instruction_set::baseline;
    }
    const std::string set = to_string(wanted);
    if (!is_compiled(wanted))
        throw not_compiled("solve: '" + std::string(name) + "' is not compiled for the instruction set '" + set + "'");
    if (!cpu_has(wanted)) throw backend_unavailable("solve: this CPU does not have the instruction set '" + set + "'");
    return wanted;
}

int choose_threads(int wanted) {
    return wanted > 0 ? wanted : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace cubome::detail
