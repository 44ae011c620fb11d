// SPDX-License-Identifier: Apache-2.0
#pragma once

/// All of the public interface: a C++17 host compiler alone can read it.

#include "cubome/batch_view.hpp"
#include "cubome/error.hpp"
#include "cubome/families.hpp"
#include "cubome/problem.hpp"
#include "cubome/problem_runner.hpp"
#include "cubome/readers.hpp"
#include "cubome/report.hpp"
#include "cubome/settings.hpp"
#include "cubome/solver.hpp"
#include "cubome/summary.hpp"
#include "cubome/sweep.hpp"
#include "cubome/version.hpp"
