// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>

#include "cubome/core/group.hpp"

/// Every named barrier is needed, and ThreadSanitizer sees it: without any one of them it must report a race, with all
/// of them none. The races happen in another process, `barrier_probe`, which is built beside this test.
namespace {

#ifndef CUBOME_BARRIER_PROBE
#define CUBOME_BARRIER_PROBE "./barrier_probe"
#endif

#if defined(__SANITIZE_THREAD__)
constexpr bool has_thread_sanitizer = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool has_thread_sanitizer = true;
#else
constexpr bool has_thread_sanitizer = false;
#endif
#else
constexpr bool has_thread_sanitizer = false;
#endif

static_assert(static_cast<int>(cubome::barrier::count) == 8, "another barrier asks for another test below");

constexpr int race_exit_code = 66;

struct outcome {
    std::string text;    ///< of stdout and stderr
    int exit_code = -1;  ///< −1 where it did not exit by itself

    bool has(const char* words) const { return text.find(words) != std::string::npos; }
};

/// Runs the probe with this barrier left out; it ends at the first race.
outcome probe(cubome::barrier which, const char* arguments = "") {
    const std::string command =
        "TSAN_OPTIONS='halt_on_error=1 history_size=4 exitcode=" + std::to_string(race_exit_code) +
        "' timeout 120 '" CUBOME_BARRIER_PROBE "' " + std::to_string(static_cast<int>(which)) + " " + arguments +
        " 2>&1";
    outcome result;
    const auto close = [&](std::FILE* pipe) {
        const int status = pclose(pipe);
        if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    };
    std::unique_ptr<std::FILE, decltype(close)> pipe(popen(command.c_str(), "r"), close);
    if (pipe == nullptr) return result;
    std::array<char, 4096> piece;
    std::size_t count;
    while ((count = std::fread(piece.data(), 1, piece.size(), pipe.get())) > 0) result.text.append(piece.data(), count);
    pipe.reset();
    return result;
}

class Barriers : public testing::Test {
protected:
    void SetUp() override {
        if (!has_thread_sanitizer) GTEST_SKIP() << "built without -fsanitize=thread, which this test asks";
    }

    static void expect_race_without(cubome::barrier which, const char* arguments = "") {
        const outcome found = probe(which, arguments);
        EXPECT_TRUE(found.has("data race")) << found.text;
        EXPECT_EQ(found.exit_code, race_exit_code) << found.text;
    }
};

TEST_F(Barriers, LeaveNoRaceWhereAllAreKept) {
    const outcome found = probe(cubome::barrier::count);
    EXPECT_FALSE(found.has("data race")) << found.text;
    EXPECT_TRUE(found.has("solved")) << found.text;
    EXPECT_EQ(found.exit_code, 0);
}

TEST_F(Barriers, ThatPublishWhatIsPreparedAreNeeded) {
    expect_race_without(cubome::barrier::prepared);
}

TEST_F(Barriers, ThatPublishTheFirstIterateAreNeeded) {
    expect_race_without(cubome::barrier::iterate);
}

TEST_F(Barriers, ThatPublishWhereCurvatureIsMeasuredAreNeeded) {
    expect_race_without(cubome::barrier::probe);
}

TEST_F(Barriers, ThatWaitForTheReadersOfADescentStepAreNeeded) {
    expect_race_without(cubome::barrier::descent_read);
}

TEST_F(Barriers, ThatPublishADescentStepAreNeeded) {
    expect_race_without(cubome::barrier::descent);
}

TEST_F(Barriers, ThatPublishResidualsAreNeeded) {
    expect_race_without(cubome::barrier::residual);
}

TEST_F(Barriers, ThatPublishDifferencesAreNeeded) {
    expect_race_without(cubome::barrier::difference);
}

TEST_F(Barriers, ThatWaitForTheReadersOfAnEvaluationAreNeeded) {
    expect_race_without(cubome::barrier::evaluation_read);
}

// The staged engine has one barrier inside a stage.
constexpr const char* staged = "0";

TEST_F(Barriers, LeaveNoRaceInTheStagesWhereAllAreKept) {
    const outcome found = probe(cubome::barrier::count, staged);
    EXPECT_FALSE(found.has("data race")) << found.text;
    EXPECT_TRUE(found.has("solved")) << found.text;
    EXPECT_EQ(found.exit_code, 0);
}

TEST_F(Barriers, ThatWaitForTheReadersOfARecordAreNeeded) {
    expect_race_without(cubome::barrier::evaluation_read, staged);
}

}  // namespace
