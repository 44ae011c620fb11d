// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/types.hpp"

/// The instantiations of the solver's text.
inline constexpr cubome::solve_text all_texts[] = {cubome::solve_text::plain, cubome::solve_text::plain_automatic,
                                                   cubome::solve_text::full};
